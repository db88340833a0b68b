"""The next case is read while one is predicted if the reckoning has room for it, whatever else is asked for."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_models import AFFINE, save_model, scan

from torchio_seg.volumes.nifti import create, read
from torchio_seg.volumes.scan import Scan, open_scan
from torchio_seg.workflows.beside import READING_BYTES, Beside
from torchio_seg.workflows.budgets import Budgets
from torchio_seg.workflows.models import LoadedModel
from torchio_seg.workflows.opening import load_model
from torchio_seg.workflows.overlap import Ahead
from torchio_seg.workflows.predict import predict
from torchio_seg.workflows.predict_case import Output

PLENTY = 2**45


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(save_model(tmp_path_factory.mktemp("trained") / "model"))


def within(model: LoadedModel, ram: int) -> LoadedModel:
    return replace(model, budgets=Budgets(ram=ram))


def needed(model: LoadedModel, opened: Scan, *, probabilities: bool) -> int:
    """Bytes, found by asking for what is left of plenty."""
    low, high = 0, PLENTY
    fitting = within(model, PLENTY).fitting
    while high - low > 2**16:
        middle = (low + high) // 2
        is_left = fitting.has_room_beside(opened, middle, probabilities=probabilities)
        low, high = (middle, high) if is_left else (low, middle)
    return PLENTY - low


@pytest.mark.parametrize("probabilities", [False, True])
def test_the_next_is_begun_where_it_fits_and_else_it_is_said_once(
    tmp_path: Path, model: LoadedModel, caplog: pytest.LogCaptureFixture, probabilities: bool
) -> None:
    create(tmp_path / "scan.nii.gz", scan(), AFFINE)
    with open_scan(tmp_path / "scan.nii.gz") as opened:
        need = needed(model, opened, probabilities=probabilities)
        writing = model.fitting.writing_bytes(opened, probabilities=probabilities)
        for beyond, begins, waits in (
            (READING_BYTES + writing + 2**26, True, False),
            (READING_BYTES + writing - 2**23, True, True),
            (READING_BYTES - 2**26, False, True),
        ):
            begun: list[str] = []
            ended: list[bool] = []
            reading = Ahead([lambda: begun.append("next")] * 3, unwanted=lambda _: None)  # noqa: B023
            fitting = within(model, need + beyond).fitting
            beside = Beside(fitting, reading, lambda: ended.append(True), probabilities=probabilities)  # type: ignore[arg-type]  # noqa: B023
            with caplog.at_level(logging.INFO, "torchio_seg.workflows.beside"):
                caplog.clear()
                beside(opened)
                ended.clear()  # nothing was being written beside the first
                for _ in range(2):
                    assert (beside(opened) > 0) == begins
                assert bool(ended) == waits
                reading.close()
                assert begun == ["next"] * begins
                assert len([line for line in caplog.messages if "it is read in its turn" in line]) == (not begins)


def test_a_case_alone_waits_for_nothing(tmp_path: Path, model: LoadedModel, caplog: pytest.LogCaptureFixture) -> None:
    create(tmp_path / "scan.nii.gz", scan(), AFFINE)
    with open_scan(tmp_path / "scan.nii.gz") as opened, caplog.at_level(logging.INFO, "torchio_seg.workflows.beside"):
        none = Ahead[None]([], unwanted=lambda _: None)
        assert Beside(within(model, 2**20).fitting, none, lambda: None, probabilities=False)(opened) == 0  # type: ignore[arg-type]
    assert not caplog.messages


def test_what_is_written_of_many_is_the_same_within_any_budget_that_has_room(
    tmp_path: Path, model: LoadedModel
) -> None:
    (tmp_path / "scans").mkdir()
    for seed, name in enumerate("abc"):
        create(tmp_path / "scans" / f"{name}.nii.gz", scan(seed), AFFINE)
    with open_scan(tmp_path / "scans" / "a.nii.gz") as opened:
        need = needed(model, opened, probabilities=True)
    for name, ram in (("tight", need + 2**26), ("wide", PLENTY)):
        output = Output(tmp_path / name, probabilities=True)
        assert len(predict(within(model, ram), [str(tmp_path / "scans")], output).written) == 3
    files = sorted(path.name for path in (tmp_path / "tight").iterdir())
    assert len(files) == 6
    for file in files:
        assert np.array_equal(read(tmp_path / "tight" / file).array, read(tmp_path / "wide" / file).array), file
