"""`torchio-seg export`, and `predict` with what it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_models import AFFINE, save_model, scan
from small_runs import Call

from torchio_seg.volumes.nifti import create


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    save_model(folder / "model")
    create(folder / "scan.nii.gz", scan(), AFFINE)
    return folder


def test_what_is_exported_predicts_the_same_file_but_only_with_trust(work: Path, call: Call) -> None:
    done = call("export", work / "model", "--to", "torchscript", "-o", work / "model.ts")
    assert done.code == 0, done.err
    assert "patches of 16 x 16 x 16 voxels, logits at most" in done.out
    refused = call("predict", work / "scan.nii.gz", "--model", work / "model.ts", "-o", work / "refused.nii.gz")
    assert refused.code == 2
    assert "--trust" in refused.err
    for model, name in (("model", "a"), ("model.ts", "b")):
        words = ("--model", work / model, "-o", work / f"{name}.nii.gz", "--trust", "--device", "cpu")
        assert call("predict", work / "scan.nii.gz", *words).code == 0
    assert (work / "a.nii.gz").read_bytes() == (work / "b.nii.gz").read_bytes()


def test_a_format_that_there_is_not_is_the_users_mistake(work: Path, call: Call) -> None:
    result = call("export", work / "model", "--to", "onxx", "-o", work / "model.onnx")
    assert result.code == 2
    assert "--to: got 'onxx'" in result.err
    assert "onnx" in result.err
    assert not (work / "model.onnx").exists()
