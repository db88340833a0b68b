"""Which post-processing helps: tried on cases whose truth is known and that the model was not trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from torchio_seg.metrics import dice_of_counts
from torchio_seg.postprocessing import Change, Step, all_steps, apply, possible_changes
from torchio_seg.records import Labels

LEAST_GAIN = 0.001
"""Of a region's mean Dice; less is not worth a step."""
_PIECE_VOXELS = 1 << 20
Dices = list[float | None]
"""One for each region."""


@dataclass(frozen=True)
class Compared:
    """A case's prediction beside its truth, on one grid."""

    case: str
    predicted: npt.NDArray[Any]
    truth: npt.NDArray[Any]
    voxel_mm3: float


@dataclass(frozen=True)
class Choice:
    """The steps that help, and the mean Dice of each region without and with them."""

    steps: tuple[Step, ...]
    before: Dices
    after: Dices


def choose_steps(cases: Callable[[], Iterable[Compared]], labels: Labels) -> Choice:
    """One step after another, of those that are better that which raises the mean over the regions most.

    After each the others are tried anew on what it leaves, until none helps any more.
    """
    steps: tuple[Step, ...] = ()
    first: Dices | None = None
    while True:
        before, after = _try_all(cases(), steps, labels)
        first = first or before
        better = {step: dices for step, dices in after.items() if is_better(dices, before)}
        if not better:
            return Choice(steps, first, before)
        steps += (max(better, key=lambda step: _mean(better[step]) or 0),)


def is_better(after: Dices, before: Dices) -> bool:
    """Whether a region's mean rises enough to be seen, and none falls.

    One that cannot be told any more is empty in every case, and rightly so.
    """
    pairs = list(zip(after, before, strict=True))
    gains = [new - old for new, old in pairs if new is not None and old is not None]
    is_emptied = any(new is None and old is not None for new, old in pairs)
    return min(gains, default=0) >= 0 and (is_emptied or max(gains, default=0) >= LEAST_GAIN)


def _try_all(cases: Iterable[Compared], steps: Sequence[Step], labels: Labels) -> tuple[Dices, dict[Step, Dices]]:
    """The mean Dice of each region after these steps, and after these and each that may follow.

    A volume that comes near to the smallest that a region truly has may not: it would take whole regions elsewhere.
    """
    used = {(step.region, step.action) for step in steps}
    left = [step for step in all_steps(labels) if (step.region, step.action) not in used]
    unchanged: list[Dices] = []
    tried: dict[Step, list[Dices]] = {step: [] for step in left}
    smallest = dict.fromkeys((region.name for region in labels.regions), math.inf)
    for case in cases:
        label_map = apply(np.ascontiguousarray(case.predicted), steps, labels, case.voxel_mm3)
        truth = np.ascontiguousarray(case.truth)
        counts = _Counts.of(label_map, truth, labels)
        dices = counts.dices(labels)
        unchanged.append(dices)
        for region, num_voxels in counts.true_voxels(labels).items():
            if num_voxels:
                smallest[region] = min(smallest[region], num_voxels * case.voxel_mm3)
        changes = dict(possible_changes(label_map, labels, case.voxel_mm3))
        for step in left:
            change = changes[step]
            changed = counts.after(change, label_map, truth).dices(labels) if change.where.size else dices
            tried[step].append(changed)
    safe = [step for step in left if (step.below_mm3 or 0) <= smallest[step.region] / 2]
    return _means(unchanged), {step: _means(tried[step]) for step in safe}


@dataclass(frozen=True)
class _Counts:
    """How many voxels have which predicted and which true value: all that Dice needs of a case."""

    values: npt.NDArray[Any]
    table: npt.NDArray[np.int64]
    """Predicted by true."""

    @classmethod
    def of(cls, predicted: npt.NDArray[Any], truth: npt.NDArray[Any], labels: Labels) -> _Counts:
        values = np.array(sorted(labels.names))
        return cls(values, cls._count(predicted.ravel(), truth.ravel(), values))

    def after(self, change: Change, label_map: npt.NDArray[Any], truth: npt.NDArray[Any]) -> _Counts:
        """Those with the changed voxels counted anew."""
        true = truth.flat[change.where]
        gone = self._count(label_map.flat[change.where], true, self.values)
        return _Counts(self.values, self.table - gone + self._count(change.values, true, self.values))

    def dices(self, labels: Labels) -> Dices:
        """Of each region; voxels with the value to ignore are not counted."""
        table = self.table[:, self.values != labels.ignore]
        known = self.values[self.values != labels.ignore]
        found: Dices = []
        for region in labels.regions:
            rows, columns = np.isin(self.values, region.labels), np.isin(known, region.labels)
            counts = table[np.ix_(rows, columns)], table[rows], table[:, columns]
            found.append(dice_of_counts(*(int(part.sum()) for part in counts)))
        return found

    def true_voxels(self, labels: Labels) -> dict[str, int]:
        """How many each region truly has."""
        columns = {region.name: np.isin(self.values, region.labels) for region in labels.regions}
        return {name: int(self.table[:, column].sum()) for name, column in columns.items()}

    @staticmethod
    def _count(predicted: npt.NDArray[Any], truth: npt.NDArray[Any], values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        size = len(values)
        numbers = np.zeros(values[-1] + 1, np.intp)
        numbers[values] = np.arange(size)
        table = np.zeros(size * size, np.int64)
        for first in range(0, len(predicted), _PIECE_VOXELS):
            piece = slice(first, first + _PIECE_VOXELS)
            table += np.bincount(size * numbers[predicted[piece]] + numbers[truth[piece]], minlength=size * size)
        return table.reshape(size, size)


def _means(cases: Sequence[Dices]) -> Dices:
    """The mean of each region over the cases where it has one."""
    return [_mean(region) for region in zip(*cases, strict=True)]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
