"""Processes that predict beside each other on one machine divide what is free of its memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_models import AFFINE, save_model, scan

from torchio_seg import machine
from torchio_seg.distributed import ALONE
from torchio_seg.volumes.nifti import create
from torchio_seg.workflows.budgets import Budgets
from torchio_seg.workflows.opening import load_model
from torchio_seg.workflows.predict import predict
from torchio_seg.workflows.predict_case import Output


def test_what_one_process_has_room_for_is_refused_by_each_of_ten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(tmp_path / "scan.nii.gz", scan(), AFFINE)
    model, inputs = load_model(save_model(tmp_path / "model")), [str(tmp_path / "scan.nii.gz")]
    monkeypatch.setattr(machine, "free_memory", lambda: 2**30)
    ten = replace(ALONE, num_local=10)
    assert predict(model, inputs, Output(tmp_path / "alone")).written
    [failed] = predict(model, inputs, Output(tmp_path / "one of ten"), peers=ten).failed
    assert "20 x 18 x 22 voxels takes" in str(failed.error)
    named = replace(model, budgets=Budgets(ram=64 * 2**30))
    assert predict(named, inputs, Output(tmp_path / "named"), peers=ten).written, "a budget is each process's own"
