"""From the model's grid to the volume's own, plane by plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from torchio_seg.targets import activate, background, decode
from torchio_seg.transforms.preprocessing import centred, resample
from torchio_seg.volumes.scratch import HELD_BYTES, LabelRoom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from torchio_seg.records import Labels
    from torchio_seg.transforms.preprocessing import Grids
    from torchio_seg.transforms.recipe import Shape

PLANES = 8
"""How many are laid out anew at a time; along the last axis of a volume, one alone would read everything for itself."""


class OwnGrid:
    """Takes what a network says on the model's grid, planes in order along an axis; makes the label map I J K of it.

    What had been cut away is filled, each plane is resampled in itself, then between two of them, of which one is kept
    for the next: linear between voxels and constant beyond the last, as `Grids.back` has it for a whole volume. Each is
    computed for itself, so that labels are the same, bit for bit, however many planes come at once.
    """

    def __init__(
        self, grids: Grids, labels: Labels, axis: int, room: LabelRoom | None = None, *, keep_probabilities: bool
    ) -> None:
        self.label_map: NDArray[np.generic] = np.empty(0)
        """On the stored axes; whole once `close` was called."""
        self.probabilities: NDArray[np.float32] | None = None
        """C I J K, where they are kept."""
        self._grids = grids
        self._labels = labels
        self._axis = axis
        self._room = room or LabelRoom(HELD_BYTES, grids.orientation.axes[axis])
        self._keep = keep_probabilities
        shapes = (grids.model_shape, grids.resampled_shape, grids.turned_shape)
        self._model, self._resampled, self._turned = (_axis_first(shape, axis) for shape in shapes)
        self._below, self._share = _neighbours(self._resampled[0], self._turned[0])
        self._last = torch.empty(0)
        self._came = self._taken = self._written = 0

    def add_logits(self, logits: torch.Tensor, first: int) -> None:
        """Planes C I J K from the first on, each once and in order; what lies beyond the model's grid is padding."""
        for plane in self._planes(logits, first):
            self._take(activate(plane[None], self._labels)[0])

    def add(self, probabilities: torch.Tensor, first: int) -> None:
        """The same after activation."""
        for plane in self._planes(probabilities, first):
            self._take(plane)

    def close(self) -> None:
        """No more planes: fill those that had been cut away at the end."""
        if self._came < self._model[0]:
            raise ValueError(f"{self._came} of {self._model[0]} planes came")
        self._fill(self._resampled[0] - self._taken)

    def _planes(self, values: torch.Tensor, first: int) -> Iterator[torch.Tensor]:
        """Those that the resampled volume has too, each C 1 A B and contiguous."""
        if first != self._came:
            raise ValueError(f"planes from {first} on came where those from {self._came} on were due")
        planes = values.movedim(1 + self._axis, 0)
        self._came += len(planes)
        count, a, b = self._model
        missing = self._resampled[0] - count
        if first == 0:
            self._fill(max(0, missing) // 2)
        start = max(0, -missing) // 2
        end = min(count, start + self._resampled[0])
        for some in planes[max(0, start - first) : max(0, end - first), :, :a, :b].split(PLANES):
            yield from some.contiguous()[:, :, None]

    def _fill(self, count: int) -> None:
        """Planes that had been cut away."""
        outside = torch.tensor(background(self._labels)).view(-1, 1, 1, 1)
        for _ in range(count):
            self._take(outside.expand(-1, 1, *self._model[1:]))

    def _take(self, plane: torch.Tensor) -> None:
        """The next plane of the resampled volume, as far as the model's grid has it."""
        plane = centred(plane, (1, *self._resampled[1:]), background(self._labels))
        plane = resample(plane, (1, *self._turned[1:]))
        number, last = self._taken, self._resampled[0] - 1
        self._taken += 1
        if last + 1 == self._turned[0]:
            self._write(plane)
            return
        while self._written < self._turned[0] and min(self._below[self._written] + 1, last) <= number:
            below, share = self._below[self._written], self._share[self._written]
            self._write(plane if below == number else torch.lerp(self._last, plane, share))
        self._last = plane.clone()  # it may lie in memory that is used anew

    def _write(self, plane: torch.Tensor) -> None:
        """The next plane of the turned volume."""
        labels = decode(plane, self._labels).numpy()
        turn = self._grids.orientation
        stored = turn.undo_shape(self._grids.turned_shape)
        if self._written == 0:
            self.label_map = self._room(stored, labels.dtype)
            self.probabilities = np.empty((len(plane), *stored), np.float32) if self._keep else None
        np.moveaxis(turn.view(self.label_map[None])[0], self._axis, 0)[self._written] = labels[0]
        if self.probabilities is not None:
            np.moveaxis(turn.view(self.probabilities), 1 + self._axis, 0)[self._written] = plane[:, 0].numpy()
        self._written += 1


def _axis_first(shape: Shape, axis: int) -> Shape:
    i, j, k = (shape[axis], *(size for other, size in enumerate(shape) if other != axis))
    return i, j, k


def _neighbours(old: int, new: int) -> tuple[list[int], list[float]]:
    """For each plane of the new number the one below it among the old, and how far it lies towards the next."""
    place = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    return np.floor(place).astype(int).tolist(), (place % 1).tolist()
