"""From the model's grid to the volume's own, strip by strip."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from torchio_seg.predictor.patch_grid import Strip
from torchio_seg.targets import activate, background, decode
from torchio_seg.volumes.scratch import HELD_BYTES, Room, rest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from torchio_seg.predictor.patch_grid import Span
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


class WayBack:
    """Makes strips of the volume's turned grid from those of the model's grid, in which `axis` is that of planes.

    What had been cut away is filled; then values are interpolated along rows, between rows, and between planes: linear
    between voxels and constant beyond the last, as `Grids.back` has it for a whole volume. Of what came before, only
    the last row and the last plane are kept.
    """

    def __init__(self, grids: Grids, labels: Labels, axis: int) -> None:
        shapes = (grids.model_shape, grids.resampled_shape, grids.turned_shape)
        of_axes = [_Axis(*sizes) for sizes in zip(*shapes, strict=True)]
        self._planes = of_axes.pop(axis)
        self._rows, self._along = of_axes
        self._outside = torch.tensor(background(labels)).view(-1, 1, 1)
        self._last_plane: torch.Tensor | None = None
        self._last_rows: dict[int, torch.Tensor] = {}
        """Of the bar before, for each plane of the resampled volume."""

    def __call__(self, strips: Iterator[Strip]) -> Iterator[Strip]:
        """Probabilities on the turned grid."""
        for strip in strips:
            first_row, end_row = self._rows.resampled_span(strip.row, strip.row + strip.values.shape[1])
            first, end = self._planes.resampled_span(strip.plane, strip.plane + 1)
            if first == end or first_row == end_row:
                continue
            values = self._fitted(self._fitted(strip.values, 1, self._rows, strip.row), 2, self._along, 0)
            values = self._along.between(values, 2, (0, self._along.turned), 0)
            own = self._planes.resampled_span(strip.plane, strip.plane + 1, filled=False)[0]
            for plane in range(first, end):
                whole = values if plane == own else self._outside_of(values).expand(values.shape)
                turned = self._between_rows(whole, plane, (first_row, end_row))
                yield from self._between_planes(turned, plane, self._rows.turned_up_to(first_row))

    def _outside_of(self, values: torch.Tensor) -> torch.Tensor:
        """What there is of each channel where nothing is; of those that the labels have none of, 0."""
        missing = len(values) - len(self._outside)
        return functional.pad(self._outside, (0, 0, 0, 0, 0, missing)).to(values.device)

    def _fitted(self, values: torch.Tensor, dim: int, axis: _Axis, start: int) -> torch.Tensor:
        """The values C A B along a dimension, of which the first is that of `start`, cut or filled as it had been."""
        end = start + values.shape[dim]
        first, last = axis.kept_span(start, end)
        before, after = axis.filling(start, end)
        kept = values.narrow(dim, first - start, last - first)
        if not before + after:
            return kept
        shapes = [[*kept.shape], [*kept.shape]]
        shapes[0][dim], shapes[1][dim] = before, after
        outside = self._outside_of(values)
        return torch.cat([outside.expand(shapes[0]), kept, outside.expand(shapes[1])], dim)

    def _between_rows(self, values: torch.Tensor, plane: int, span: Span) -> torch.Tensor:
        """The turned grid's rows for which all is there now, from rows of the resampled one."""
        if not self._rows.is_resampled:
            return values
        first, end = span
        above = self._last_rows.pop(plane, values[:, :0]).to(values.device)
        if end < self._rows.resampled:
            self._last_rows[plane] = values[:, -1:].clone()
        joined = torch.cat([above, values], 1) if above.shape[1] else values
        turned = self._rows.turned_up_to(first), self._rows.turned_up_to(end)
        return self._rows.between(joined, 1, turned, first - above.shape[1])

    def _between_planes(self, values: torch.Tensor, plane: int, row: int) -> Iterator[Strip]:
        """The turned grid's planes for which all is there now, as far as these rows go."""
        planes, num_rows = self._planes, values.shape[1]
        if not planes.is_resampled:
            if num_rows:
                yield Strip(values, plane, row)
            return
        if self._last_plane is None:
            self._last_plane = values.new_empty(len(values), self._rows.turned, self._along.turned)
        self._last_plane = self._last_plane.to(values.device)
        last = self._last_plane.narrow(1, row, num_rows)
        for turned in range(planes.turned_up_to(plane), planes.turned_up_to(plane + 1)) if num_rows else ():
            below, share = planes.below[turned], planes.share[turned]
            yield Strip(values.clone() if below == plane else torch.lerp(last, values, share), turned, row)
        last.copy_(values)


class _Axis:
    """One axis on its way: the model's voxels are cut or filled to the resampled ones, between which the turned lie."""

    def __init__(self, model: int, resampled: int, turned: int) -> None:
        self.resampled, self.turned = resampled, turned
        self.is_resampled = resampled != turned
        place = np.clip((np.arange(turned) + 0.5) * (resampled / turned) - 0.5, 0, resampled - 1)
        self.below: list[int] = np.floor(place).astype(int).tolist()
        self.share: list[float] = (place % 1).tolist()
        self._above = [min(below + 1, resampled - 1) for below in self.below]
        self._cut = max(0, model - resampled) // 2
        self._end = self._cut + min(model, resampled)
        self._filled = max(0, resampled - model) // 2

    def kept_span(self, start: int, end: int) -> Span:
        """Those of the model's voxels from `start` to `end` that the resampled volume has."""
        first = min(max(start, self._cut), self._end)
        return first, max(first, min(end, self._end))

    def filling(self, start: int, end: int) -> Span:
        """How many of the resampled volume lie before and after the model's voxels from `start` to `end`."""
        first, last = self.kept_span(start, end)
        is_first, is_last = first == self._cut and last > first, last == self._end and last > first
        after = self.resampled - self._filled - (self._end - self._cut)
        return self._filled * is_first, after * is_last

    def resampled_span(self, start: int, end: int, *, filled: bool = True) -> Span:
        """Where the model's voxels from `start` to `end` lie among the resampled ones, with what is filled about."""
        first, last = (at - self._cut + self._filled for at in self.kept_span(start, end))
        before, after = self.filling(start, end) if filled else (0, 0)
        return first - before, last + after

    def turned_up_to(self, count: int) -> int:
        """How many of the turned grid are known from so many of the resampled one."""
        return bisect_left(self._above, count) if self.is_resampled else count

    def between(self, values: torch.Tensor, dim: int, turned: Span, start: int) -> torch.Tensor:
        """The turned grid's voxels of a span along a dimension, from resampled ones of which the first is `start`."""
        if not self.is_resampled:
            return values
        first, end = turned
        below, above = (
            values.index_select(dim, torch.tensor(places[first:end], dtype=torch.int64, device=values.device) - start)
            for places in (self.below, self._above)
        )
        share = torch.tensor(self.share[first:end], dtype=values.dtype, device=values.device)
        return below.lerp_(above, share.view([-1 if axis == dim else 1 for axis in range(3)]))


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
