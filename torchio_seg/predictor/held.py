"""A volume on the model's grid, of which patches are normalised when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from torchio_seg.transforms.normalization import Measures, apply, measure

if TYPE_CHECKING:
    from torchio_seg.transforms.recipe import Recipe, Shape

UNMEASURED = {"none", "percentile", "window"}
"""Normalisations that take nothing from the volume."""


@dataclass(frozen=True)
class Held:
    """Patches as the network sees them."""

    volume: torch.Tensor
    """C I J K, not normalised, so that it is one for all members of an ensemble."""
    measures: tuple[Measures, ...]
    recipe: Recipe
    patch_size: Shape

    @classmethod
    def of(cls, volume: torch.Tensor, recipe: Recipe, patch_size: Shape) -> Held:
        """Measure the volume as its normalisation asks."""
        if recipe.normalization in UNMEASURED:
            return cls(volume, (), recipe, patch_size)
        return cls(volume, measure(volume, histogram=recipe.normalization == "histogram"), recipe, patch_size)

    @cached_property
    def _darkest(self) -> torch.Tensor:
        """The lowest value of each channel, which stands for air."""
        return self.volume.flatten(1).amin(dim=1).view(-1, 1, 1, 1)

    def __getitem__(self, inside: tuple[slice, ...]) -> torch.Tensor:
        """The patch C I J K at this place; where the volume is shorter, filled at its end with what stands for air."""
        found = apply(self.volume[inside], self.measures, self.recipe)
        if found.shape[1:] == self.patch_size:
            return found
        patch = found.new_zeros(len(found), *self.patch_size)
        if self.recipe.normalization == "percentile":
            patch += apply(self._darkest, (), self.recipe)
        i, j, k = found.shape[1:]
        patch[:, :i, :j, :k] = found
        return patch
