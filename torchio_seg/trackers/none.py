"""Keeps nothing: metrics.jsonl in the run's folder is written in any case."""

from __future__ import annotations

from torchio_seg.tracking.interface import Nothing, Run


def build(run: Run) -> Nothing:  # noqa: ARG001 (the contract of trackers)
    """The tracker that tracks nothing."""
    return Nothing()
