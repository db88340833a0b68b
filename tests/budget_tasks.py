"""Predictions whose memory is reckoned and measured, one after another in a process of its own."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchio_seg.memory import peak_bytes, reset_peak, resident_bytes
from torchio_seg.postprocessing import Step
from torchio_seg.predictor.budget import Wanted, measure_patch, reckon
from torchio_seg.predictor.ensemble import Ensemble
from torchio_seg.predictor.predictor import Predictor, Storage
from torchio_seg.predictor.reckoning import Image
from torchio_seg.predictor.skipping import Skipping
from torchio_seg.predictor.uncertainty import entropy
from torchio_seg.predictor.window import Window
from torchio_seg.records import Labels
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.volumes.nifti import create


def compare(argument: dict[str, Any]) -> dict[str, Any]:
    """For each case the bytes beyond what was held before, reckoned and measured."""
    return {"cases": [_case(**case) for case in argument["cases"]]}


def _predictor(classes: int, weights: int, spacing: list[float] | None, normalization: str) -> Predictor:
    """A network whose weights are of a size, and which tells classes apart by brightness."""
    own = torch.ones(weights)

    def answer(images: torch.Tensor) -> torch.Tensor:
        number = own[:classes].cumsum(0).sub_(1).view(1, -1, 1, 1, 1)
        return (images * (2 * number)).sub_(number**2)

    labels = Labels.of_classes({number: f"class {number}" for number in range(classes)})
    recipe = Recipe(None if spacing is None else tuple(spacing), None, normalization)  # type: ignore[arg-type]
    return Predictor(answer, labels, recipe, Window((48, 48, 48), 0.25, 1, "gaussian"), torch.device("cpu"), "fp32")


def _case(
    shape: list[int],
    classes: int,
    *,
    batch_size: int = 1,
    spacings: list[list[float] | None] | None = None,
    normalization: str = "none",
    held_bytes: int = 160 << 20,
    weights: int = 1 << 10,
    in_file: bool = False,
    kept: bool = False,
    mended: bool = False,
    skipping: bool = False,
    uncertain: bool = False,
) -> dict[str, int]:
    array = np.random.default_rng(0).random((1, *shape), np.float32)
    array[:, : shape[0] // 3] = 0
    resting = resident_bytes(os.getpid())
    members = []
    for spacing in spacings or [None]:
        one = _predictor(classes, weights, spacing, normalization)
        one = replace(one, window=replace(one.window, batch_size=batch_size), held_bytes=held_bytes)
        one = replace(one, storage=Storage(sums_in_file=in_file), measure=entropy if uncertain else None)
        members.append(replace(one, network=Skipping(one.network)) if skipping else one)
    costs = [measure_patch(one, 1) for one in members]
    held = resident_bytes(os.getpid())
    image = Image(1, tuple(shape), np.eye(4), held, is_in_memory=True, is_laid_out=True)  # type: ignore[arg-type]
    need = reckon(members, costs, image, Wanted(kept, mended))
    reset_peak()
    steps = tuple(Step(f"class {number}", "keep_largest") for number in range(1, classes)) if mended else ()
    found = Ensemble(tuple(members), steps)(array, np.eye(4), probabilities=kept)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("label_map", "probabilities", "uncertainty"):
            if (result := getattr(found, name)) is not None:
                create(Path(folder) / f"{name}.nii", result, np.eye(4))
    measured = peak_bytes()
    return {
        "reckoned": need.ram - resting,
        "measured": measured - resting,
        "beyond": measured - held,
        "slack": dict(need.parts)["slack"],
        "labels": int(found.label_map.max()),
    }
