"""Validation of a few cases at a time: what is known of all of them, so that models are compared by the same cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

from torchio_seg.records import RegionScore


@dataclass(frozen=True)
class Found:
    """What the latest validation of a case gave."""

    scores: tuple[RegionScore, ...]
    """Of each region."""
    loss: float


@dataclass
class Rotation:
    """The validation cases, so many of which are predicted anew each time, and what was found of each the last time."""

    cases: tuple[str, ...]
    few: int | None
    """None: all of them, each time."""
    found: dict[str, Found] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Validations until every case had its turn."""
        return -(-len(self.cases) // self._size) if self.cases else 1

    @property
    def is_complete(self) -> bool:
        """Whether each case had its turn, so that what is known can be compared with what is known later."""
        return len(self.found) == len(self.cases)

    def turn(self, number: int | None) -> tuple[str, ...]:
        """The cases of the n-th validation; of one that is to have all, all."""
        if number is None:
            return self.cases
        return tuple(self.cases[(number * self._size + each) % len(self.cases)] for each in range(self._size))

    def renew(self, scores: Sequence[RegionScore], losses: Sequence[float]) -> None:
        """Take in what was found of some cases: scores case by case, and a loss for each."""
        for (case, of_case), loss in zip(groupby(scores, lambda score: score.case), losses, strict=True):
            self.found[case] = Found(tuple(of_case), loss)

    @property
    def known(self) -> list[Found]:
        """Of each case that had its turn."""
        return [self.found[case] for case in self.cases if case in self.found]

    def state(self) -> dict[str, Any]:
        """All that `restore` needs; nothing where each validation finds everything anew."""
        return {} if self.length == 1 else {case: asdict(found) for case, found in self.found.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.found = {
            case: Found(tuple(RegionScore(**score) for score in found["scores"]), found["loss"])
            for case, found in state.items()
        }

    @property
    def _size(self) -> int:
        return min(self.few or len(self.cases), len(self.cases))
