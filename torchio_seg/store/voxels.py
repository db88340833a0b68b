"""One case as patches are cut from it: any box of it, normalised, without touching the rest.

Only the box that is not empty is kept: outside of it every channel is 0 and nothing is labelled. Images are not
normalised, so that one store serves every fold and every normalisation; measures of the whole case are kept instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from torchio_seg.transforms.maps import Box
from torchio_seg.transforms.normalization import Measures, apply, outside
from torchio_seg.transforms.recipe import Recipe, Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

Row = tuple[float, float, float, float]

_PIECE_VOXELS = 1 << 16


@dataclass(frozen=True)
class Record:
    """What is known of a case besides its voxels."""

    case: str
    shape: Shape
    """Of the model's grid."""
    affine: tuple[Row, ...]
    """Of the model's grid."""
    start: Shape
    """The first voxel of the box that is kept."""
    scales: tuple[float, ...]
    """A kept value times this is an intensity; powers of two, so that nothing but the type rounds."""
    measures: tuple[Measures, ...]
    """Of each channel on the whole grid, before anything was rounded."""
    counts: Mapping[int, int]
    """How many voxels of the box hold each value that can be chosen, background (0) included, in ascending order."""
    slice_weights: tuple[float, ...] = ()
    """Sums of the sampling map over each slice of the first axis; empty where there is no map."""


@dataclass(frozen=True)
class Voxels:
    """A case's arrays, in memory or mapped from disk."""

    record: Record
    image: NDArray[np.floating[Any]]
    """C I J K."""
    label: NDArray[np.unsignedinteger[Any]]
    """1 I J K."""
    foreground: NDArray[np.unsignedinteger[Any]]
    """Flat positions in the box of all voxels of the first class, then of the next, without background."""
    sample: NDArray[np.float32]
    """C N, intensities of some foreground voxels."""
    weights: NDArray[np.float32] | None = None
    """I J K, the sampling map."""

    @property
    def size(self) -> Shape:
        """Of the box."""
        _, i, j, k = self.label.shape
        return i, j, k

    @property
    def affine(self) -> NDArray[np.float64]:
        """Of the model's grid."""
        return np.array(self.record.affine)

    @property
    def classes(self) -> list[int]:
        """The values present that are foreground."""
        return [value for value, count in self.record.counts.items() if value != 0 and count]

    @cached_property
    def _first(self) -> dict[int, int]:
        """Where the positions of each class begin."""
        ends = np.cumsum([self.record.counts[value] for value in self.classes])
        return dict(zip(self.classes, [0, *ends.tolist()], strict=False))

    def voxel_of(self, value: int, number: int) -> Shape:
        """The voxel on the model's grid that is this one, counted from 0, of those of a foreground class."""
        return self.on_grid(int(self.foreground[self._first[value] + number]))

    def on_grid(self, flat: int) -> Shape:
        """A flat position of the box as a voxel of the model's grid."""
        places = np.unravel_index(flat, self.size)
        i, j, k = (int(place) + first for place, first in zip(places, self.record.start, strict=True))
        return i, j, k

    def read(self, box: Box, recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
        """Image C I J K, normalised, and label 1 I J K of a box of the model's grid, which it may leave."""
        source, target = _overlap(box, Box(self.record.start, self.size))
        kept = self.image[:, *source]
        is_covered = tuple(kept.shape[1:]) == box.size
        images = torch.empty(kept.shape) if is_covered else self._empty(box, recipe)
        filled = images[:, *target]
        for piece in _pieces(kept.shape[1:]):
            filled[:, piece] = self._normalized(kept[:, piece], recipe)
        labels = np.zeros((1, *box.size), np.uint8 if self.label.dtype == np.uint8 else np.int32)  # torch knows these
        labels[:, *target] = self.label[:, *source]
        return images, torch.from_numpy(labels)

    def _normalized(self, kept: NDArray[np.floating[Any]], recipe: Recipe) -> torch.Tensor:
        image = torch.from_numpy(kept.copy()).float()  # much faster than to convert what is not contiguous
        for channel, scale in zip(image, self.record.scales, strict=True):
            if scale != 1:
                channel.mul_(scale)
        return apply(image, self.record.measures, recipe)

    def _empty(self, box: Box, recipe: Recipe) -> torch.Tensor:
        """An image without the voxels that are kept: 0 on the grid, air beyond it."""
        measures = self.record.measures
        nothing = apply(torch.zeros(len(measures), 1, 1, 1), measures, recipe)
        beyond = torch.tensor(outside(measures, recipe)).view(-1, 1, 1, 1)
        images = torch.zeros(len(measures), *box.size)
        if beyond.any():
            images += beyond
        if not torch.equal(nothing, beyond):
            _, on_grid = _overlap(box, Box((0, 0, 0), self.record.shape))
            images[:, *on_grid] = nothing
        return images


def _pieces(shape: Sequence[int]) -> list[slice]:
    """Along the first axis, small enough for the processor's cache."""
    step = max(1, _PIECE_VOXELS // max(1, shape[1] * shape[2]))
    return [slice(first, first + step) for first in range(0, shape[0], step)]


def _overlap(box: Box, kept: Box) -> tuple[Sequence[slice], Sequence[slice]]:
    """What two boxes have in common, as slices of the second and of the first."""
    source, target = [], []
    for first, wanted, start, length in zip(box.start, box.size, kept.start, kept.size, strict=True):
        low = min(max(first, start), start + length)
        high = max(low, min(first + wanted, start + length))
        source.append(slice(low - start, high - start))
        target.append(slice(low - first, high - first) if high > low else slice(0, 0))
    return source, target
