"""From the model's grid to the volume's own, a few planes at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from torchio_seg.targets import background, decode
from torchio_seg.transforms.preprocessing import centred, resample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from torchio_seg.records import Labels
    from torchio_seg.transforms.preprocessing import Grids
    from torchio_seg.transforms.recipe import Shape

PLANES = 8
"""How many are turned into labels at a time: what that needs beside the result is a few times their size."""


class OwnGrid:
    """Takes probabilities C I J K on the model's grid, plane after plane along an axis; makes the label map I J K.

    What had been cut away is filled, planes are resampled in themselves, then between each other, of which one is kept
    for the next: linear between voxels and constant beyond the last, as `Grids.back` has it for a whole volume.
    """

    def __init__(self, grids: Grids, labels: Labels, axis: int, *, keep_probabilities: bool) -> None:
        self.label_map: NDArray[np.generic] = np.empty(0)
        """On the stored axes; whole once `close` was called."""
        self.probabilities: NDArray[np.float32] | None = None
        """C I J K, where they are kept."""
        self._grids = grids
        self._labels = labels
        self._axis = axis
        self._keep = keep_probabilities
        self._from, self._share = _neighbours(grids.resampled_shape[axis], grids.turned_shape[axis])
        self._last: torch.Tensor | None = None
        self._came = self._taken = self._written = 0

    def add(self, probabilities: torch.Tensor, first: int) -> None:
        """The planes from the first on, each once and in order; what lies beyond the model's grid is padding."""
        if first != self._came:
            raise ValueError(f"planes from {first} on came where those from {self._came} on were due")
        self._came += self._count(probabilities)
        model, resampled = self._grids.model_shape, self._grids.resampled_shape
        for axis in range(3):
            start = first if axis == self._axis else 0
            wanted = max(0, min(probabilities.shape[1 + axis], model[axis] - start))
            probabilities = probabilities.narrow(1 + axis, 0, wanted)
        missing = resampled[self._axis] - model[self._axis]
        if missing < 0:
            cut = -missing // 2
            start, end = (
                min(max(0, at - first), self._count(probabilities)) for at in (cut, cut + resampled[self._axis])
            )
            probabilities = probabilities.narrow(1 + self._axis, start, end - start)
        elif first == 0:
            self._fill(missing // 2)
        for planes in probabilities.split(PLANES, dim=1 + self._axis):
            if self._count(planes):
                self._take(centred(planes, self._shape(resampled, self._count(planes)), background(self._labels)))

    def close(self) -> None:
        """No more planes: fill those that had been cut away at the end."""
        if self._came < self._grids.model_shape[self._axis]:
            raise ValueError(f"{self._came} of {self._grids.model_shape[self._axis]} planes came")
        self._fill(self._grids.resampled_shape[self._axis] - self._taken)

    def _fill(self, count: int) -> None:
        outside = torch.tensor(background(self._labels)).view(-1, 1, 1, 1)
        for done in range(0, count, PLANES):
            shape = self._shape(self._grids.resampled_shape, min(PLANES, count - done))
            self._take(outside.expand(-1, *shape))

    def _take(self, planes: torch.Tensor) -> None:
        """Planes of the resampled volume."""
        count, before = self._count(planes), self._taken
        self._taken += count
        planes = resample(planes, self._shape(self._grids.turned_shape, count))
        if self._grids.resampled_shape[self._axis] == self._grids.turned_shape[self._axis]:
            self._write(planes)
            return
        dim = 1 + self._axis
        if self._last is not None:
            planes, before = torch.cat([self._last, planes], dim=dim), before - 1
        final = self._grids.resampled_shape[self._axis] - 1
        ready = int(((self._from + 1).clamp(max=final) < self._taken).sum())
        for start in range(self._written, ready, PLANES):
            lower = self._from[start : min(start + PLANES, ready)]
            upper = (lower + 1).clamp(max=final)
            share = self._share[start : start + len(lower)].view(self._shape((1, 1, 1), len(lower)))
            self._write(
                torch.lerp(planes.index_select(dim, lower - before), planes.index_select(dim, upper - before), share)
            )
        self._last = planes.narrow(dim, self._count(planes) - 1, 1).clone()

    def _write(self, planes: torch.Tensor) -> None:
        """Planes of the turned volume."""
        labels = decode(planes, self._labels).numpy()
        turn = self._grids.orientation
        stored = turn.undo_shape(self._grids.turned_shape)
        if self._written == 0:
            self.label_map = np.empty(stored, labels.dtype)
            self.probabilities = np.empty((len(planes), *stored), np.float32) if self._keep else None
        at = [slice(None)] * 4
        at[1 + self._axis] = slice(self._written, self._written + self._count(planes))
        turn.view(self.label_map[None])[tuple(at)] = labels
        if self.probabilities is not None:
            turn.view(self.probabilities)[tuple(at)] = planes.numpy()
        self._written += self._count(planes)

    def _count(self, planes: torch.Tensor) -> int:
        return planes.shape[1 + self._axis]

    def _shape(self, shape: Shape, count: int) -> Shape:
        """A volume's shape with so many planes."""
        i, j, k = (count if axis == self._axis else size for axis, size in enumerate(shape))
        return i, j, k


def _neighbours(old: int, new: int) -> tuple[torch.Tensor, torch.Tensor]:
    """For each plane of the new number the one below it among the old, and how far it lies towards the next."""
    place = ((torch.arange(new, dtype=torch.float64) + 0.5) * (old / new) - 0.5).clamp(min=0)
    below = place.floor().long().clamp(max=old - 1)
    return below, (place - below).float()
