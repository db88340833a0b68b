"""From the model's grid to the volume's own, strip by strip."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from torchio_seg.predictor.patch_grid import Strip
from torchio_seg.targets import background

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torchio_seg.predictor.patch_grid import Span
    from torchio_seg.records import Labels
    from torchio_seg.transforms.preprocessing import Grids


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
        if all(axis.is_kept for axis in (self._planes, self._rows, self._along)):
            yield from strips
            return
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
        self.is_kept = model == resampled == turned
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
