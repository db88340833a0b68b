"""What validations will take, reckoned from one case, where cases are of unequal size."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from torchio_seg.config.resolve import choose
from torchio_seg.progress import Silent
from torchio_seg.records import ValidationLeft
from torchio_seg.volumes.nifti import create
from torchio_seg.workflows.assembly import make_plan
from torchio_seg.workflows.job import Job

SECONDS = 0.02
SLEEPY = """
import time

import torch


class Sleepy(torch.nn.Conv3d):
    def forward(self, images):
        time.sleep({seconds} * len(images))
        return super().forward(images)


def build(in_channels, out_channels, patch_size):
    return Sleepy(in_channels, out_channels, 1)
"""
SIDES = (16, 16, 16, 24, 32, 48)
"""Of the cases; the last three validate. With patches of 16, side by side, they take 4, 4 and 9 passes."""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    (tmp_path / "sleepy_network.py").write_text(SLEEPY.format(seconds=SECONDS))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "sleepy_network", raising=False)
    rng = np.random.default_rng(0)
    for number, side in enumerate(SIDES):
        label = np.zeros((16, side, side), np.uint8)
        label[4:8, 4:8, 4:8] = 1
        image = (label + rng.normal(size=label.shape)).astype("f4")
        for folder, array in (("images", image), ("labels", label)):
            (tmp_path / folder).mkdir(exist_ok=True)
            create(tmp_path / folder / f"{number}.nii.gz", array, np.eye(4))
    changes = {
        "dataset.root": str(tmp_path),
        "sampling.store": str(tmp_path / "store"),
        "sampling.patch_size": [16, 16, 16],
        "sampling.patches_per_case": 1,
        "sampling.num_workers": 0,
        "prediction.overlap": 0.0,
        "prediction.batch_size": 1,
        "network": {"name": "sleepy_network.build"},
        "training.precision": "fp32",
        "training.validation_cases": 1,
        "preprocessing.spacing": "native",
        "device": "cpu",
    }
    experiment = choose("folders", None, changes)
    plan = make_plan(experiment)
    split = replace(plan.split, training=("0", "1", "2"), validation=("3", "4", "5"), test=())
    return Job(experiment, replace(plan, split=split))


def test_a_case_costs_what_its_patches_and_voxels_do(job: Job) -> None:
    patch = 16**3
    assert job.judge.work() == {"3": 4 * patch + 16 * 24**2, "4": 4 * patch + 16 * 32**2, "5": 9 * patch + 16 * 48**2}


def test_time_for_validation_is_kept_for_large_cases_too(job: Job) -> None:
    """A pass takes at least its sleep, so that less than this would not be enough."""
    passes = 4 + 4 + 9
    upkeep = job.judge.rehearse()
    assert upkeep.validation > 0.9 * SECONDS * passes / 3, "the mean turn"
    assert upkeep.ending > 0.9 * SECONDS * 2 * passes, "all cases, then those that are kept for the end, the same"


def test_the_process_with_the_largest_cases_tells_how_long_all_take(job: Job) -> None:
    upkeep = replace(job.judge, peers=replace(job.peers, num_ranks=2)).rehearse()
    assert upkeep.ending > 0.9 * SECONDS * 2 * (4 + 9), "the first and the third case fall to one"


def test_a_stop_is_heeded_after_a_case_and_leaves_what_is_known_as_it_was(job: Job) -> None:
    asked: list[None] = []

    def should_stop() -> bool:
        asked.append(None)
        return len(asked) == 2

    with pytest.raises(ValidationLeft):
        job.judge.validate(lambda *_: nullcontext(), should_stop, None, Silent())
    assert len(asked) == 2, "not before the second of three"
    assert job.judge.rotation.known == []
    assert job.judge.validate(lambda *_: nullcontext(), lambda: False, None, Silent()).num_cases == 3
