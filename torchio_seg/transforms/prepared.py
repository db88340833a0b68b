"""A volume on the model's grid, normalised and padded, of which no more is in memory than the patches at work need.

Planes along one axis are read, turned, resampled, cut or filled and normalised as patches come for them in order; each
voxel is what it would be in the whole, but for the rounding of the interpolation along that axis and of a mean that is
put together from parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch

from torchio_seg.transforms.measuring import measure_parts
from torchio_seg.transforms.normalization import Measures, apply, outside
from torchio_seg.transforms.preprocessing import average, centred, covered, mean_along, resample

if TYPE_CHECKING:
    from torchio_seg.transforms.preprocessing import Grids
    from torchio_seg.transforms.recipe import Recipe, Shape
    from torchio_seg.volumes.source import Source

CHUNK_BYTES = 16 * 2**20
"""Of planes that are prepared at a time."""


class Rolling:
    """The planes that patches still ask for, in a window that moves along the volume."""

    def __init__(self, planes: Planes, slabs: Sequence[tuple[int, int]] = ()) -> None:
        """`slabs`: first planes, and those after the last, that patches come for in turn; else those of a patch."""
        self._slabs = slabs
        self.shape = (planes.num_channels, *planes.shape)
        self._planes = planes
        self._axis = planes.axis
        self._first = self._end = 0
        self._window = torch.empty(0)

    def __getitem__(self, inside: tuple[slice, ...]) -> torch.Tensor:
        """A patch C I J K, by the slices of its place; one that begins before an earlier one has all read anew."""
        along = inside[1 + self._axis]
        if along.start < self._first or along.stop > self._end:
            within = ((first, end) for first, end in self._slabs if first <= along.start and along.stop <= end)
            self._advance(*next(within, (along.start, along.stop)))
        here = slice(along.start - self._first, along.stop - self._first)
        patch = self._window[(*inside[: 1 + self._axis], here, *inside[2 + self._axis :])]
        return patch.clone()  # the window moves on under it

    def _advance(self, first: int, end: int) -> None:
        """Keep the planes from the first on that are there, and read those up to the end."""
        dim, length = 1 + self._axis, end - first
        kept = max(0, self._end - first) if first >= self._first else 0
        rest = self._window.narrow(dim, first - self._first, kept).clone() if kept else None
        if self._window.dim() == 1 or self._window.shape[dim] < length:
            shape = list(self.shape)
            shape[dim] = length
            self._window = torch.empty(0)  # so that there are never two
            self._window = torch.empty(shape)
        if rest is not None:
            self._window.narrow(dim, 0, kept).copy_(rest)
        at = kept
        for chunk in self._planes.chunks(first + kept, end):
            self._window.narrow(dim, at, chunk.shape[dim]).copy_(chunk)
            at += chunk.shape[dim]
        self._first, self._end = first, end


@dataclass(frozen=True)
class Planes:
    """Any planes of a volume along an axis, made anew whenever they are asked for."""

    source: Source
    """C I J K, as it is stored."""
    grids: Grids
    recipe: Recipe
    shape: Shape
    """Of the model's grid and what it is padded to."""
    axis: int
    """Of the model's grid."""

    @property
    def num_channels(self) -> int:
        return self.source.shape[0]

    @property
    def num_bytes(self) -> int:
        """Of the whole volume in float32, on its own grid or the model's, whichever has more voxels."""
        return 4 * self.num_channels * max(prod(self.shape), prod(self.source.shape[1:]))

    def chunks(self, first: int, end: int) -> Iterator[torch.Tensor]:
        """Planes of the volume that the network sees, C I J K, some at a time."""
        length = self.grids.model_shape[self.axis]
        for part in self._on_grid(first, min(end, length)):
            yield self._padded(apply(part, self._measures, self.recipe), part.shape[1 + self.axis])
        if end > (there := max(first, length)):
            yield self._padded(None, end - there)

    def _padded(self, planes: torch.Tensor | None, number: int) -> torch.Tensor:
        """So many planes of the shape to be reached, on which these come first and the rest is air."""
        shape = self._sized(self.shape, number)
        if planes is not None and tuple(planes.shape[1:]) == shape:
            return planes
        padded = torch.tensor(self._air).view(-1, 1, 1, 1).expand(-1, *shape).clone()
        if planes is not None:
            i, j, k = planes.shape[1:]
            padded[:, :i, :j, :k] = planes
        return padded

    @cached_property
    def _air(self) -> list[float]:
        return outside(self._measures, self.recipe) or [0.0] * self.num_channels

    @cached_property
    def _measures(self) -> tuple[Measures, ...]:
        """What normalisation and padding take from the whole volume, by passes over all of it."""
        kind = self.recipe.normalization
        if kind in {"none", "window"} or (kind == "percentile" and self.shape == self.grids.model_shape):
            return ()
        length = self.grids.model_shape[self.axis]
        return measure_parts(lambda: self._on_grid(0, length), histogram=kind == "histogram")

    @cached_property
    def _darkest(self) -> list[float]:
        """Of each channel before it is resampled, which fills what is not there."""
        parts = (self._turned(first, end) for first, end in self._steps(0, self.grids.turned_shape[self.axis]))
        return torch.stack([part.flatten(1).amin(dim=1) for part in parts]).amin(dim=0).tolist()

    def _on_grid(self, first: int, end: int) -> Iterator[torch.Tensor]:
        """Planes of the model's grid, some at a time."""
        return (self._centred(low, high) for low, high in self._steps(first, end))

    def _steps(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Few enough planes at a time, before and after they are resampled."""
        sizes = (self.grids.turned_shape, self.grids.resampled_shape, self.grids.model_shape)
        per_plane = max(prod(shape) for shape in sizes) // self.grids.resampled_shape[self.axis]
        step = max(1, CHUNK_BYTES // (4 * self.num_channels * max(1, per_plane)))
        return ((low, min(low + step, end)) for low in range(first, end, step))

    def _centred(self, first: int, end: int) -> torch.Tensor:
        """Planes of the model's grid, cut or filled to it."""
        if self.grids.resampled_shape == self.grids.model_shape:
            return self._resampled(first, end)
        old, new = (shape[self.axis] for shape in (self.grids.resampled_shape, self.grids.model_shape))
        shift = (old - new) // 2 if old > new else -((new - old) // 2)
        low, high = (min(max(0, place + shift), old) for place in (first, end))
        shape = self._sized(self.grids.model_shape, end - first)
        result = torch.tensor(self._darkest).view(-1, 1, 1, 1).expand(-1, *shape).clone()
        if high > low:
            across = self._sized(self.grids.model_shape, high - low)
            planes = centred(self._resampled(low, high), across, self._darkest)
            result.narrow(1 + self.axis, low - shift - first, high - low).copy_(planes)
        return result

    def _resampled(self, first: int, end: int) -> torch.Tensor:
        """Planes of the resampled volume; the last axis comes first, as in torch, so that the same bits come out."""
        wanted = self.grids.resampled_shape
        old, new = self.grids.averaged_shape[self.axis], wanted[self.axis]
        if old == new:
            return resample(self._averaged(first, end), self._sized(wanted, end - first))
        below, above, share = neighbours(old, new, first, end)
        low, high = int(below[0]), int(above[-1]) + 1
        planes = self._averaged(low, high)
        planes = resample(planes, self._later(planes, wanted))
        lower, upper = (planes.index_select(1 + self.axis, number - low) for number in (below, above))
        share = share.view([-1 if axis == self.axis else 1 for axis in range(3)])
        planes = upper.mul_(share).addcmul_(lower, 1 - share)
        return resample(planes, self._sized(wanted, end - first))

    def _averaged(self, first: int, end: int) -> torch.Tensor:
        """Planes of the volume that is averaged along some axes, in the same order."""
        wanted = self.grids.averaged_shape
        old, new = self.grids.turned_shape[self.axis], wanted[self.axis]
        if old == new:
            return average(self._turned(first, end), self._sized(wanted, end - first))
        places, shares = covered(old, new, first, end)
        low, high = int(places.amin()), int(places.amax()) + 1
        planes = self._turned(low, high)
        planes = average(planes, self._later(planes, wanted))
        planes = mean_along(planes, self.axis, places - low, shares)
        return average(planes, self._sized(wanted, end - first))

    def _later(self, planes: torch.Tensor, wanted: Shape) -> Shape:
        """The planes' shape, those axes as wanted whose turn is before that of the planes' own."""
        return _three(size if axis > self.axis else planes.shape[1 + axis] for axis, size in enumerate(wanted))

    def _turned(self, first: int, end: int) -> torch.Tensor:
        """Planes of the turned volume, float32."""
        turn = self.grids.orientation
        stored = turn.axes[self.axis]
        length = self.source.shape[1 + stored]
        low, high = (length - end, length - first) if turn.flips[stored] else (first, end)
        part = turn.view(self.source.read(stored, low, high))
        return torch.from_numpy(np.ascontiguousarray(part, dtype=np.float32))

    def _sized(self, shape: Shape, number: int) -> Shape:
        """The shape with so many planes."""
        return _three(number if axis == self.axis else size for axis, size in enumerate(shape))


def _three(sizes: Iterable[int]) -> Shape:
    i, j, k = sizes
    return i, j, k


def neighbours(old: int, new: int, first: int, end: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For these of `new` planes those of `old` below and above, and the share of the one above, as torch rounds it."""
    scale = float(np.float32(old) / np.float32(new))
    place = torch.arange(first, end, dtype=torch.float64).add_(0.5).mul_(scale).sub_(0.5).float().clamp_(min=0)
    below = place.floor().long().clamp_(max=old - 1)
    share = (place - below).clamp_(0, 1)
    return below, (below + 1).clamp_(max=old - 1), share
