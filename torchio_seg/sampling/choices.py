"""Around which voxel a patch is cut. Each choice draws from torch's generator, which the caller seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torchio_seg.store.voxels import Record, Voxels
    from torchio_seg.transforms.recipe import Shape

ANYWHERE = -1
"""In place of a class, where a patch was not cut around one."""
_MOST_TRIES = 100


@dataclass(frozen=True)
class Centre:
    """The voxel of the model's grid that a patch is cut around, None for a patch anywhere, and its class."""

    voxel: Shape | None = None
    value: int = ANYWHERE


class Choice(Protocol):
    """One way to choose."""

    def __call__(self, voxels: Voxels) -> Centre:
        """Where the next patch of the case is."""
        ...


@dataclass(frozen=True)
class Uniform:
    """Anywhere: every place that a patch can have is as likely as any other."""

    def __call__(self, voxels: Voxels) -> Centre:  # noqa: ARG002
        return Centre()


@dataclass(frozen=True)
class Foreground:
    """A share of the patches around a random voxel of a random class that the case has; else anywhere."""

    fraction: float
    classes: tuple[int, ...] | None = None
    """Those to choose from; None: all that are foreground."""

    def __call__(self, voxels: Voxels) -> Centre:
        if not _draw_number(1.0) < self.fraction:
            return Centre()
        present = self.present(voxels.record)
        return _around(voxels, _one_of(present)) if present else Centre()

    def present(self, record: Record) -> list[int]:
        """The classes that a case gives to choose from; where it has none, all its patches are cut anywhere."""
        return [value for value in _among(record, self.classes) if value != 0]


@dataclass(frozen=True)
class Balanced:
    """Around a random voxel of a class drawn from those that the case has, background among them, all as likely."""

    classes: tuple[int, ...] | None = None
    """Those to choose from; None: all."""

    def __call__(self, voxels: Voxels) -> Centre:
        present = self.present(voxels.record)
        return _around(voxels, _one_of(present)) if present else Centre()

    def present(self, record: Record) -> list[int]:
        """The classes that a case gives to choose from; where it has none, all its patches are cut anywhere."""
        return _among(record, self.classes)


@dataclass(frozen=True)
class Weighted:
    """Around a voxel that is as likely as the case's sampling map says."""

    def __call__(self, voxels: Voxels) -> Centre:
        sums = np.cumsum(voxels.record.slice_weights)
        if voxels.weights is None or not sums[-1] > 0:
            return Centre()
        number = _where(sums)
        within = np.cumsum(voxels.weights[number].ravel(), dtype=np.float64)
        flat = number * len(within) + _where(within)
        return Centre(voxels.on_grid(flat), int(voxels.label.reshape(-1)[flat]))


def drawn_anywhere(choice: Choice, records: Iterable[Record]) -> list[str]:
    """The cases that have none of the classes around which patches are to be cut."""
    if not isinstance(choice, Foreground | Balanced):
        return []
    return [record.case for record in records if not choice.present(record)]


def _among(record: Record, wanted: tuple[int, ...] | None) -> list[int]:
    """The wanted values that the case has."""
    return [value for value, count in record.counts.items() if count and (wanted is None or value in wanted)]


def _draw_number(below: float) -> float:
    """From 0 to below this."""
    return float(torch.rand((), dtype=torch.float64)) * below


def _one_of(values: Sequence[int]) -> int:
    return values[int(torch.randint(len(values), ()))]


def _around(voxels: Voxels, value: int) -> Centre:
    """A random voxel of the class."""
    if value == 0:
        return Centre(_background_voxel(voxels), 0)
    return Centre(voxels.voxel_of(value, int(torch.randint(voxels.record.counts[value], ()))), value)


def _background_voxel(voxels: Voxels) -> Shape:
    """Background has no index, there is so much of it; where there is little, it is looked for."""
    label = voxels.label.reshape(-1)
    for _ in range(_MOST_TRIES):
        flat = int(torch.randint(label.size, ()))
        if label[flat] == 0:
            return voxels.on_grid(flat)
    found = np.flatnonzero(label == 0)
    return voxels.on_grid(int(found[int(torch.randint(len(found), ()))]))


def _where(sums: np.ndarray) -> int:
    """An index as likely as its step in the sums."""
    return int(np.searchsorted(sums, _draw_number(float(sums[-1])), side="right"))
