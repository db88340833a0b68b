"""A volume put together by the contract of `tio.GridAggregator`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from torchio_seg.predictor.patch_grid import PatchGrid, Strip, triple
from torchio_seg.predictor.streaming import Frontier

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torchio_seg.predictor.blending import Blending


class Aggregator:
    """All strips of a frontier in one volume, by the contract of `tio.GridAggregator`; its order is along axis 0."""

    def __init__(
        self, shape: Sequence[int], patch_size: Sequence[int], overlap: Sequence[int], blending: Blending
    ) -> None:
        self._grid = PatchGrid(triple(shape), triple(patch_size), triple(overlap), axis=0, is_plain=True)
        self._frontier = Frontier(self._grid, blending)
        self._volume = torch.empty(0)

    def add_batch(self, batch: torch.Tensor, locations: torch.Tensor) -> None:
        """Patches B C I J K and their places B 6, first voxel and the one after the last."""
        for patch, location in zip(batch.detach().float().cpu(), locations.tolist(), strict=True):
            place = triple(location[:3])
            self._keep(self._frontier.finished_before(place))
            self._frontier.put(patch, place)

    def get_output_tensor(self) -> torch.Tensor:
        """The volume C I J K; a patch that never came, or a voxel that is not finite, is an error, never 0."""
        self._keep(self._frontier.finished())
        return self._volume

    def _keep(self, strips: Iterator[Strip]) -> None:
        self._volume = collect(strips, self._grid.shape, self._grid.axis, self._volume)


def collect(
    strips: Iterator[Strip], shape: Sequence[int], axis: int, volume: torch.Tensor | None = None
) -> torch.Tensor:
    """A volume C I J K of this shape with strips along an axis filled in."""
    whole = torch.empty(0) if volume is None else volume
    for values, plane, row in strips:
        if not whole.numel():
            whole = torch.empty(len(values), *shape)
        whole.select(1 + axis, plane).narrow(1, row, values.shape[1]).copy_(values)
    return whole
