"""A network over a whole volume, patch by patch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from torchio_seg.devices import autocast
from torchio_seg.predictor.blending import Blending
from torchio_seg.predictor.streaming import Frontier, PatchGrid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torchio_seg.progress import Progress

    Network = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Window:
    """How a volume is taken apart and put together."""

    patch_size: tuple[int, int, int]
    overlap: float | tuple[int, int, int]
    """What of a patch its neighbours cover too: a share, or even numbers of voxels."""
    batch_size: int
    blending: Blending

    @property
    def overlap_voxels(self) -> tuple[int, int, int]:
        """Even, as `tio.GridSampler` asks."""
        if isinstance(self.overlap, tuple):
            return self.overlap
        i, j, k = (2 * int(size * self.overlap / 2) for size in self.patch_size)
        return i, j, k

    def grid(self, shape: Sequence[int]) -> PatchGrid:
        """The patches of a volume of this shape, which is no shorter than a patch on any axis."""
        return PatchGrid.with_small_slab(shape, self.patch_size, self.overlap_voxels)


def on_device(network: Network, device: torch.device, precision: str) -> Network:
    """The network for images in main memory; its logits come back there in float32."""

    def computed(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), autocast(device, precision):
            return network(images.to(device)).float().cpu()

    return computed


def feed(frontier: Frontier, network: Network, volume: torch.Tensor, *, batch_size: int, progress: Progress) -> None:
    """Hand the frontier the network's logits for every patch of a normalised volume C I J K."""
    grid = frontier.grid
    progress.start("patches", len(grid.places))
    try:
        for first in range(0, len(grid.places), batch_size):
            places = grid.places[first : first + batch_size]
            frontier.add_batch(network(torch.stack([volume[grid.inside(place)] for place in places])), places)
            progress.advance(len(places))
    finally:
        progress.finish()
    frontier.close()
