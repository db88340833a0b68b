"""A training that waits is told one setting that helps, once."""

from __future__ import annotations

import logging

import pytest

from torchio_seg.config.resolve import load, shipped
from torchio_seg.config.sections import Experiment
from torchio_seg.workflows.starvation import Adviser, advise


def experiment(**changes: object) -> Experiment:
    return load(shipped()["phantom"], {key.replace("__", "."): value for key, value in changes.items()})


def test_the_next_setting_is_named_when_the_one_before_is_used_up() -> None:
    assert "sampling.num_workers=1 (" in advise(experiment(sampling__num_workers=0), "cuda", 8)
    assert "sampling.num_workers=8" in advise(experiment(sampling__num_workers=6), "cuda", 8)
    assert "augmentation.device=cuda" in advise(experiment(sampling__num_workers=8), "cuda", 8)
    assert "processors that training needs too" in advise(experiment(sampling__num_workers=8), "cpu", 8)
    on_gpu = {"sampling__num_workers": 8, "augmentation__device": "cuda"}
    assert "image_interpolation=linear" in advise(
        experiment(**on_gpu, augmentation__image_interpolation="cubic"), "cuda", 8
    )
    assert "label_interpolation=nearest" in advise(
        experiment(**on_gpu, augmentation__label_interpolation="linear"), "cuda", 8
    )
    assert "less augmentation" in advise(experiment(**on_gpu), "cuda", 8)


def test_steps_of_torchio_are_not_sent_to_the_gpu() -> None:
    stock = [{"name": "torchio.RandomNoise"}]
    assert "augmentation.device" not in advise(
        experiment(sampling__num_workers=8, augmentation__intensity=stock), "cuda", 8
    )


def test_it_is_said_once_and_only_above_a_fifth(caplog: pytest.LogCaptureFixture) -> None:
    adviser = Adviser(experiment(), "cpu", 8)
    with caplog.at_level(logging.INFO):
        for record in ({"kind": "step"}, {"kind": "epoch", "waiting": 0.9}, {"kind": "epoch", "waiting": 0.19}):
            adviser(record)
        assert not caplog.records
        for _ in range(2):
            adviser({"kind": "epoch", "waiting": 0.41})
    assert len(caplog.records) == 1
    assert "41 % of the epoch" in caplog.text
    assert "--set sampling.num_workers=" in caplog.text
