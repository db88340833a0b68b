"""A scan predicted with what was exported is labelled as by the model itself."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import AFFINE, NETWORKS, save_model, scan

from torchio_seg import TorchioSegError, load_model
from torchio_seg.volumes.nifti import create
from torchio_seg.workflows.export import export
from torchio_seg.workflows.models import LoadedModel
from torchio_seg.workflows.predict import predict
from torchio_seg.workflows.predict_case import Output

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each network as a folder and as TorchScript, the first as ONNX too, and files that are no models."""
    folder = tmp_path_factory.mktemp("exported")
    for name in NETWORKS:
        save_model(folder / name, name)
        export(load_model(folder / name, blending="average"), "torchscript", folder / f"{name}.ts")
    export(load_model(folder / "unet"), "onnx", folder / "unet.onnx")
    (folder / "unet.pt2").touch()
    (folder / "other.onnx").write_bytes(b"no graph")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit as a whole
        torch.jit.save(torch.jit.load(folder / "unet.ts"), folder / "other.ts")
    return folder


def labels_of(model: LoadedModel) -> np.ndarray:
    found = model.predict(scan(1), affine=AFFINE)
    assert len(np.unique(found)) > 1  # or a comparison would tell nothing
    assert isinstance(found, np.ndarray)
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_torchscript_gives_the_same_labels(name: str, files: Path) -> None:
    again = load_model(files / f"{name}.ts", trust=True, device="cpu")
    assert np.array_equal(labels_of(again), labels_of(load_model(files / name, blending="average")))


def test_onnx_gives_the_same_probabilities(files: Path) -> None:
    found, expected = (
        load_model(files / name).predict(scan(1), affine=AFFINE, probabilities=True)[1]
        for name in ("unet.onnx", "unet")
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_settings_of_the_export_are_those_of_prediction(files: Path) -> None:
    model = load_model(files / "unet.ts", trust=True)
    assert model.experiment.prediction.blending == "average"
    assert model.experiment.prediction.patch_size == (16, 16, 16)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("unet.ts", {}, "TorchScript archive, a program.*add trust=True"),
        ("unet.pt2", {"trust": True}, "export to onnx or torchscript"),
        ("unet.onnx", {"patch_size": (16, 16, 32)}, "takes one size only: use 16 x 16 x 16"),
        ("unet.onnx", {"precision": "bf16"}, "compute in fp32, not bf16"),
        ("unet.onnx", {"device": "cuda"}, "computed on the CPU here, not on cuda"),
        ("other.onnx", {}, "other.onnx: cannot be read as ONNX"),
        ("other.ts", {"trust": True}, "no model.json in it"),
    ],
)
def test_what_cannot_be_is_refused(name: str, options: dict[str, object], message: str, files: Path) -> None:
    with pytest.raises(TorchioSegError, match=message):
        load_model(files / name, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("num_channels", [1, 2, 20])
def test_a_network_of_other_channels_than_its_record_names_writes_nothing(
    num_channels: int, files: Path, tmp_path: Path
) -> None:
    record = {"model.json": ""}
    network = torch.nn.Conv3d(2, num_channels, 1).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.load(files / "unet.ts", _extra_files=record)
        traced = torch.jit.trace(network, torch.zeros(1, 2, 16, 16, 16))
        torch.jit.save(traced, tmp_path / "wrong.ts", _extra_files=record)
    create(tmp_path / "scan.nii.gz", scan(1), AFFINE)
    model = load_model(tmp_path / "wrong.ts", trust=True, device="cpu")
    found = predict(model, [str(tmp_path / "scan.nii.gz")], Output(tmp_path / "out"))
    [failed] = found.failed
    assert f"scan.nii.gz: the network answered with 1 x {num_channels} x 16 x 16 x 16 values" in str(failed.error)
    assert "1 x 3 x 16 x 16 x 16 are due" in str(failed.error)
    assert list((tmp_path / "out").iterdir()) == []


def test_what_was_exported_is_not_exported_again(files: Path, tmp_path: Path) -> None:
    with pytest.raises(TorchioSegError, match="was exported already"):
        export(load_model(files / "unet.onnx"), "torchscript", tmp_path / "model.ts")
