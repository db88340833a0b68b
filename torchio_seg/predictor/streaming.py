"""Putting a volume together from overlapping patches that come in order, in float32.

Sums exist only for the bar that patches come for, and for what a later slab shares with those that came; what no later
patch touches is finished and handed on, a strip of a plane at a time. So memory follows the patch and the size of a
plane, not the length of the volume.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import numpy as np
import torch

from torchio_seg.errors import TorchioSegError
from torchio_seg.predictor.blending import Blending, profile, window
from torchio_seg.predictor.patch_grid import Strip
from torchio_seg.volumes.scratch import Room, rest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torchio_seg.predictor.patch_grid import PatchGrid, Place

PLANES = 8
"""How many are finished at a time: where planes follow the last axis, one alone would read everything for itself."""
CPU = torch.device("cpu")


class Frontier:
    """The sums that wait for a patch; what is finished leaves as strips, in order.

    Every patch of the grid must come, once, in the grid's order: that fixes the order of addition, so results are the
    same wherever sums lie, and makes the weight of a voxel a product of three sums along the axes.
    """

    def __init__(
        self,
        grid: PatchGrid,
        blending: Blending,
        device: torch.device = CPU,
        *,
        in_file: bool = False,
        volume: Sequence[int] | None = None,
    ) -> None:
        """`in_file`: where sums wait for the next slab instead of in memory, if they wait beside those of a bar.

        `volume`: its shape, where the grid is larger, being filled up to a patch.
        """
        self.grid = grid
        self.blending = blending
        self.device = device
        self._volume = grid.shape if volume is None else volume
        self._in_file = in_file and grid.has_bars
        self._file = np.empty(0, np.float32)
        self._window = window(grid.patch_size, blending).to(device)
        planes, rows, along = (_weights(grid, axis, blending).to(device) for axis in grid.axes)
        self._weights, self._across = planes, rows * along
        """Of each plane; and of each place in one."""
        self._sums = torch.empty(0)
        """Of the bar, its rows in a ring."""
        self._waiting = torch.empty(0)
        self._bar: tuple[int, int] | None = None
        """The numbers of the slab and of the bar that patches come for."""
        self._came = 0

    @property
    def bytes_held(self) -> int:
        """What sums take."""
        return self._sums.nbytes + self._waiting.nbytes * self.grid.has_bars

    def finished_before(self, place: Place) -> Iterator[Strip]:
        """What neither the patch at this place nor a later one touches; all of it is to be taken before `put`."""
        due = self.grid.places[self._came] if self._came < len(self.grid.places) else None
        if place != due:
            raise TorchioSegError(
                f"a patch at {place} came where {f'that at {due}' if due else 'no more'} was due; voxels would be "
                "covered by no patch or by one twice. Hand patches over in the order of their grid"
            )
        if self._bar is not None and self._bar != self.grid.bar_of(place):
            yield from self._leave(*self._bar)

    def put(self, patch: torch.Tensor, place: Place) -> None:
        """The patch C I J K, float32, on the frontier's device, whose first voxel lies at this place."""
        if not self._sums.numel():
            self.make_room(len(patch))
        if (bar := self.grid.bar_of(place)) != self._bar:
            self._enter(*bar)
        if self.blending == "crop":
            self._write(patch, place)
        else:
            self._add(patch, place)
        self._came += 1

    def finished(self) -> Iterator[Strip]:
        """No more patches: what waited is finished."""
        missing = self.grid.places[self._came :]
        if self._bar is None or missing:
            raise TorchioSegError(
                f"{len(missing)} of {len(self.grid.places)} patches never came, the first at {missing[0]}: voxels "
                "there are covered by no patch, or by too few"
            )
        yield from self._leave(*self._bar)

    def move_to_main_memory(self) -> None:
        """Go on there, wherever sums were."""
        self.device = CPU
        self._window, self._weights, self._across = self._window.cpu(), self._weights.cpu(), self._across.cpu()
        self._sums = self._sums.cpu()
        self._waiting = self._waiting.cpu() if self.grid.has_bars else self._sums

    def make_room(self, num_channels: int) -> int:
        """For the sums of a bar, and for those that wait, which are among them where a slab is one bar; its bytes."""
        sums = waiting = torch.empty(num_channels, *self.grid.bar_shape, device=self.device)
        if self.grid.has_bars:
            shape = (num_channels, *self.grid.waiting_shape)
            if self._in_file:
                self._file = Room(0, self.grid.axes[1], "sums of patches")(shape, np.dtype(np.float32))
                waiting = torch.from_numpy(self._file)
            else:
                waiting = torch.empty(shape, device=self.device)
        self._sums, self._waiting = sums, waiting
        return self.bytes_held

    def _enter(self, slab: int, bar: int) -> None:
        """Make room for the rows that this bar has and the one before had not; the slab before has sums for some."""
        planes, rows, _ = self.grid.axes
        length = self.grid.bar_shape[rows]
        first = self.grid.bars[bar][0]
        known = self.grid.bars[bar - 1][0] + length if bar else 0
        carried = self.grid.carried[slab - 1] if slab else 0
        for at, within, count in self._runs(known, first + length - known):
            target = self._rows_of_bar(at, count)
            target.narrow(1 + planes, carried, target.shape[1 + planes] - carried).zero_()
            if carried and self.grid.has_bars:
                waiting = self._waiting.narrow(1 + rows, known + within, count)
                target.narrow(1 + planes, 0, carried).copy_(waiting.narrow(1 + planes, 0, carried))
        self._bar = slab, bar
        rest(self._file)

    def _leave(self, slab: int, bar: int) -> Iterator[Strip]:
        """Finish the rows that no later bar of the slab touches; what the next slab shares of them waits for it."""
        planes, rows, _ = self.grid.axes
        (first, end), carried = self.grid.bars[bar], self.grid.carried[slab]
        done = self.grid.lengths[slab] - carried
        for plane in range(0, done, PLANES):
            yield from self._strips(slab, plane, min(PLANES, done - plane), bar)
        for at, within, count in self._runs(first, end - first):
            source = self._rows_of_bar(at, count).narrow(1 + planes, done, carried)
            target = self._waiting.narrow(1 + rows, first + within, count).narrow(1 + planes, 0, carried)
            for some, onto in zip(source.split(done, 1 + planes), target.split(done, 1 + planes), strict=True):
                onto.copy_(some)  # which are the same planes moved up where a slab is one bar
        rest(self._file)

    def _strips(self, slab: int, plane: int, count: int, bar: int) -> Iterator[Strip]:
        """Some planes of the bar, weights taken out, each contiguous."""
        planes, rows, _ = self.grid.axes
        (first, end), number = self.grid.bars[bar], self.grid.slabs[slab][0] + plane
        weights = self._weights.narrow(planes, number, count)
        laid = self._room_for(count, end - first)
        values = laid if planes == 2 else laid.movedim(0, 1 + planes)
        for at, within, length in self._runs(first, end - first):
            source = self._rows_of_bar(at, length).narrow(1 + planes, plane, count)
            target = values.narrow(1 + rows, within, length)
            if self.blending == "crop":
                target.copy_(source)
            else:
                torch.div(source, weights * self._across.narrow(rows, first + within, length), out=target)
        if not torch.stack(laid.aminmax()).isfinite().all():
            self._tell_not_finite(values, number, first)
        if planes == 2:
            values = values.movedim(-1, 0).contiguous().movedim(0, -1)
        for within in range(count):
            yield Strip(values.select(1 + planes, within), number + within, first)

    def _room_for(self, count: int, num_rows: int) -> torch.Tensor:
        """For so many planes, each contiguous, or C I J K where planes follow the last axis, as sums lie."""
        plane = (len(self._sums), num_rows, self.grid.shape[self.grid.axes[2]])
        return torch.empty((*plane, count) if self.grid.axis == 2 else (count, *plane), device=self.device)

    def _tell_not_finite(self, values: torch.Tensor, plane: int, row: int) -> NoReturn:
        places = (~values.isfinite()).nonzero()
        places[:, 1 + self.grid.axes[0]] += plane
        places[:, 1 + self.grid.axes[1]] += row
        inside = places[(places[:, 1:] < torch.tensor(self._volume, device=places.device)).all(dim=1)]
        if not len(inside):
            where = "in what a volume shorter than a patch is filled with at its end"
        else:
            channel, *voxel = inside[0].tolist()
            where = f"first in channel {channel} at voxel {tuple(voxel)} of the model's grid"
        raise TorchioSegError(
            f"the network's output is not finite, {where}; predict with --precision fp32, or train anew"
        )

    def _add(self, patch: torch.Tensor, place: Place) -> None:
        planes, rows, along = self.grid.axes
        i, _, k = (self.grid.patch_size[axis] for axis in self.grid.axes)
        for at, within, length in self._runs(place[rows], self.grid.patch_size[rows]):
            target = self._rows_of_bar(at, length).narrow(1 + along, place[along], k)
            target = target.narrow(1 + planes, self._plane_of_slab(place), i)
            target.addcmul_(patch.narrow(1 + rows, within, length), self._window.narrow(rows, within, length))

    def _write(self, patch: torch.Tensor, place: Place) -> None:
        """Overwrite all but half of the overlap on the sides that do not touch the volume's border."""
        planes, rows, _ = self.grid.axes
        target, source = [slice(None)], [slice(None)]
        for axis, (start, size, overlap, total) in enumerate(
            zip(place, self.grid.patch_size, self.grid.overlap, self.grid.shape, strict=True)
        ):
            first = overlap // 2 if start > 0 else 0
            last = size - overlap // 2 if start + size < total else size
            begin = self._plane_of_slab(place) if axis == planes else start
            target.append(slice(begin + first, begin + last))
            source.append(slice(first, last))
        offset = source[1 + rows].start
        for at, within, length in self._runs(place[rows] + offset, source[1 + rows].stop - offset):
            target[1 + rows] = slice(at, at + length)
            source[1 + rows] = slice(offset + within, offset + within + length)
            self._sums[tuple(target)] = patch[tuple(source)]

    def _plane_of_slab(self, place: Place) -> int:
        slab, _ = self.grid.bar_of(place)
        return place[self.grid.axis] - self.grid.slabs[slab][0]

    def _rows_of_bar(self, at: int, length: int) -> torch.Tensor:
        return self._sums.narrow(1 + self.grid.axes[1], at, length)

    def _runs(self, first: int, length: int) -> Iterator[tuple[int, int, int]]:
        """Where that many rows from the first on lie in the ring: from, how far from the first, and how many."""
        ring = self.grid.bar_shape[self.grid.axes[1]]
        at = first % ring
        until_the_end = min(length, ring - at)
        if until_the_end:
            yield at, 0, until_the_end
        if until_the_end < length:
            yield 0, until_the_end, length - until_the_end


def _weights(grid: PatchGrid, axis: int, blending: Blending) -> torch.Tensor:
    """The profiles of all patches along an axis, added up: I J K, of which two are 1."""
    weights = torch.zeros(grid.shape[axis], dtype=torch.float64)
    for start in grid.starts[axis]:
        weights[start : start + grid.patch_size[axis]] += profile(grid.patch_size[axis], blending)
    return weights.float().view([-1 if each == axis else 1 for each in range(3)])
