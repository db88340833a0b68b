"""What a file of weights is, and what is never done with it."""

from __future__ import annotations

import hashlib
import io
import pickle
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from small_networks import build, fit_into, logits

from torchio_seg.errors import DataError, UsageError
from torchio_seg.weights.fitting import give
from torchio_seg.weights.reading import read

STATE = {"conv.weight": torch.arange(24.0).reshape(2, 3, 4), "conv.bias": torch.ones(2)}


class Scaled(torch.nn.Module):
    """Something that TorchScript can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv3d(1, 2, 1)
        self.register_buffer("offset", torch.full((2,), 3.0))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scaled: torch.Tensor = self.conv(images)
        return scaled


class Writing(torch.nn.Module):
    """Writes a file when it is opened, as TorchScript can."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Parameter(torch.ones(2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * self.conv

    @torch.jit.export
    def __getstate__(self):  # type: ignore[no-untyped-def]
        return self.conv, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        self.conv = state[0]
        self.training = state[1]
        torch.save(self.conv, "was_run")


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.mkdir, (self.folder,)


class Harmless:
    """Code of somebody's, all the same."""


def same(found: Any, expected: dict[str, torch.Tensor] = STATE) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def save_script(path: Path, network: type[torch.nn.Module] = Scaled) -> dict[str, torch.Tensor]:
    module = network()
    with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
        torch.jit.save(torch.jit.script(module), path)
    return module.state_dict()


def legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def as_safetensors(content: dict[str, torch.Tensor], path: Path) -> None:
    save_file(content, path.with_suffix(".safetensors"))


@pytest.mark.parametrize("save", [torch.save, legacy, as_safetensors])
def test_a_saved_state_dict_is_read_with_the_hash_of_its_file(save: Callable[..., None], tmp_path: Path) -> None:
    save(STATE, tmp_path / "weights.pt")
    [file] = tmp_path.iterdir()
    weights = read(file)
    assert same(weights.tensors)
    assert weights.kind == "state_dict"
    assert weights.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": STATE, "epoch": 3, "best": torch.tensor(0.9)},
        {"model": STATE, "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
        {"network_weights": STATE},
        {"epoch": 3, "model": {"state_dict": STATE}},
    ],
)
def test_a_state_dict_is_found_where_trainers_put_it(content: dict[str, Any], tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    assert same(read(tmp_path / "weights.pth").tensors)


def test_two_state_dicts_are_not_guessed_between(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "model": STATE}, tmp_path / "weights.pt")
    with pytest.raises(DataError, match=r"several networks \(state_dict, model\)"):
        read(tmp_path / "weights.pt")


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {}, torch.ones(3)])
def test_what_holds_no_state_dict_is_said(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(DataError, match="holds no state_dict"):
        read(tmp_path / "weights.pt")


def test_a_tensor_that_is_not_plain_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.eye(3).to_sparse()}, tmp_path / "weights.pt")
    with pytest.raises(DataError, match="a is no plain tensor"):
        read(tmp_path / "weights.pt")
    torch.save({"a": torch.empty(3, device="meta")}, tmp_path / "weights.pt")
    with pytest.raises(DataError, match="a is no plain tensor"):
        read(tmp_path / "weights.pt")


@pytest.mark.parametrize("save", [torch.save, legacy, lambda content, path: path.write_bytes(pickle.dumps(content, 2))])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(save: Callable[..., None], tmp_path: Path) -> None:
    marker, file = tmp_path / "was_run", tmp_path / "weights.pt"
    save({"extra": Malicious(marker), "state_dict": STATE}, file)
    with pytest.raises(DataError, match=r"would run code: it asks for posix\.mkdir"):
        read(file, trust=True)
    assert not marker.exists()
    save({"extra": Harmless(), "state_dict": STATE}, file)
    with pytest.raises(DataError, match=r"asks for \S*test_weight_files\.Harmless"):
        read(file, trust=True)


def test_a_torchscript_archive_is_opened_only_with_trust(tmp_path: Path) -> None:
    file = tmp_path / "network.pt"
    expected = save_script(file)
    with pytest.raises(UsageError, match=r"TorchScript archive.*--trust"):
        read(file)
    weights = read(file, trust=True)
    assert same(weights.tensors, expected)
    assert weights.kind == "TorchScript archive"
    assert not any(tensor.requires_grad for tensor in weights.tensors.values())


def test_a_frozen_archive_has_nothing_to_take(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
        torch.jit.save(torch.jit.freeze(torch.jit.script(Scaled().eval())), tmp_path / "frozen.pt")
    with pytest.raises(DataError, match="frozen"):
        read(tmp_path / "frozen.pt", trust=True)


def test_torchscript_can_run_code_when_it_is_opened_and_is_not_opened_without_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "network.pt"
    save_script(file, Writing)
    with pytest.raises(UsageError, match="--trust"):
        read(file)
    assert not Path("was_run").exists()
    read(file, trust=True)
    assert Path("was_run").exists(), "then there is nothing to be trusted"


def test_a_bundle_gives_its_weights_and_nothing_of_it_is_run(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    for folder in ("models", "configs"):
        (bundle / folder).mkdir(parents=True)
    (bundle / "configs" / "train.json").write_text("{\"imports\": \"$open('was_run', 'w')\"}")
    save_script(bundle / "models" / "model.ts")
    with pytest.raises(UsageError, match=r"models/model\.pt does not exist"):
        read(bundle, trust=True)
    torch.save(STATE, bundle / "models" / "model.pt")
    assert same(read(bundle).tensors)
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in bundle.rglob("*.*"):
            archive.write(file, file.relative_to(tmp_path))
    zipped = read(tmp_path / "bundle.zip")
    assert same(zipped.tensors)
    assert zipped.kind == "MONAI bundle"
    assert not (Path.cwd() / "was_run").exists()


def test_a_bundle_whose_model_is_torchscript_needs_trust_too(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    expected = save_script(tmp_path / "models" / "model.pt")
    with pytest.raises(UsageError, match="--trust"):
        read(tmp_path)
    assert same(read(tmp_path, trust=True).tensors, expected)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.save(STATE, file)
    content = file.read_bytes()
    place = content.index(STATE["conv.weight"].numpy().tobytes()) + 17
    file.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
    with pytest.raises(DataError, match=r"damaged: the checksum of \S+ in it is wrong"):
        read(file)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.95])
def test_a_file_cut_short_or_of_something_else_is_said(suffix: str, share: float, tmp_path: Path) -> None:
    file = tmp_path / f"weights.{suffix}"
    buffer = io.BytesIO()
    torch.save(STATE, buffer)
    whole = buffer.getvalue() if suffix == "pt" else b"\x07\0\0\0\0\0\0\0not json, and long enough for a header"
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=r"weights\.\w+: (cannot be read|is damaged)"):
        read(file)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read(tmp_path / "weights.pt")


def test_the_parameters_of_an_archive_of_monais_unetr_go_into_ours(tmp_path: Path) -> None:
    """As MONAI's research contributions publish theirs for BTCV."""
    from monai.networks.nets.unetr import UNETR

    small = {"feature_size": 4, "hidden_size": 24, "mlp_dim": 32, "num_heads": 2, "proj_type": "perceptron"}
    theirs = UNETR(2, 3, (16, 16, 16), norm_name="instance", conv_block=True, res_block=True, **small).eval()
    images = torch.randn(1, 2, 16, 16, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing, which is not ours
        torch.jit.save(torch.jit.trace(theirs, images), tmp_path / "unetr.pt")
    ours = build("unetr", seed=1)
    fitted = fit_into(read(tmp_path / "unetr.pt", trust=True), ours, partial(build, "unetr"))
    give(ours, fitted)
    assert torch.equal(logits(ours, images), logits(theirs, images))
    assert fitted.left
    assert all("norm_cross_attn" in name for name in fitted.left)
