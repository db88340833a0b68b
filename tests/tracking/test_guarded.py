"""A tracker that fails is let go of, and said once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from torchio_seg.errors import ConfigError, DataError
from torchio_seg.tracking.guarded import Guarded
from torchio_seg.tracking.interface import Nothing, Shown


class Failing(Nothing):
    """Fails at its second record, or at its end."""

    shown = Shown(1, 1)

    def __init__(self) -> None:
        self.records: list[Mapping[str, Any]] = []
        self.ends = 0

    def log(self, record: Mapping[str, Any]) -> None:
        self.records.append(record)
        if len(self.records) == 2:
            raise ConnectionError("gone\nfor good")

    def finish(self, *, failed: bool = False) -> None:  # noqa: ARG002 (the contract of trackers)
        self.ends += 1
        raise ConnectionError("still gone")


def test_a_failure_is_said_once_and_nothing_more_is_asked_of_the_tracker(caplog: pytest.LogCaptureFixture) -> None:
    failing = Failing()
    tracker = Guarded("theirs", lambda: failing)
    assert tracker.shown is not None
    for step in range(4):
        tracker.log({"kind": "step", "step": step})
    table = tracker.table("media/data", ["a"])
    table.add(1)
    table.finish()
    tracker.checkpoint(Path("best"), {}, is_best=True)
    assert tracker.shown is None, "nothing is drawn for it any more"
    tracker.finish()
    assert len(failing.records) == 2
    assert failing.ends == 1, "what it still holds open is closed"
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith("tracking by theirs ended (ConnectionError: gone);")


def test_a_tracker_that_cannot_be_built_is_as_none() -> None:
    def build() -> Nothing:
        raise OSError("no")

    tracker = Guarded("theirs", build)
    tracker.log({"kind": "step"})
    tracker.finish()


def test_the_user_s_own_mistake_is_an_error() -> None:
    def build() -> Nothing:
        raise ConfigError("names")

    with pytest.raises(ConfigError):
        Guarded("theirs", build)


class FullDisk(Nothing):
    """Fails as our own writing does, wherever it is told to."""

    def __init__(self, at: str) -> None:
        self.at = at

    def log(self, record: Mapping[str, Any]) -> None:  # noqa: ARG002 (the contract of trackers)
        self._write("log")

    def table(self, key: str, columns: Sequence[str]) -> Any:
        self._write("table")
        rows = Nothing().table(key, columns)
        rows.finish = lambda: self._write("rows")  # type: ignore[method-assign]
        return rows

    def checkpoint(self, folder: Path, record: Mapping[str, Any], *, is_best: bool) -> None:  # noqa: ARG002
        self._write("checkpoint")

    def used(self, checkpoint: Path) -> None:  # noqa: ARG002 (the contract of trackers)
        self._write("used")

    def finish(self, *, failed: bool = False) -> None:  # noqa: ARG002 (the contract of trackers)
        self._write("finish")

    def _write(self, what: str) -> None:
        if what == self.at:
            raise DataError("wandb.json could not be written: no space left on device")


@pytest.mark.parametrize("at", ["log", "table", "rows", "checkpoint", "used", "finish"])
def test_an_error_of_ours_ends_the_tracking_and_not_the_work(at: str, caplog: pytest.LogCaptureFixture) -> None:
    tracker = Guarded("theirs", lambda: FullDisk(at))
    tracker.log({"kind": "step"})
    tracker.table("media/data", ["a"]).finish()
    tracker.checkpoint(Path("best"), {}, is_best=True)
    tracker.used(Path("best"))
    tracker.finish()
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith("tracking by theirs ended (DataError: wandb.json could not be written: no space left")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_wish_to_stop_is_heeded(error: type[BaseException]) -> None:
    def build() -> Nothing:
        raise error

    with pytest.raises(error):
        Guarded("theirs", build)
