"""One case of a prediction: what is said of the memory that it took, and which file an error is about."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import AFFINE, save_model, scan

from torchio_seg.progress import Silent
from torchio_seg.records import Case
from torchio_seg.volumes.nifti import create
from torchio_seg.workflows.opening import load_model
from torchio_seg.workflows.predict import predict
from torchio_seg.workflows.predict_case import Computed, Output, Planned, compute_case, open_case, write_case

TAKEN = 400 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are reset on Linux")
def test_the_peak_of_a_case_is_that_until_it_is_written_though_the_next_one_counts_anew(tmp_path: Path) -> None:
    create(tmp_path / "scan.nii.gz", scan(), AFFINE)
    model, output = load_model(save_model(tmp_path / "model")), Output(tmp_path)

    def compute(name: str) -> Computed:
        planned = Planned(Case(name, (tmp_path / "scan.nii.gz",)), {"seg": tmp_path / f"{name}_seg.nii.gz"})
        return compute_case(model, open_case(model, planned, implicit=False), output, Silent())

    first = compute("first")
    np.ones(TAKEN, np.uint8)  # as its writing might take, until the next case is begun
    second = compute("second")
    peaks = [write_case(model, each, output).effort.peak_bytes for each in (first, second)]
    assert peaks[0] > peaks[1] + TAKEN // 2
    np.ones(TAKEN, np.uint8)
    assert first.peak.bytes >= second.peak.bytes > peaks[1] + TAKEN // 2


def test_every_error_of_a_prediction_names_its_file_once_and_a_cure_that_predict_has(tmp_path: Path) -> None:
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.4
    (tmp_path / "in").mkdir()
    images = {"straight": (scan(), AFFINE), "sheared": (scan(), sheared), "flat": (np.full_like(scan(), 7), AFFINE)}
    for name, (array, affine) in images.items():
        create(tmp_path / "in" / f"{name}.nii.gz", array, affine)
    model = load_model(save_model(tmp_path / "model"))
    network = model.members[0].network
    assert isinstance(network, torch.nn.Module)
    torch.nn.init.constant_(next(network.parameters()), float("nan"))
    told = predict(model, [str(tmp_path / "in")], Output(tmp_path / "out")).to_json(model)
    assert told["totals"]["failed"] == len(told["cases"]) == 3
    words = {"straight": "output is not finite", "sheared": "resample it to a straight grid", "flat": "is 7 everywhere"}
    for case in told["cases"]:
        path = str(tmp_path / "in" / f"{case['id']}.nii.gz")
        assert case["error"].startswith(f"{path}: ")
        assert case["error"].count(path) == 1
        assert words[case["id"]] in case["error"]
    alone = [str(tmp_path / "in" / "straight.nii.gz")]
    [failed] = predict(model, alone, Output(tmp_path / "out")).failed
    assert str(failed.error).startswith(f"{alone[0]}: the network's output")
