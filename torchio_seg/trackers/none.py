"""Keeps nothing: metrics.jsonl in the run's folder is written in any case."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class NoTracker:
    """Takes every message and does nothing with it."""

    def log(self, record: Mapping[str, object]) -> None:
        """Nothing to send anywhere."""

    def finish(self) -> None:
        """Nothing to close."""


def build(folder: Path) -> NoTracker:  # noqa: ARG001 (the contract of trackers)
    """The tracker that tracks nothing."""
    return NoTracker()
