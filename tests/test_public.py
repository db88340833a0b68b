"""What `torchio_seg` hands out: exactly these names, and nothing heavy before one is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import torchio_seg
from torchio_seg.volumes.nifti import read


def test_the_public_names_are_these() -> None:
    assert torchio_seg.__all__ == ["Experiment", "TorchioSegError", "load_experiment", "load_model", "train"]
    for name in torchio_seg.__all__:
        assert getattr(torchio_seg, name) is not None
    with pytest.raises(AttributeError, match="load_model"):
        _ = torchio_seg.load_modle


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = "import sys, torchio_seg; print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_experiment_is_trained_and_used_from_python(tmp_path: Path) -> None:
    from torchio_seg.config.resolve import shipped

    changes = {
        "dataset.root": str(tmp_path / "data"),
        "dataset.cases": 5,
        "dataset.shape": [24, 24, 24],
        "sampling.patch_size": [16, 16, 24],
        "network.channels": [4, 8],
        "training.epochs": 1,
        "training.precision": "fp32",
        "device": "cpu",
    }
    experiment = torchio_seg.load_experiment(shipped()["phantom"], changes)
    trained = torchio_seg.train(experiment, tmp_path / "runs")
    model = torchio_seg.load_model(trained.folder)
    scan = read(tmp_path / "data" / "imagesTr" / "phantom_001.nii.gz")
    prediction = model.predictor(scan.array, scan.affine)
    assert prediction.label_map.shape == scan.shape
    assert prediction.probabilities.shape == (3, *scan.shape)
    assert np.array_equal(prediction.masks[0], prediction.label_map > 0)
