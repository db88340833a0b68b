"""Whether loaders that are compared do like work: what their patches look like, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

REFERENCES = {
    "queue_raw": "monai_cache",
    "queue_arrays": "queue_raw",
    "nnunet": "monai_cache",
    "memmap": "queue_arrays",
    "ours": "monai_cache",
    "ours_nnunet": "nnunet",
}
"""Whom each is compared with."""
REASONS = {
    "queue_raw": "TorchIO's normalisation leaves the empty space at minus mean over deviation, MONAI's at zero",
    "queue_arrays": "one augmentation serves eight patches, so chance is large; with other seeds the two agree",
    "nnunet": "another augmentation, volumes cropped to the brain, and half of the patches hold foreground",
    "memmap": "not augmented: no noise, and nothing interpolated",
    "ours": "volumes are cropped to the brain, as nnU-Net's are, so that patches hold less empty space",
}
"""Why some may differ from their reference by more."""
TOLERANCES = {"mean": 0.25, "std": 0.25, "p1": 0.7, "p99": 0.5, "neighbours": 0.05, "foreground": 0.025}
"""About half as much again as 48 of MONAI's patches with three seeds differ by; in normalised intensity, in shares."""


def describe_batches(stream: Iterator[tuple[torch.Tensor, torch.Tensor]], patches: int) -> dict[str, Any]:
    """Means over patches, a number a channel; `neighbours` is how much voxels side by side differ on average."""
    rows, shares = [], []
    while len(rows) < patches:
        for image, label in zip(*next(stream), strict=True):
            rows.append(_describe(image.float()))
            shares.append(float((label > 0).float().mean()))
    found: dict[str, Any] = {name: np.mean([row[name] for row in rows], axis=0).round(3).tolist() for name in rows[0]}
    return {**found, "foreground": round(float(np.mean(shares)), 4), "patches": len(rows)}


def _describe(image: torch.Tensor) -> dict[str, list[float]]:
    values = image.flatten(1).numpy()
    steps = [image.diff(dim=axis).abs().mean(dim=(1, 2, 3)) for axis in (1, 2, 3)]
    low, high = np.percentile(values, [1, 99], axis=1)
    return {
        "mean": values.mean(axis=1).tolist(),
        "std": values.std(axis=1).tolist(),
        "p1": low.tolist(),
        "p99": high.tolist(),
        "neighbours": torch.stack(steps).mean(dim=0).tolist(),
    }


def differences(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Where a loader is further from its reference than the tolerances, as sentences."""
    told = []
    for name, reference in REFERENCES.items():
        if name not in found or reference not in found:
            continue
        far = []
        for key, tolerance in TOLERANCES.items():
            here, there = float(np.mean(found[name][key])), float(np.mean(found[reference][key]))
            if abs(here - there) > tolerance:
                far.append(f"{key} {here:.3f} instead of {there:.3f}")
        if far:
            why = REASONS.get(name, "not explained")
            told.append(f"{name} differs from {reference}: {', '.join(far)} ({why})")
    return told
