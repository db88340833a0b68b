"""A network over a whole volume, patch by patch."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch

from torchio_seg.devices import autocast
from torchio_seg.machine import is_out_of_memory
from torchio_seg.predictor.answering import answer
from torchio_seg.predictor.blending import Blending
from torchio_seg.predictor.patch_grid import PatchGrid, triple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torchio_seg.predictor.patch_grid import Place, Strip
    from torchio_seg.predictor.streaming import Frontier
    from torchio_seg.progress import Progress

    Network = Callable[[torch.Tensor], torch.Tensor]


class Prepared(Protocol):
    """A volume C I J K as the network sees it, of which patches are asked for in the order of their grid."""

    def __getitem__(self, inside: tuple[slice, ...], /) -> torch.Tensor:
        """A patch, by the slices of its place."""


Given = TypeVar("Given")
Made = TypeVar("Made")

log = logging.getLogger(__name__)


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

    def grid(self, shape: Sequence[int], axis: int | None = None) -> PatchGrid:
        """The patches of a volume of this shape, filled up to a patch; along this axis, else where least waits."""
        filled = [max(sizes) for sizes in zip(shape, self.patch_size, strict=True)]
        if axis is None:
            return PatchGrid.holding_least(filled, self.patch_size, self.overlap_voxels)
        return PatchGrid(triple(filled), self.patch_size, self.overlap_voxels, axis)


def on_device(network: Network, device: torch.device, precision: str, num_channels: int) -> Network:
    """The network for images in main memory; its logits stay where they are, in float32, one channel after another.

    An answer that is not of so many channels, or not for every voxel of every image, is an error.
    """

    def computed(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), autocast(device, precision):
            return answer(network, images.to(device), num_channels).float().contiguous()

    return computed


def stream(
    frontier: Frontier, network: Network, volume: Prepared, *, batch_size: int, progress: Progress
) -> Iterator[Strip]:
    """The strips of a volume's logits, as soon as the network has answered for the patches that they are made of.

    Where memory runs out, batches become smaller, and then sums move to main memory.
    """
    places, done = frontier.grid.places, 0

    def ask(batch: Sequence[Place]) -> torch.Tensor:
        return network(torch.stack([volume[frontier.grid.inside(place)] for place in batch])).to(frontier.device)

    progress.start("patches", len(places))
    try:
        while done < len(places):
            batch = places[done : done + batch_size]
            is_last_resort = len(batch) == 1 and frontier.device.type == "cpu"
            answers = ask(batch) if is_last_resort else _tried(ask, batch)
            if answers is None or not _has_room(frontier, len(answers[0])):
                batch_size = max(1, len(batch) // 2)
                _do_with_less(frontier, len(batch))
                continue
            for place, patch in zip(batch, answers, strict=True):
                yield from frontier.finished_before(place)
                frontier.put(patch, place)
            del answers, patch
            done += len(batch)
            progress.advance(len(batch))
    finally:
        progress.finish()
    yield from frontier.finished()


def _tried(work: Callable[[Given], Made], given: Given) -> Made | None:
    """What the work makes of it; None where memory runs out meanwhile."""
    try:
        return work(given)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # now that the error holds none of it any more
    return None


def _has_room(frontier: Frontier, num_channels: int) -> bool:
    """Whether there is room for the frontier's sums where they are to lie; in main memory none is an error."""
    if frontier.bytes_held:
        return True
    if frontier.device.type == "cpu":
        return bool(frontier.make_room(num_channels))
    return _tried(frontier.make_room, num_channels) is not None


def _do_with_less(frontier: Frontier, batch_size: int) -> None:
    """Say what comes instead, and move sums to main memory where batches cannot become smaller."""
    if batch_size > 1:
        log.warning("memory ran out with batches of %d patches: going on with %d", batch_size, batch_size // 2)
    else:
        log.warning("memory ran out on %s: going on with the sums of patches in main memory", frontier.device)
        frontier.move_to_main_memory()
