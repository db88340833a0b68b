"""A whole volume as a network sees it, by what prediction makes its patches with."""

from __future__ import annotations

import torch

from torchio_seg.predictor.held import Held
from torchio_seg.transforms.recipe import Recipe, Shape


def normalize(volume: torch.Tensor, recipe: Recipe, shape: Shape | None = None) -> torch.Tensor:
    """The volume C I J K, filled up to a shape, as one patch."""
    i, j, k = shape or tuple(volume.shape[1:])
    return Held.of(volume, recipe, (i, j, k))[slice(None), slice(0, i), slice(0, j), slice(0, k)]
