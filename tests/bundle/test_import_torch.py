"""Imported checkpoints of the PyTorch project give PyTorch's logits, in the order of the vocabulary's classes."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import run

from mir_tf import bundle
from mir_tf.bundle.import_torch import import_checkpoint
from mir_tf.errors import BundleError, ConfigError
from mir_tf.events import PostProcessing
from mir_tf.vocabulary import PROGRAM_NAMES, VOCABULARIES

GOLDEN = Path(__file__).parents[1] / "golden"
FAMILIES = VOCABULARIES["family"].classes

ALPHABETICAL = (
    "Bass", "Brass", "Chromatic Percussion", "Drums", "Ethnic", "Guitar", "Organ", "Percussive", "Piano", "Pipe",
    "Reed", "Synth Effects", "Sound Effects", "Strings", "Ensemble", "Synth Lead", "Synth Pad",
)  # fmt: skip
"""The families in the original's order; it names them Sound Effects, Sound effects, Strings, Strings (continued)."""


def golden(architecture: str) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return the state dict, input and logits that tools/make_golden_torch.py wrote."""
    with np.load(GOLDEN / f"torch_{architecture}.npz") as content:
        state = {name.removeprefix("state/"): content[name] for name in content if name.startswith("state/")}
        return state, content["input"], content["logits"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Write the state dict of the narrow CRNN."""
    np.savez(tmp_path / "crnn.npz", **golden("crnn")[0])
    return tmp_path / "crnn.npz"


def in_our_order(values: np.ndarray) -> np.ndarray:
    return values[..., [ALPHABETICAL.index(name) for name in FAMILIES]]


@pytest.mark.parametrize("architecture", ["cnn", "crnn", "crnn_mha"])
def test_logits_are_pytorch_s(architecture: str, tmp_path: Path) -> None:
    state, log_mel, logits = golden(architecture)
    np.savez(tmp_path / "state.npz", **state)
    imported = import_checkpoint(tmp_path / "state.npz")
    config = imported.config.model
    assert (config.architecture, config.conv_filters, config.alignment) == (architecture, (3, 4, 6), "stretch")
    assert imported.classes == FAMILIES
    np.testing.assert_allclose(imported.model(log_mel), in_our_order(logits), atol=1e-5)
    assert np.abs(logits).max() > 0.3


@pytest.mark.parametrize("architecture", ["crnn", "crnn_mha"])
def test_the_original_s_checkpoints_give_its_logits(architecture: str, shared_folder: Path, tmp_path: Path) -> None:
    oracle = shared_folder / "oracle"
    with np.load(oracle / "expected.npz") as expected:
        np.save(tmp_path / "thresholds.npy", expected[f"{architecture}_thresholds"])
        imported = import_checkpoint(oracle / f"{architecture}_state_dict.npz", tmp_path / "thresholds.npy")
        logits = imported.model.predict_on_batch(expected["log_mel_z"].T[np.newaxis])[0]
        np.testing.assert_allclose(logits, in_our_order(expected[f"{architecture}_logits"]), atol=1e-4)
        np.testing.assert_allclose(imported.thresholds, in_our_order(expected[f"{architecture}_thresholds"]))
        renamed = {
            "Synth Effects": "Sound Effects",
            "Sound Effects": "Sound effects",
            "Ensemble": "Strings (continued)",
        }
        assert [renamed.get(name, name) for name in ALPHABETICAL] == expected["classes"].tolist()
    assert imported.untuned == ()


def test_129_classes_are_programs_in_alphabetical_order(checkpoint: Path, tmp_path: Path) -> None:
    state, log_mel, _ = golden("crnn")
    state |= {"fc.weight": np.zeros((129, 8), np.float32), "fc.bias": np.arange(129, dtype=np.float32)}
    np.savez(tmp_path / "129.npz", **state)
    imported = import_checkpoint(tmp_path / "129.npz")
    assert imported.classes == PROGRAM_NAMES
    logits = imported.model(log_mel)[0, 0].numpy()
    place = {name: round(float(logit)) for name, logit in zip(PROGRAM_NAMES, logits, strict=True)}
    assert sorted(place.values()) == list(range(129))
    assert place["Accordion"] == 0
    assert place["Xylophone"] == 128
    assert place["Bagpipe"] < place["Banjo"], "it says Bag pipe"
    assert place["Synth Choir"] == place["Synth Strings 2"] + 1, "it says Synth Voice"


def test_what_is_imported_is_a_bundle_like_any_other(checkpoint: Path, tmp_path: Path) -> None:
    thresholds = np.linspace(0.1, 0.9, 17)
    np.save(tmp_path / "thresholds.npy", thresholds)
    words = ["import-torch", checkpoint, "--thresholds", tmp_path / "thresholds.npy", "--out", tmp_path / "bundle"]
    result = run(*words, "--preset", "seed_22k")
    assert result.exit_code == 0, result.output
    assert "crnn, 17 classes" in result.output
    loaded = bundle.load(tmp_path / "bundle")
    np.testing.assert_allclose(loaded.thresholds, in_our_order(thresholds), rtol=1e-6)
    assert loaded.post_processing == PostProcessing.plain(loaded.thresholds)
    assert loaded.config.front_end.sample_rate == 22050
    assert loaded.info["imported_from"] == "crnn.npz"
    _, log_mel, logits = golden("crnn")
    np.testing.assert_allclose(loaded.model(log_mel), in_our_order(logits), atol=1e-5)


def test_an_import_replaces_no_model(checkpoint: Path, tmp_path: Path) -> None:
    words = ["import-torch", str(checkpoint), "--out", str(tmp_path / "bundle")]
    assert run(*words).exit_code == 0
    again = run(*words)
    assert again.exit_code == 2
    assert f"{tmp_path / 'bundle'}: the folder is not empty" in again.stderr


@pytest.mark.parametrize(
    ("value", "cause"), [(np.nan, "contains NaN or infinity"), (1j, "complex64; weights are real")]
)
def test_weights_that_are_none_are_refused(tmp_path: Path, value: complex, cause: str) -> None:
    state, _, _ = golden("crnn")
    bias = state["fc.bias"] + np.asarray(value, np.result_type(np.float32, np.min_scalar_type(value)))
    np.savez(tmp_path / "crnn.npz", **state | {"fc.bias": bias})
    with pytest.raises(BundleError, match=rf"crnn\.npz: fc\.bias .*{cause}"):
        import_checkpoint(tmp_path / "crnn.npz")


def test_a_damaged_archive_of_weights_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "crnn.npz", **golden("crnn")[0])
    content = (tmp_path / "crnn.npz").read_bytes()
    directory = content.index(b"PK\x01\x02")
    for position in (28, directory + 8, directory + 10):  # where the data begins, its flags, its compression
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        (tmp_path / "crnn.npz").write_bytes(damaged)
        with pytest.raises(BundleError, match=r"crnn\.npz: not an \.npz of arrays"):
            import_checkpoint(tmp_path / "crnn.npz")


def test_a_pytorch_file_is_read_as_weights_alone(checkpoint: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state, log_mel, logits = golden("crnn")
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    torch.save(tensors, tmp_path / "crnn.pth")
    imported = import_checkpoint(tmp_path / "crnn.pth")
    np.testing.assert_allclose(imported.model(log_mel), in_our_order(logits), atol=1e-5)
    parameters = {
        f"module.{name}": torch.nn.Parameter(value) for name, value in tensors.items() if value.is_floating_point()
    }
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3}]}
    torch.save({"epoch": 3, "state_dict": tensors, "optimizer": optimizer}, tmp_path / "nested.pth")
    torch.save({"checkpoint": {"model": parameters}}, tmp_path / "parameters.PT")
    for name in ("nested.pth", "parameters.PT"):
        imported = import_checkpoint(tmp_path / name)
        np.testing.assert_allclose(imported.model(log_mel), in_our_order(logits), atol=1e-5)
    torch.save({"model": tensors, "ema": tensors}, tmp_path / "two.pth")
    with pytest.raises(BundleError, match=r"two\.pth: contains several state dicts: \['model'\], \['ema'\]; save one"):
        import_checkpoint(tmp_path / "two.pth")
    torch.save({"epoch": 3, "optimizer": optimizer}, tmp_path / "none.pth")
    with pytest.raises(BundleError, match=r"none\.pth: not a state dict .* save model\.state_dict\(\) by itself"):
        import_checkpoint(tmp_path / "none.pth")
    torch.save(tensors | {"fc.bias": torch.zeros(17, device="meta")}, tmp_path / "meta.pth")
    with pytest.raises(BundleError, match=r"meta\.pth: fc\.bias has no plain values"):
        import_checkpoint(tmp_path / "meta.pth")
    torch.save(Path("x"), tmp_path / "code.pth")
    with pytest.raises(BundleError, match=r"code\.pth: PyTorch cannot read it as weights alone"):
        import_checkpoint(tmp_path / "code.pth")


PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "model._orig_mod.", "module.model.net.", "a.b.c.d.")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_wrappers_are_removed(prefix: str, tmp_path: Path) -> None:
    state, log_mel, logits = golden("crnn")
    np.savez(tmp_path / "crnn.npz", **{prefix + name: value for name, value in state.items()})
    imported = import_checkpoint(tmp_path / "crnn.npz")
    np.testing.assert_allclose(imported.model(log_mel), in_our_order(logits), atol=1e-5)


def test_wrappers_of_single_layers_and_averages_are_removed(tmp_path: Path) -> None:
    state, log_mel, logits = golden("crnn")
    wrapped = {f"module.{name.replace('.', '._orig_mod.', 1)}": value for name, value in state.items()}
    np.savez(tmp_path / "crnn.npz", n_averaged=np.array(7), **wrapped)
    imported = import_checkpoint(tmp_path / "crnn.npz")
    np.testing.assert_allclose(imported.model(log_mel), in_our_order(logits), atol=1e-5)


@pytest.mark.parametrize(
    ("prefixes", "others", "message"),
    [
        (("model.", "ema."), {}, r"contains several networks: model\.\*, ema\.\*; save the state_dict\(\) of one"),
        (("", "ema."), {}, r"contains several networks: \*, ema\.\*"),
        (("", "module."), {}, r"contains several networks, of which module\.\S+ and another have "),
        (("net.",), {"loss.pos_weight": np.ones(17)}, "loss.pos_weight: no part of the PyTorch project's crnn"),
        (("net.",), {"fc.bias": np.ones(17)}, r"fc\.bias \(outside\): no part of the PyTorch project's crnn"),
    ],
)
def test_several_networks_and_other_arrays_are_named(
    prefixes: tuple[str, ...], others: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    state = {prefix + name: value for prefix in prefixes for name, value in golden("crnn")[0].items()}
    np.savez(tmp_path / "odd.npz", **state | others)
    with pytest.raises(BundleError, match=rf"odd\.npz: {message}"):
        import_checkpoint(tmp_path / "odd.npz")


def array_file(header: str, version: bytes = b"\x01\x00") -> bytes:
    """Return an ``.npy`` file with a header and no values."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        array_file("{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000,)}"),
        array_file("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000)}"),
        array_file("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"),
        array_file("{'descr': 5, 'fortran_order': False, 'shape': (1,)}"),
        array_file("(" * 90),
        array_file("{}", b"\x09\x00"),
        b"",
        b"no array",
    ],
)
def test_shapes_larger_than_their_file_and_other_faults_are_refused(content: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "odd.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fc.weight.npy", content)
    with pytest.raises(BundleError, match=r"odd\.npz: "):
        import_checkpoint(tmp_path / "odd.npz")
    np.savez(tmp_path / "crnn.npz", **golden("crnn")[0])
    (tmp_path / "thresholds.npy").write_bytes(content)
    with pytest.raises(BundleError, match=r"thresholds\.npy: "):
        import_checkpoint(tmp_path / "crnn.npz", tmp_path / "thresholds.npy")


def test_an_archive_that_unpacks_to_much_more_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", **{"fc.weight": np.zeros((17, 2_000_000), np.float32)})
    with pytest.raises(BundleError, match=r"bomb\.npz: .* it would unpack from 0\.1 MB to 136 MB"):
        import_checkpoint(tmp_path / "bomb.npz")


def test_without_pytorch_its_files_are_refused(tmp_path: Path) -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        (tmp_path / "crnn.pth").write_bytes(b"")
        with pytest.raises(ConfigError, match=r"pip install 'mir-tf\[torch\]'; or save its arrays as \.npz"):
            import_checkpoint(tmp_path / "crnn.pth")
    else:
        pytest.skip("PyTorch is installed")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bn2.running_var": None}, "no array 'bn2.running_var'"),
        ({"fc.weight": None}, "no array 'fc.weight'"),
        ({"conv1.weight": None}, "no array 'conv1.weight'"),
        ({"dense.bias": np.zeros(3)}, "dense.bias: no part of the PyTorch project's crnn"),
        ({"attention.in_proj_bias": np.zeros(3)}, "no array 'attention.in_proj_weight'"),
        ({"fc.weight": np.zeros((18, 8))}, "18 classes; the PyTorch project's networks have 17 or 129"),
        ({"fc.weight": np.zeros(17)}, r"fc.weight has the shape \[17\]; it must have 2 dimensions"),
        ({"fc.bias": np.zeros(0)}, r"fc\.bias is empty: its shape is \[0\]"),
        ({"gru1.weight_hh_l0": np.zeros((0, 10**9))}, r"gru1\.weight_hh_l0 is empty"),
        ({"conv2.weight": np.zeros((4, 9, 3, 3))}, r"conv2\.weight takes 9 channels, but conv1\.weight gives 3"),
        ({"gru1.bias_ih_l0": np.float32(1)}, "gru1: its arrays have wrong shapes"),
        ({"gru2.weight_ih_l0": np.zeros((12, 9))}, r"gru2: .* has the shape \[9, 12\]; .* must be \[8, 12\]"),
        (
            {"conv3.weight": np.zeros((6, 4, 5, 5))},
            r"conv3: .* has the shape \[5, 5, 4, 6\]; .* must be \[3, 3, 4, 6\]",
        ),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, np.ndarray | None], message: str, tmp_path: Path) -> None:
    state = golden("crnn")[0] | changes
    np.savez(tmp_path / "odd.npz", **{name: value for name, value in state.items() if value is not None})
    with pytest.raises(BundleError, match=rf"odd\.npz: {message}"):
        import_checkpoint(tmp_path / "odd.npz")


@pytest.mark.parametrize("name", ["crnn.npz", "crnn.txt"])
def test_what_is_no_checkpoint_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("Dear diary")
    with pytest.raises(BundleError, match=rf"{name}: not an \.npz of arrays, nor named \.pth or \.pt"):
        import_checkpoint(tmp_path / name)
    with pytest.raises(BundleError, match=r"gone\.npz: cannot be read: No such file"):
        import_checkpoint(tmp_path / "gone.npz")


@pytest.mark.parametrize("name", ["crnn.npz", "crnn.pth"])
def test_a_pointer_or_a_page_in_place_of_a_checkpoint_is_named(name: str, tmp_path: Path) -> None:
    for content, message in {
        "version https://git-lfs.github.com/spec/v1\noid sha256:0": "a Git LFS pointer .* git lfs pull",
        "<html>404": "a web page or an error message of a server",
    }.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(BundleError, match=f"{name}: {message}"):
            import_checkpoint(tmp_path / name)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "odd.npz", **{"fc.weight": np.array([Path("x")], object)})
    with pytest.raises(BundleError, match=r"odd\.npz: not an \.npz of arrays"):
        import_checkpoint(tmp_path / "odd.npz")


@pytest.mark.parametrize(
    "values", [np.zeros(16), np.full(17, 1.5), np.full(17, np.nan), np.array(["a"] * 17), np.zeros((17, 1))]
)
def test_odd_thresholds_are_named(values: np.ndarray, checkpoint: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "thresholds.npy", values)
    with pytest.raises(BundleError, match=r"thresholds\.npy: must contain 17 numbers between 0 and 1"):
        import_checkpoint(checkpoint, tmp_path / "thresholds.npy")


def test_a_front_end_that_is_not_the_project_s_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match="preset is 'default'; it must be seed_44k or seed_22k"):
        import_checkpoint(checkpoint, preset="default")
