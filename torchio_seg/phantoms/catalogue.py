"""Which phantoms there are, and how one case of a series is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.phantoms import abdomen, brain, thorax

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torchio_seg.phantoms.scanner import Phantom

Size = tuple[int, int, int]


@dataclass(frozen=True)
class Kind:
    """One anatomy: its channels, what its labels mean, and how it is drawn."""

    channels: tuple[str, ...]
    labels: Mapping[int, str]
    regions: Mapping[str, tuple[int, ...]] | None
    """Overlapping regions, outer ones first; None where every label is a class of its own."""
    draw: Callable[[Size, int, int, int], Phantom]
    """Shape, seed, index of the case, number of channels."""
    generation: int = 1
    """Counts changes of the drawn anatomy, so that a folder made by an older version is not taken for a new one."""


def random_numbers(seed: int, index: int) -> np.random.Generator:
    """Of one case; the same however many cases are drawn."""
    return np.random.default_rng((seed, index))


def has_lesion(index: int) -> bool:
    """The last of every six brains has none."""
    return index % brain.HEALTHY_EVERY != brain.HEALTHY_EVERY - 1


def _brain(shape: Size, seed: int, index: int, channels: int) -> Phantom:
    return brain.synthesize(shape, random_numbers(seed, index), channels=channels, lesion=has_lesion(index))


def _abdomen(shape: Size, seed: int, index: int, _channels: int) -> Phantom:
    return abdomen.synthesize(shape, random_numbers(seed, index))


def _thorax(shape: Size, seed: int, index: int, _channels: int) -> Phantom:
    return thorax.synthesize(shape, random_numbers(seed, index))


KINDS: Mapping[str, Kind] = {
    "brain": Kind(brain.CHANNELS, brain.LABELS, brain.REGIONS, _brain),
    "abdomen": Kind(("CT",), abdomen.LABELS, None, _abdomen, generation=2),
    "thorax": Kind(("CT",), thorax.LABELS, None, _thorax),
}
