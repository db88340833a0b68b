"""The nouns of the house: frozen records that every room may pass on. Standard library only."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torchio_seg.errors import DataError

_SAFE_ID = re.compile(r"[^/\\\x00-\x1f]+")


@dataclass(frozen=True)
class Region:
    """A part of the label map that is segmented: one label, or several under one name."""

    name: str
    labels: tuple[int, ...]
    value: int
    """What a predicted label map holds here, where no later region covers it."""


@dataclass(frozen=True)
class Labels:
    """The values of a label map and what is segmented of them."""

    names: Mapping[int, str]
    """Every value that a label file may hold, background (0) included."""
    regions: tuple[Region, ...]
    """What is segmented, in the order in which it is written: later over earlier."""
    exclusive: bool
    """True: one class a voxel, softmax, background is channel 0. False: overlapping, sigmoid each."""
    ignore: int | None = None
    """The value of voxels that nobody has labelled: they enter no loss, no score and no choice of patches."""

    @property
    def num_channels(self) -> int:
        return len(self.regions) + int(self.exclusive)

    @classmethod
    def of_classes(cls, names: Mapping[int, str], *, ignore: int | None = None) -> Labels:
        """Every value but 0, and the one to ignore, is a class of its own."""
        regions = tuple(Region(names[value], (value,), value) for value in sorted(names) if value not in {0, ignore})
        return cls(dict(names), regions, exclusive=True, ignore=ignore)

    @classmethod
    def of_regions(
        cls, names: Mapping[int, str], regions: Mapping[str, Sequence[int]], *, ignore: int | None = None
    ) -> Labels:
        """Overlapping regions, outer ones first: a region is written with the label that no later one has."""
        ordered = list(regions.items())
        records = []
        for position, (name, labels) in enumerate(ordered):
            later = {label for _, other in ordered[position + 1 :] for label in other}
            own = sorted(set(labels) - later)
            if unknown := sorted(set(labels) - set(names)):
                raise DataError(f"region '{name}' names labels {unknown}; the data set has {sorted(names)}")
            if len(own) != 1:
                raise DataError(
                    f"region '{name}' (labels {sorted(labels)}) keeps {own} for itself beside the regions after it; "
                    "it must keep exactly one label to be written with. List outer regions before inner ones"
                )
            records.append(Region(name, tuple(sorted(labels)), own[0]))
        return cls(dict(names), tuple(records), exclusive=False, ignore=ignore)


@dataclass(frozen=True)
class Case:
    """One patient's scan: a file holding all channels, or one file per channel, and perhaps a label map."""

    id: str
    images: tuple[Path, ...]
    label: Path | None = None
    group: str | None = None
    """Whose scan it is, where that is known: cases of one group are never divided between training and test."""

    @property
    def files(self) -> tuple[Path, ...]:
        return self.images if self.label is None else (*self.images, self.label)

    def __post_init__(self) -> None:
        if not _SAFE_ID.fullmatch(self.id) or self.id in {".", ".."}:
            raise DataError(f"case id {self.id!r} cannot name a file; use letters, digits, '-', '_' and '.'")


@dataclass(frozen=True)
class Split:
    """Which case ids train, validate and test; no id stands twice."""

    training: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()
    origin: str = ""
    """How it came about, in words."""


@dataclass(frozen=True)
class Dataset:
    """Cases that belong together, all with the same channels and labels."""

    name: str
    channels: tuple[str, ...]
    labels: Labels
    cases: tuple[Case, ...]
    """Those with a label map, sorted by id."""
    splits: tuple[Split, ...] = ()
    """How the data set itself divides its cases, one division a fold; empty where it does not."""
    listing: tuple[str, ...] = ()
    """The ids in the order of the data set's own list, where it has one: some named splits depend on it."""
    notes: tuple[str, ...] = ()
    """What was found out or decided while reading, a sentence each: said on screen and kept with the run."""

    def choose(self, ids: Sequence[str]) -> list[Case]:
        """The cases of these ids, in their order."""
        by_id = {case.id: case for case in self.cases}
        if missing := [case_id for case_id in ids if case_id not in by_id]:
            raise DataError(f"{self.name} has no case {', '.join(missing[:5])} (any more); it has {len(by_id)} others")
        return [by_id[case_id] for case_id in ids]

    @property
    def is_ct(self) -> bool:
        """Whether intensities are Hounsfield units, the same in every scanner."""
        return all(channel.upper() == "CT" for channel in self.channels)


@dataclass(frozen=True)
class RegionScore:
    """How one region of one case was predicted."""

    case: str
    region: str
    dice: float | None
    """None where the region is empty in truth and prediction both: there is nothing to measure."""
    true_voxels: int
    predicted_voxels: int
    more: Mapping[str, float | None] = field(default_factory=dict)
    """By what else was measured."""

    def value(self, metric: str) -> float | None:
        """By the name of a metric."""
        return self.dice if metric == "dice" else self.more[metric]

    @property
    def missed(self) -> bool:
        return self.true_voxels > 0 and self.predicted_voxels == 0

    @property
    def invented(self) -> bool:
        return self.true_voxels == 0 and self.predicted_voxels > 0

    @property
    def empty(self) -> bool:
        """Neither there nor found."""
        return self.true_voxels == 0 and self.predicted_voxels == 0


class ValidationLeft(Exception):  # noqa: N818 (nothing went wrong)
    """A stop was asked for before all cases were predicted; nothing of the validation is kept."""


@dataclass(frozen=True)
class Validation:
    """What whole-volume prediction of validation cases gave."""

    mean_dice: float | None
    """Over regions that could be scored; None where none could."""
    loss: float | None
    dice: Mapping[str, float | None] = field(default_factory=dict)
    """Of each region, over the cases where it is defined."""
    num_cases: int = 0
    measured: Mapping[str, float | None] = field(default_factory=dict)
    """What else was asked for, by metric over all regions, and of one as METRIC/REGION."""
    is_complete: bool = True
    """Whether it tells of every validation case; of fewer it is compared with nothing."""

    def score(self, name: str, *, falls: bool) -> float | None:
        """The number to be as high as possible, turned where lower is better; None where there is none to compare."""
        value = {"mean_dice": self.mean_dice, "loss": self.loss, **self.measured, **self.dice}[name]
        if value is None or not math.isfinite(value) or not self.is_complete:
            return None
        return -value if falls else value
