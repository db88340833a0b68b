"""Trackers are copies of the record: one that fails is said once, let go of, and never stops the work."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from torchio_seg.errors import TorchioSegError
from torchio_seg.tracking.interface import NoRows, Nothing, Shown, Tracker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torchio_seg.tracking.interface import Cell, Rows

T = TypeVar("T")
log = logging.getLogger(__name__)


class Guarded:
    """A tracker that cannot raise once it is built; while it is, errors of ours are the user's to mend."""

    def __init__(self, name: str, build: Callable[[], Tracker]) -> None:
        self.name = name
        self._is_lost = False
        self._tracker: Tracker = Nothing()
        try:
            self._tracker = build()
        except TorchioSegError:
            raise
        except Exception as error:  # noqa: BLE001 (whatever other people's services raise)
            self._let_go(error)

    @property
    def shown(self) -> Shown | None:
        """What it wants tables of."""
        return None if self._is_lost else self._tracker.shown

    def log(self, record: Mapping[str, Any]) -> None:
        """A line of metrics.jsonl."""
        self.attempt(lambda: self._tracker.log(record), None)

    def table(self, key: str, columns: Sequence[str]) -> Rows:
        """Begin a table, which cannot raise either."""
        nowhere: Rows = NoRows()
        return _GuardedRows(self, self.attempt(lambda: self._tracker.table(key, columns), nowhere))

    def checkpoint(self, folder: Path, record: Mapping[str, Any], *, is_best: bool) -> None:
        """A model was saved."""
        self.attempt(lambda: self._tracker.checkpoint(folder, record, is_best=is_best), None)

    def used(self, checkpoint: Path) -> None:
        """The model in this folder is what the run uses."""
        self.attempt(lambda: self._tracker.used(checkpoint), None)

    def finish(self, *, failed: bool = False) -> None:
        """Nothing more is to come."""
        self._is_lost, was_lost = False, self._is_lost
        self.attempt(lambda: self._tracker.finish(failed=failed), None, silently=was_lost)
        self._is_lost = True

    def attempt(self, call: Callable[[], T], otherwise: T, *, silently: bool = False) -> T:
        """What the call gives; where it fails, and ever after, what is to be had otherwise."""
        if self._is_lost:
            return otherwise
        try:
            return call()
        except Exception as error:  # noqa: BLE001 (whatever other people's services raise, and ours about files)
            self._let_go(error, silently=silently)
            return otherwise

    def _let_go(self, error: Exception, *, silently: bool = False) -> None:
        self._is_lost = True
        if not silently:
            said = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
            log.warning("tracking by %s ended (%s); the work goes on, metrics.jsonl has everything", self.name, said)


class _GuardedRows:
    """Rows of a guarded tracker."""

    def __init__(self, tracker: Guarded, rows: Rows) -> None:
        self._tracker = tracker
        self._rows = rows

    def add(self, *cells: Cell) -> None:
        """One row more."""
        self._tracker.attempt(lambda: self._rows.add(*cells), None)

    def finish(self) -> None:
        """The table is whole."""
        self._tracker.attempt(self._rows.finish, None)
