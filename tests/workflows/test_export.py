"""What is exported computes what the original computes, or is not there."""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_models import CHANNELS, NETWORKS, save_model

from torchio_seg import TorchioSegError, checkpoint, components
from torchio_seg.errors import DataError, UsageError
from torchio_seg.export import onnx, torchscript
from torchio_seg.predictor.ensemble import Ensemble
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.weights.reading import read as read_weights
from torchio_seg.workflows.export import FORMATS, Exported, export
from torchio_seg.workflows.models import LoadedModel
from torchio_seg.workflows.opening import load_model

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE = (16, 16, 16)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedModel]:
    folder = tmp_path_factory.mktemp("models")
    return {name: load_model(save_model(folder / name, name)) for name in NETWORKS}


def exported(model: LoadedModel, to: str, folder: Path) -> Exported:
    return export(model, to, folder / f"model{FORMATS[to].SUFFIX}")


def logits_of(model: LoadedModel, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.predictor.network(images)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("to", "name"),
    [
        pytest.param(to, name, marks=[pytest.mark.slow] * (to in {"onnx", "torch-export"} and name != "segresnet"))
        for to in FORMATS
        for name in NETWORKS
    ],
)
def test_exported_networks_give_the_same_logits_for_any_number_of_patches(
    to: str, name: str, models: dict[str, LoadedModel], tmp_path: Path
) -> None:
    if to == "onnx":
        pytest.importorskip("onnxscript")
    done = exported(models[name], to, tmp_path)
    assert done.patch_size == SIZE
    assert done.difference <= 1e-4
    network = FORMATS[to].read(done.path)
    for number in (1, 3):
        images = torch.randn(number, len(CHANNELS), *SIZE)
        with torch.no_grad():
            torch.testing.assert_close(network(images), logits_of(models[name], images), rtol=0, atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == [done.path.name]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in {"swinunetr", "unetr"}))
        for name in components.names("networks")
        if name not in NETWORKS
    ],
)
def test_every_other_network_can_be_exported_too(name: str, tmp_path: Path) -> None:
    size = (64, 64, 64) if name == "swinunetr" else SIZE  # the smallest that it takes
    model = load_model(save_model(tmp_path / "model", name, size))
    assert exported(model, "torchscript", tmp_path).difference <= 1e-4
    assert exported(model, "monai-bundle", tmp_path / "out").difference <= 1e-4


def test_an_ensemble_is_exported_member_by_member(models: dict[str, LoadedModel], tmp_path: Path) -> None:
    predictor = models["unet"].predictor
    assert isinstance(predictor, Predictor)
    with pytest.raises(UsageError, match="is an ensemble; export its members"):
        exported(replace(models["unet"], predictor=Ensemble((predictor,))), "torchscript", tmp_path)


def test_a_folder_that_is_no_bundle_is_never_replaced(models: dict[str, LoadedModel], tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(b"dear")
    with pytest.raises(UsageError, match="no bundle, so it is not replaced"):
        export(models["unet"], "monai-bundle", tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz"]


@pytest.mark.slow
def test_the_card_is_inside_of_what_is_exported(models: dict[str, LoadedModel], tmp_path: Path) -> None:
    model = models["unet"]
    cards = [torchscript.read_with_card(exported(model, "torchscript", tmp_path).path)[1]]
    cards.append(onnx.read_with_card(exported(model, "onnx", tmp_path).path)[1])
    inside = {"model.json": ""}
    torch.export.load(exported(model, "torch-export", tmp_path).path, extra_files=inside)
    cards.append(checkpoint.parse_card(inside["model.json"], "pt2"))
    bundle = exported(model, "monai-bundle", tmp_path).path
    cards.append(checkpoint.parse_card((bundle / "configs" / "model.json").read_bytes(), "bundle"))
    for card in cards:
        assert (card.labels, card.recipe, card.channels) == (model.card.labels, model.card.recipe, model.card.channels)
        assert card.experiment["prediction"]["patch_size"] == list(SIZE)


@pytest.mark.parametrize("name", ["unet", "segresnet"])
def test_monai_loads_the_weights_of_a_bundle_into_its_own_network(
    name: str, models: dict[str, LoadedModel], tmp_path: Path
) -> None:
    from monai.bundle import ConfigParser, load

    bundle = exported(models[name], "monai-bundle", tmp_path).path
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    built = parser.get_parsed_content("network_def")
    assert type(built).__module__.startswith("monai.networks")
    loaded = load(bundle.name, bundle_dir=tmp_path, model=built, device="cpu").eval()
    images = torch.randn(1, len(CHANNELS), *SIZE)
    with torch.no_grad():
        assert torch.equal(loaded(images), logits_of(models[name], images))
        inferer = parser.get_parsed_content("inferer")
        assert inferer(torch.randn(1, len(CHANNELS), 20, 16, 16), loaded).shape == (1, 3, 20, 16, 16)


def test_a_bundle_begins_a_fine_tuning(models: dict[str, LoadedModel], tmp_path: Path) -> None:
    weights = read_weights(exported(models["dynunet"], "monai-bundle", tmp_path).path)
    assert weights.kind == "MONAI bundle"
    expected = models["dynunet"].predictor.network.state_dict()  # type: ignore[union-attr]
    assert weights.tensors.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in weights.tensors.items())


class Drifting(torch.nn.Module):
    """A network whose answer depends on how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.layer = torch.nn.Conv3d(2, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.layer(images) + self.calls


class Choosing(Drifting):
    """A network that no graph can be made of."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images) if images.mean().item() > 0 else -self.layer(images)


def with_network(model: LoadedModel, network: torch.nn.Module) -> LoadedModel:
    return replace(model, predictor=replace(model.predictor, network=network))


@pytest.mark.parametrize(
    ("network", "to", "message"),
    [(Drifting(), "torchscript", "its logits differ by up to"), (Choosing(), "torch-export", "cannot be exported to")],
)
def test_an_export_that_fails_leaves_nothing(
    network: torch.nn.Module, to: str, message: str, models: dict[str, LoadedModel], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"{message}.*nothing was kept"):
        exported(with_network(models["unet"], network), to, tmp_path)
    assert not list(tmp_path.iterdir())
    kept = tmp_path / f"model{FORMATS[to].SUFFIX}"
    kept.write_text("former")
    with pytest.raises(DataError):
        export(with_network(models["unet"], network), to, kept, overwrite=True)
    assert kept.read_text() == "former"


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_without_its_packages_onnx_says_what_to_install(
    missing: str, models: dict[str, LoadedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UsageError, match=rf"needs {missing}.*pip install 'torchio-seg\[onnx\]'"):
        exported(models["unet"], "onnx", tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_replaced_only_when_asked(models: dict[str, LoadedModel], tmp_path: Path) -> None:
    for to, inside in (("torchscript", None), ("monai-bundle", "stale")):
        path = exported(models["unet"], to, tmp_path).path
        if inside is not None:
            (path / inside).write_text("of an earlier export")
        with pytest.raises(UsageError, match="exists; --overwrite"):
            export(models["unet"], to, path)
        export(models["unet"], to, path, overwrite=True)
        assert inside is None or not (path / inside).exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.ts"]


@pytest.mark.parametrize(
    ("to", "name", "message"),
    [
        ("torchscipt", "model.ts", "--to: got 'torchscipt', did you mean 'torchscript'"),
        ("onnx", "model.ts", r"is written as \.onnx"),
        ("monai-bundle", "taken", "taken (is a file|exists)"),
    ],
)
def test_wrong_words_are_answered(
    to: str, name: str, message: str, models: dict[str, LoadedModel], tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(TorchioSegError, match=message):
        export(models["unet"], to, tmp_path / name)


def test_bundles_say_what_goes_in_and_comes_out(models: dict[str, LoadedModel], tmp_path: Path) -> None:
    bundle = exported(models["dynunet"], "monai-bundle", tmp_path).path
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    data = metadata["network_data_format"]
    assert data["inputs"]["image"]["channel_def"] == {"0": "FLAIR", "1": "T1w"}
    assert data["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "oedema", "2": "core"}
    inference = json.loads((bundle / "configs" / "inference.json").read_text())
    assert inference["network_def"]["_target_"] == "torch.jit.load"  # our own network, which MONAI has not
    assert inference["inferer"]["roi_size"] == list(SIZE)


def test_every_format_that_there_is_can_be_asked_for() -> None:
    modules = {kind.__name__.rpartition(".")[2] for kind in FORMATS.values()}
    assert set(components.names("export")) - {"exportable"} == modules


def test_onnx_says_nothing_of_packages_that_no_network_here_uses(
    models: dict[str, LoadedModel], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript")
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda *name: None if name[0] == "torchvision" else known(*name))
    with caplog.at_level(logging.WARNING):
        exported(models["segresnet"], "onnx", tmp_path)
        assert "torchvision" not in caplog.text
    logging.getLogger("torch.onnx._internal.exporter._registration").warning("another")
    assert "another" in caplog.text
