"""Write the golden files of tests/bundle/test_import_torch.py: narrow networks of the PyTorch project and their output.

    pip install torch
    python tools/make_golden_torch.py

The networks are written in PyTorch from their description, independently of mir_tf.models, and have random weights and
statistics. Each file tests/golden/torch_*.npz contains a state dict (``state/NAME``), an ``input`` log-mel
[batch, frames, mels] and its ``logits`` [batch, frames, classes].
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch
from torch import nn
from torch.nn import functional

FOLDER = Path(__file__).parents[1] / "tests" / "golden"
CLASSES, MELS, FRAMES = 17, 128, 45
PADDING, HEADS = 37, 2


class Network(nn.Module):
    """CNN, CRNN or CRNN + MHA, from log-mel [batch, 1, mels, frames] to logits [batch, frames, classes]."""

    def __init__(self, architecture: str, filters: tuple[int, ...], units: int) -> None:
        super().__init__()
        self.blocks = range(1, len(filters) + 1)
        self.bn0 = nn.BatchNorm2d(1)
        channels = 1
        for block in self.blocks:
            width = filters[block - 1]
            setattr(self, f"conv{block}", nn.Conv2d(channels, width, 3, padding=1))
            setattr(self, f"bn{block}", nn.BatchNorm2d(width))
            channels = width
        self.is_recurrent = architecture != "cnn"
        if self.is_recurrent:
            self.gru1 = nn.GRU(channels, units, batch_first=True, bidirectional=True)
            self.gru2 = nn.GRU(2 * units, units, batch_first=True, bidirectional=True)
            channels = 2 * units
        self.attends = architecture == "crnn_mha"
        if self.attends:
            self.attention = nn.MultiheadAttention(channels, HEADS, batch_first=True)
            self.attn_norm = nn.LayerNorm(channels)
        self.fc = nn.Linear(channels, CLASSES)

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        x = self.bn0(functional.pad(log_mel, (PADDING, PADDING)))
        for block in self.blocks:
            x = getattr(self, f"bn{block}")(getattr(self, f"conv{block}")(x))
            x = functional.max_pool2d(functional.elu(x), (1, 2))  # [batch, filters, mels, frames / 2]
            x = functional.dropout(x, 0.5, self.training)
        x = x.mean(dim=2).transpose(1, 2)  # [batch, steps, filters]
        if self.is_recurrent:
            x, _ = self.gru1(x)
            x, _ = self.gru2(x)
        if self.attends:
            attended, _ = self.attention(x, x, x)
            x = self.attn_norm(x + functional.dropout(attended, 0.5, self.training))
        logits = self.fc(functional.dropout(x, 0.7, self.training)).transpose(1, 2)  # [batch, classes, steps]
        return functional.interpolate(logits, size=log_mel.shape[-1], mode="linear").transpose(1, 2)


@click.command(help=__doc__.partition("\n")[0])
def main() -> None:
    """Write the files."""
    torch.manual_seed(0)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for architecture in ("cnn", "crnn", "crnn_mha"):
        network = Network(architecture, filters=(3, 4, 6), units=4).eval()
        with torch.no_grad():
            for name, value in network.named_buffers():
                if name.endswith("running_mean"):
                    value.normal_()
                elif name.endswith("running_var"):
                    value.uniform_(0.5, 2)
            for value in network.parameters():
                value += 0.1 * torch.randn_like(value)  # also those that are initialised to zeros or ones
            log_mel = torch.randn(2, 1, MELS, FRAMES)
            logits = network(log_mel)
        state = {f"state/{name}": value.numpy() for name, value in network.state_dict().items()}
        path = FOLDER / f"torch_{architecture}.npz"
        np.savez_compressed(path, input=log_mel[:, 0].transpose(1, 2).numpy(), logits=logits.numpy(), **state)
        click.echo(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
