"""The batches of any epoch, from any batch on."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING

import torch
import torchio as tio

from torchio_seg.errors import ConfigError
from torchio_seg.sampling.finishing import Finisher
from torchio_seg.sampling.patches import Patches, PatchRecipe
from torchio_seg.sampling.queue import PatchQueue

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images B C I J K, float32, and label values B 1 I J K, integers."""


@dataclass(frozen=True)
class PatchStream:
    """Batches of patches of all subjects; of several ranks each takes its part of every batch."""

    subjects: tuple[tio.Subject, ...]
    recipe: PatchRecipe
    batch_size: int
    """Of this rank; less where an epoch has not so many patches."""
    seed: int
    num_workers: int = 0
    rank: int = 0
    num_ranks: int = 1
    device: torch.device | None = None
    """What augments; None: the workers."""

    def __post_init__(self) -> None:
        if self.num_ranks > 1 and self.patches_per_epoch < self.batch_size * self.num_ranks:
            raise ConfigError(
                f"{self.num_ranks} processes with batches of {self.batch_size} need {self.num_ranks * self.batch_size} "
                f"patches, an epoch has {self.patches_per_epoch}; set a larger sampling.patches_per_case"
            )

    @property
    def patches_per_epoch(self) -> int:
        return len(self.subjects) * self.recipe.patches_per_case

    @property
    def batches_per_epoch(self) -> int:
        """Whole batches only, unless there are too few patches for one."""
        return max(1, self.patches_per_epoch // (self.batch_size * self.num_ranks))

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch."""
        with closing(self.batches(number)) as batches:
            yield from islice(batches, self.batches_per_epoch)

    def batches(self, epoch: int, first: int = 0) -> Generator[Batch]:
        """From this batch of this epoch on, through all epochs that follow; those before it are not made."""
        patches = Patches(self.subjects, self.recipe, self.seed, in_pieces=self.device is not None)
        queue = PatchQueue(patches, self._indices(epoch, first), num_workers=self.num_workers)
        finish = Finisher(self.recipe, self.device) if self.device is not None else None
        try:
            while True:
                batch = queue[0]
                yield finish(batch) if finish is not None else batch
        finally:
            queue.close()

    def _indices(self, epoch: int, first: int) -> Iterator[list[tuple[int, int]]]:
        """Epoch and position of the patches of each batch of this rank."""
        for number in count(epoch):
            for batch in range(first if number == epoch else 0, self.batches_per_epoch):
                start = (batch * self.num_ranks + self.rank) * self.batch_size
                end = min(start + self.batch_size, self.patches_per_epoch)
                yield [(number, position) for position in range(start, end)]


class Feed:
    """A stream that is kept running from one epoch to the next, and with it its workers."""

    def __init__(self, stream: PatchStream) -> None:
        self.stream = stream
        self._running: Generator[Batch] | None = None
        self._next: tuple[int, int] | None = None

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from this one on."""
        for batch in range(first, self.stream.batches_per_epoch):
            if self._running is None or self._next != (number, batch):
                self.close()
                self._running = self.stream.batches(number, batch)
            self._next = None  # until what was asked for is there
            found = next(self._running)
            self._next = (number, batch + 1) if batch + 1 < self.stream.batches_per_epoch else (number + 1, 0)
            yield found

    def close(self) -> None:
        """End the workers; the next epoch starts others."""
        if self._running is not None:
            self._running.close()
        self._running = None


def shrink(patch_size: Sequence[int], shapes: Sequence[Sequence[int]]) -> tuple[int, int, int]:
    """The patch size, an axis on which every volume is shorter shortened to the longest volume."""
    i, j, k = (min(size, max(lengths)) for size, lengths in zip(patch_size, zip(*shapes, strict=True), strict=True))
    return i, j, k
