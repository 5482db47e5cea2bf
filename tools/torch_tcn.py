"""The TCN of mir_tf.models.tcn in PyTorch, to measure it and to compare with it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from mir_tf.config import ModelConfig

_STEM_BANDS = 8


class TCN(nn.Module):
    """The network from log-mel [batch, frames, mels], normalised, to logits [batch, label frames, classes].

    Args:
        config: Filters, dilations and dropout.
        subframes: Frames in a label frame.
        mels: Mel bands.
        classes: Classes.
    """

    def __init__(self, config: ModelConfig, subframes: int, mels: int, classes: int) -> None:
        super().__init__()
        first, *others = config.stage_filters
        strides = [(subframes, _STEM_BANDS // 2), *((1, 2) for _ in others[1:]), (1, 1)]
        kernels = [(2 * subframes - 1, _STEM_BANDS), *((3, 3) for _ in others)]
        self.convolutions, self.norms, self.paddings = nn.ModuleList(), nn.ModuleList(), []
        channels = 1
        for filters, kernel, stride in zip((first, *others), kernels, strides, strict=True):
            bands = -(-mels // stride[1])
            # "same" as TensorFlow pads: an odd element goes to the end.
            in_frequency = max((bands - 1) * stride[1] + kernel[1] - mels, 0)
            in_time = kernel[0] - stride[0]
            self.paddings.append(
                (in_frequency // 2, in_frequency - in_frequency // 2, in_time // 2, in_time - in_time // 2)
            )
            self.convolutions.append(nn.Conv2d(channels, filters, kernel, stride, bias=False))
            self.norms.append(nn.BatchNorm2d(filters))
            channels, mels = filters, bands
        width = config.temporal_filters
        self.projection = nn.Linear(channels * mels, width, bias=False)
        self.projection_norm = nn.BatchNorm1d(width)
        self.dilated = nn.ModuleList(
            nn.Conv1d(width, width, 3, dilation=dilation, padding=dilation, bias=False) for dilation in config.dilations
        )
        self.dilated_norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in config.dilations)
        self.dropout = config.temporal_dropout
        self.fc = nn.Linear(width, classes)

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        x = log_mel[:, None]  # [batch, 1, frames, mels]
        for convolution, norm, padding in zip(self.convolutions, self.norms, self.paddings, strict=True):
            x = functional.relu(norm(convolution(functional.pad(x, padding))))
        x = x.permute(0, 2, 3, 1).flatten(2)  # [batch, label frames, bands × filters]
        x = functional.relu(self.projection_norm(self.projection(x).transpose(1, 2)))  # [batch, width, label frames]
        for convolution, norm in zip(self.dilated, self.dilated_norms, strict=True):
            x = x + functional.dropout(functional.relu(norm(convolution(x))), self.dropout, self.training)
        return self.fc(functional.dropout(x, self.dropout, self.training).transpose(1, 2))
