"""A cohort of made-up patients, and what decides every byte of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.errors import ConfigError
from torchio_seg.phantoms.catalogue import KINDS, random_numbers
from torchio_seg.phantoms.scanner import SMALLEST_AXIS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torchio_seg.phantoms.catalogue import Size
    from torchio_seg.phantoms.scanner import Phantom

    Report = Callable[[int, int], None]
    """Told how many cases are done, of how many."""

MOST_CHANNELS = max(len(kind.channels) for kind in KINDS.values())
"""Of any kind."""
MOST_CASES = 1000
SIZES = (0.75, 1.25)
"""How far a varied shape strays from the one asked for, as a factor along each axis."""
COARSEST = 2.5
"""Largest factor of the voxel size along one axis of a varied case."""


@dataclass(frozen=True)
class Cohort:
    """So many patients of one anatomy."""

    kind: str
    cases: int
    shape: Size
    channels: int
    seed: int
    varied: bool = False
    """Whether shape and voxel size differ from case to case; the order and direction of axes always do."""

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(f"phantom_{index:03d}" for index in range(self.cases))

    @property
    def channel_names(self) -> tuple[str, ...]:
        return KINDS[self.kind].channels[: self.channels]

    def patients(self, report: Report = lambda _done, _all: None) -> Iterator[Phantom]:
        """Draw them one after the other; each is the same however many there are."""
        for index in range(self.cases):
            yield self._draw(index)
            report(index + 1, self.cases)

    def _draw(self, index: int) -> Phantom:
        draw = KINDS[self.kind].draw
        if not self.varied:
            return draw(self.shape, self.seed, index, self.channels)
        rng = random_numbers(self.seed, MOST_CASES + index)
        return _coarser(draw(_near(self.shape, rng), self.seed, index, self.channels), rng)


def choose(
    kind: str, *, cases: int, shape: tuple[int, int, int], channels: int = MOST_CHANNELS, seed: int = 0
) -> Cohort:
    """A cohort that can be drawn, or an error saying what cannot."""
    if kind not in KINDS:
        raise ConfigError(f"phantom kind '{kind}' is unknown (allowed: {', '.join(KINDS)})")
    if not 1 <= channels <= MOST_CHANNELS:
        raise ConfigError(f"channels={channels}; give 1 to {MOST_CHANNELS}, or leave it out for all that a kind has")
    if not 1 <= cases <= MOST_CASES:
        raise ConfigError(f"cases={cases}; a phantom has 1 to {MOST_CASES}")
    if len(shape) != 3 or min(shape) < SMALLEST_AXIS:
        raise ConfigError(f"shape={list(shape)}; give three sizes of at least {SMALLEST_AXIS} voxels, say [64, 64, 48]")
    if seed < 0:
        raise ConfigError(f"seed={seed}; give 0 or more")
    kept = min(channels, len(KINDS[kind].channels))
    return Cohort(kind, cases, (shape[0], shape[1], shape[2]), kept, seed)


def _near(shape: Size, rng: np.random.Generator) -> Size:
    i, j, k = (
        max(round(size * factor), SMALLEST_AXIS) for size, factor in zip(shape, rng.uniform(*SIZES, 3), strict=True)
    )
    return i, j, k


def _coarser(phantom: Phantom, rng: np.random.Generator) -> Phantom:
    """The same voxels, said to be longer along one axis, as slices of a scan often are."""
    affine = phantom.affine.copy()
    affine[:3, rng.integers(3)] *= rng.uniform(1.0, COARSEST)
    return replace(phantom, affine=affine)
