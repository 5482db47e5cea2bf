"""The checks of exported files."""

import pytest

from mir_tf.export.report import ExportedFile


@pytest.mark.parametrize(
    ("quantization", "difference", "f1_loss", "failure"),
    [
        ("none", 9e-5, None, ""),
        ("none", 2e-4, None, "difference 2.0e-04 is above 0.0001"),
        ("float16", 6e-3, None, "difference 6.0e-03 is above 0.005"),
        ("dynamic", 0.14, None, ""),  # the pretrained model, in a single frame
        ("dynamic", 0.3, None, "difference 3.0e-01 is above 0.2"),
        ("dynamic", 0.14, 0.02, "F1 loss 0.0200 is above 0.01"),
        ("dynamic", float("nan"), 0.0, "difference nan is above 0.2"),
        ("int8", 0.5, 0.005, ""),
        ("int8", 0.01, 0.02, "F1 loss 0.0200 is above 0.01"),
        ("int8", 0.01, float("nan"), "F1 loss nan is above 0.01"),
        ("int8", 0.01, None, "F1 was not measured"),
    ],
)
def test_a_file_that_differs_too_much_fails(
    quantization: str, difference: float, f1_loss: float | None, failure: str
) -> None:
    file = ExportedFile("model.tflite", quantization, 1000, difference, f1_loss=f1_loss)
    assert file.failure == failure
