"""Predictions whose memory is reckoned and measured, one after another in a process of its own."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from torchio_seg.memory import peak_bytes, reset_peak, resident_bytes
from torchio_seg.predictor.budget import Image, measure_patch, reckon
from torchio_seg.predictor.ensemble import Ensemble
from torchio_seg.predictor.grid import Window
from torchio_seg.predictor.native import Predictor, Storage
from torchio_seg.records import Labels
from torchio_seg.transforms.preprocessing import find_grids
from torchio_seg.transforms.recipe import Recipe


def compare(argument: dict[str, Any]) -> dict[str, Any]:
    """For each case the bytes beyond what was held before, reckoned and measured."""
    return {"cases": [_case(**case) for case in argument["cases"]]}


def _case(
    shape: list[int],
    classes: int,
    *,
    batch_size: int = 1,
    members: int = 1,
    spacing: list[float] | None = None,
    in_file: bool = False,
    kept: bool = False,
) -> dict[str, int]:
    def answer(images: torch.Tensor) -> torch.Tensor:
        number = torch.arange(classes, dtype=torch.float32).view(1, -1, 1, 1, 1)
        return (images * (2 * number)).sub_(number**2)

    labels = Labels.of_classes({number: f"class {number}" for number in range(classes)})
    recipe = Recipe(None if spacing is None else tuple(spacing), None, "none")  # type: ignore[arg-type]
    window = Window((48, 48, 48), 0.25, batch_size, "gaussian")
    one = Predictor(answer, labels, recipe, window, torch.device("cpu"), "fp32")
    one = replace(one, storage=Storage(sums_in_file=in_file))
    array = np.random.default_rng(0).random((1, *shape), np.float32)
    cost = measure_patch(one, 1)
    held = resident_bytes(os.getpid())
    image = Image(1, find_grids(tuple(shape), np.eye(4), recipe), held, True)
    need = reckon([one] * members, [cost] * members, image, kept=kept)
    reset_peak()
    prediction = Ensemble((one,) * members)(array, np.eye(4), probabilities=kept)
    return {"reckoned": need.ram - held, "measured": peak_bytes() - held, "labels": int(prediction.label_map.max())}
