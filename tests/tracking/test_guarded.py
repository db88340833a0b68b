"""A tracker that fails is let go of, and said once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from torchio_seg.errors import ConfigError
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


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_wish_to_stop_is_heeded(error: type[BaseException]) -> None:
    def build() -> Nothing:
        raise error

    with pytest.raises(error):
        Guarded("theirs", build)
