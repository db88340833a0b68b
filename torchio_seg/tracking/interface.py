"""What a tracker is told of a run, and what it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]
    Grey = npt.NDArray[np.uint8]

Slices = int | Literal["all"]
Job = Literal["train", "inference", "evaluate"]
FOLDER = "tracking"
"""In the run's folder: whatever trackers write."""


@dataclass(frozen=True)
class Run:
    """What is tracked."""

    folder: Path
    """Of the training."""
    experiment: str
    job: Job = "train"
    config: Mapping[str, Any] = field(default_factory=dict)
    """Every setting."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What followed from the settings and the files: split, fingerprint of the data, versions, commits ..."""
    metrics: tuple[str, ...] = ("dice",)
    """By name, all that there are."""
    group: str | None = None
    """The series that the run is one of, as folds are."""
    part: str | None = None
    """Of the cases, which an evaluation scores."""
    was_tracked: bool = False
    """Whether a tracker was told of this evaluation before."""

    @property
    def label(self) -> str:
        """Which run of the folder's it is."""
        return "-".join(filter(None, (self.job, self.part)))

    @property
    def name(self) -> str:
        return self.folder.name if self.job == "train" else f"{self.folder.name}-{self.label}"

    @property
    def place(self) -> Path:
        """Where its tracker may write."""
        return self.folder / FOLDER


@dataclass(frozen=True)
class Shown:
    """How much of a data set tables show."""

    cases: int
    """Of each part; 0: all."""
    slices: Slices
    """Of each case, the most telling ones."""


@dataclass(frozen=True)
class Overlay:
    """A mask over a picture that can be switched on and off."""

    name: str
    mask: Mask
    """Rows columns."""
    value: int
    """What marks its pixels."""
    label: str


@dataclass(frozen=True)
class Picture:
    """A cell of a table that is looked at."""

    pixels: Grey
    """Rows columns."""
    overlays: tuple[Overlay, ...] = ()


Cell = str | int | float | None | Picture


class Rows(Protocol):
    """A table that is being made; a row is let go of once it was added."""

    def add(self, *cells: Cell) -> None:
        """One row more."""

    def finish(self) -> None:
        """The table is whole."""


class Tracker(Protocol):
    """Takes a copy of what the run's own record says; metrics.jsonl has it already."""

    @property
    def shown(self) -> Shown | None:
        """What it wants tables of; None: of nothing."""

    def log(self, record: Mapping[str, Any]) -> None:
        """A line of metrics.jsonl."""

    def table(self, key: str, columns: Sequence[str]) -> Rows:
        """Begin a table of pictures."""

    def checkpoint(self, folder: Path, record: Mapping[str, Any], *, is_best: bool) -> None:
        """A model was saved in this folder after the validation that the record tells of."""

    def used(self, checkpoint: Path) -> None:
        """The model in this folder is what the run uses."""

    def finish(self, *, failed: bool = False) -> None:
        """Nothing more is to come."""


class Nothing:
    """Tracks nothing."""

    shown: Shown | None = None

    def log(self, record: Mapping[str, Any]) -> None:
        """Nothing to send anywhere."""

    def table(self, key: str, columns: Sequence[str]) -> Rows:  # noqa: ARG002 (the contract of trackers)
        """Rows that go nowhere."""
        return NoRows()

    def checkpoint(self, folder: Path, record: Mapping[str, Any], *, is_best: bool) -> None:
        """Nothing to send anywhere."""

    def used(self, checkpoint: Path) -> None:
        """Nothing to link."""

    def finish(self, *, failed: bool = False) -> None:
        """Nothing to close."""


class NoRows:
    """Goes nowhere."""

    def add(self, *cells: Cell) -> None:
        """Let the row go."""

    def finish(self) -> None:
        """Nothing to close."""
