"""What is kept of a volume on its own grid, from strips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from torchio_seg.predictor.patch_grid import Strip
from torchio_seg.targets import activate, decode
from torchio_seg.volumes.scratch import HELD_BYTES, Room, rest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from torchio_seg.predictor.uncertainty import Measure
    from torchio_seg.records import Labels
    from torchio_seg.transforms.preprocessing import Grids

KEPT_BYTES = 8 * 2**20
"""Of what lies in a file so much is in memory, and what came last."""


def averaged(members: Sequence[Iterator[Strip]]) -> Iterator[Strip]:
    """The mean of strips that come from several members in the same order."""
    for strips in zip(*members, strict=True):
        first, *others = strips
        for other in others:
            if (other.plane, other.row, other.values.shape) != (first.plane, first.row, first.values.shape):
                raise ValueError(f"a strip at {other.plane, other.row} came with one at {first.plane, first.row}")
            first.values.add_(other.values.to(first.values.device))
        yield first._replace(values=first.values.div_(len(strips))) if others else first


def activated(strips: Iterator[Strip], labels: Labels) -> Iterator[Strip]:
    """Probabilities from logits; each strip for itself, so that they are the same wherever it comes from."""
    return (_activated(strip, labels) for strip in strips)


def _activated(strip: Strip, labels: Labels) -> Strip:
    """What a network adds to the channels of the labels stays as it is."""
    logits, more = strip.values[: labels.num_channels], strip.values[labels.num_channels :]
    probabilities = activate(logits[None], labels)[0]
    return strip._replace(values=torch.cat([probabilities, more]) if len(more) else probabilities)


def is_decided_by_logits(grids: Grids, labels: Labels) -> bool:
    """Whether a voxel's label is that of its own largest logit, where no other network has a say."""
    return labels.exclusive and grids.model_shape == grids.resampled_shape == grids.turned_shape


def whole_planes(strips: Iterator[Strip], num_rows: int) -> Iterator[Strip]:
    """Each plane at once, when its last rows have come."""
    waiting: dict[int, torch.Tensor] = {}
    for values, plane, row in strips:
        if plane not in waiting:
            waiting[plane] = values.new_empty(len(values), num_rows, values.shape[2])
        waiting[plane].narrow(1, row, values.shape[1]).copy_(values)
        if row + values.shape[1] == num_rows:
            yield Strip(waiting.pop(plane), plane, 0)


class OwnGrid:
    """The label map I J K of a volume, and what else is kept of it, on the stored axes."""

    def __init__(
        self,
        grids: Grids,
        labels: Labels,
        axis: int,
        *,
        keep_probabilities: bool,
        held_bytes: int = HELD_BYTES,
        measure: Measure | None = None,
    ) -> None:
        """`held_bytes`: what is larger lies in a file. `measure`: what `uncertainty` is to hold."""
        self._measure = measure
        self._grids, self._labels, self._axis, self._held = grids, labels, axis, held_bytes
        self._keeps = keep_probabilities
        self._arrays: dict[str, _Filled] = {}

    @property
    def label_map(self) -> NDArray[np.generic]:
        found: NDArray[np.generic] = self._arrays["label map"].array[0]
        return found

    @property
    def probabilities(self) -> NDArray[np.float32] | None:
        """C I J K, where they are kept."""
        return self._arrays["probabilities"].array if self._keeps else None

    @property
    def uncertainty(self) -> NDArray[np.float32] | None:
        """I J K, where it is asked for."""
        return None if self._measure is None else self._arrays["uncertainty map"].array[0]

    def fill(self, strips: Iterator[Strip], *, are_logits: bool = False) -> None:
        """Take probabilities of all of the turned grid; a voxel that none came for, or two, is an error.

        `are_logits`: which decide labels, so that probabilities are made where something else is kept of them.
        """
        missing = int(np.prod(self._grids.turned_shape))
        for strip in strips:
            _, plane, row = strip
            labels = decode(strip.values[: self._labels.num_channels], self._labels)
            self._put("label map", labels[None], plane, row)
            missing -= labels.numel()
            if self._measure is None and not self._keeps:
                continue
            channels = (_activated(strip, self._labels) if are_logits else strip).values
            if self._measure is not None:
                self._put("uncertainty map", self._measure(channels, self._labels)[None], plane, row)
            if self._keeps:
                self._put("probabilities", channels[: self._labels.num_channels], plane, row)
        if missing:
            raise ValueError(f"{missing} voxels of the volume got no label")

    def _put(self, what: str, values: torch.Tensor, plane: int, row: int) -> None:
        found = values.cpu().numpy()
        if what not in self._arrays:
            turn = self._grids.orientation
            room = Room(self._held, turn.axes[self._axis], f"the {what}")
            stored = room((len(found), *turn.undo_shape(self._grids.turned_shape)), found.dtype)
            self._arrays[what] = _Filled(stored, np.moveaxis(turn.view(stored), 1 + self._axis, 1))
        self._arrays[what].put(found, plane, row)


class _Filled:
    """An array that is filled strip by strip; what has been leaves memory where it lies in a file."""

    def __init__(self, array: NDArray[Any], planes: NDArray[Any]) -> None:
        self.array = array
        """C I J K, on the stored axes."""
        self._planes = planes
        """The same as C, planes, rows, and what is in a row."""
        self._fresh = 0

    def put(self, values: NDArray[Any], plane: int, row: int) -> None:
        self._planes[:, plane, row : row + values.shape[1]] = values
        self._fresh += values.nbytes
        if self._fresh > KEPT_BYTES:
            rest(self.array)
            self._fresh = 0
