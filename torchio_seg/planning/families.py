"""The random changes that a data set bears: nnU-Net's families, less what would be wrong for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torchio_seg.planning.spacing import ANISOTROPIC, Spacing

DEGREES = 30.0
"""nnU-Net's, about each axis."""
_SIDES = re.compile(r"(?:^|[^a-z])(left|right|lt|rt|lh|rh)(?:[^a-z]|$)", re.IGNORECASE)
_LETTER = re.compile(r"(?:^|[ _.-])([lr])(?:[ _.-]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Changes:
    """Steps as settings have them, and what was left out for which reason."""

    spatial: tuple[dict[str, Any], ...]
    intensity: tuple[dict[str, Any], ...]
    reasons: tuple[str, ...]


def choose_changes(spacing: Spacing, classes: Sequence[str], *, few_steps: bool = False) -> Changes:
    """Flips where there are steps enough to learn them; affine maps, noise, blur, contrast, gamma and more."""
    sided = tell_sides(classes)
    axes = [] if few_steps else [1, 2] if sided else [0, 1, 2]
    degrees = [DEGREES if _is_even(spacing, axis) else 0.0 for axis in range(3)]
    reasons = []
    if few_steps:
        reasons.append("no mirroring: what few steps teach is better spent on scans as they are")
    elif sided:
        reasons.append(f"no mirroring from left to right: {' and '.join(sided[:2])} would change places")
    if 0.0 in degrees:
        reasons.append("turned and scaled in the plane of short voxels only: along long ones that blends slices")
    spatial = (
        *([{"name": "flip", "probability": 0.5, "axes": axes}] if axes else []),
        {"name": "affine", "probability": 0.2, "degrees": degrees, "scale": 0.3, "isotropic": True},
    )
    intensity = (
        {"name": "noise", "probability": 0.1, "std": [0.0, 0.3]},
        {"name": "blur", "probability": 0.2, "per_channel": True, "std_mm": [0.5, 1.0]},
        {"name": "brightness", "probability": 0.15, "factor": [0.75, 1.25]},
        {"name": "contrast", "probability": 0.15, "factor": [0.75, 1.25]},
        {"name": "low_resolution", "probability": 0.25, "per_channel": True, "zoom": [0.5, 1.0]},
        {"name": "gamma", "probability": 0.1, "invert_probability": 1.0, "retain_stats": True},
        {"name": "gamma", "probability": 0.3, "retain_stats": True},
    )
    return Changes(spatial, intensity, tuple(reasons))


def tell_sides(classes: Sequence[str]) -> list[str]:
    """The classes that are one side of the body: named so, or by L and R where both letters occur."""
    named = [name for name in classes if _SIDES.search(name)]
    lettered = [(name, match.group(1).lower()) for name in classes if (match := _LETTER.search(name))]
    if {letter for _, letter in lettered} == {"l", "r"}:
        named += [name for name, _ in lettered if name not in named]
    return named


def _is_even(spacing: Spacing, axis: int) -> bool:
    """Whether the plane across an axis has voxels of about equal edges."""
    first, second = (edge for other, edge in enumerate(spacing) if other != axis)
    return max(first, second) <= ANISOTROPIC * min(first, second)
