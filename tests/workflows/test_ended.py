"""A training that has nothing left to do is known by its records, without its data."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from torchio_seg.config.resolve import load, shipped
from torchio_seg.records import Split
from torchio_seg.trainer import Position
from torchio_seg.workflows.ended import find_end

SPLIT = Split(("a",), ("b",), ("c",))
AT = {"epoch": 3, "step": 30, "num_steps": 30, "validated_at": 30}


def ended(run: Path, position: dict[str, Any], now: dict[str, Any], earlier: dict[str, Any], scored: str) -> bool:
    (run / "checkpoints" / "last").mkdir(parents=True)
    (run / "evaluation").mkdir()
    (run / "evaluation" / f"{scored}.json").write_text("{}")
    torch.save({"position": asdict(Position(**position))}, run / "checkpoints" / "last" / "trainer.pt")
    settings = [
        load(shipped()["phantom"], {f"training.{key}": value for key, value in each.items()}) for each in (now, earlier)
    ]
    return find_end(run, *settings, SPLIT) is not None


@pytest.mark.parametrize(
    ("position", "now", "earlier", "is_over"),
    [
        ({}, {"epochs": 3}, {"epochs": 3}, True),
        ({}, {"epochs": 4}, {"epochs": 3}, False),
        ({}, {"epochs": 2}, {"epochs": 3}, True),
        ({}, {"steps": 30}, {"steps": 30}, True),
        ({}, {"steps": 31}, {"steps": 30}, False),
        ({}, {"max_time": "1h"}, {"max_time": "1h"}, True),
        ({}, {"max_time": "2h"}, {"max_time": "1h"}, False),
        ({"num_steps": 40}, {"max_time": "1h"}, {"max_time": "1h"}, False),
        ({"num_steps": None}, {"max_time": "1h"}, {"max_time": "1h"}, False),
        ({"validations_since_best": 2}, {"epochs": 9, "patience": 2}, {"epochs": 9, "patience": 2}, True),
        ({"validations_since_best": 2}, {"epochs": 9, "patience": 3}, {"epochs": 9, "patience": 2}, False),
        ({"validations_since_best": 2}, {"epochs": 10, "patience": 2}, {"epochs": 9, "patience": 2}, False),
        ({"validated_at": 20}, {"epochs": 3}, {"epochs": 3}, False),
    ],
)
def test_it_is_over_when_the_length_that_is_wanted_now_is_reached(
    tmp_path: Path, position: dict[str, Any], now: dict[str, Any], earlier: dict[str, Any], is_over: bool
) -> None:
    assert ended(tmp_path, {**AT, **position}, now, earlier, "test") == is_over


def test_it_goes_on_while_the_cases_kept_apart_are_not_scored(tmp_path: Path) -> None:
    assert not ended(tmp_path, AT, {"epochs": 3}, {"epochs": 3}, "validation")
