"""Results of repeated trainings as CSV and JSON."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from torchio_seg.files import write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Row:
    """The Dice of one region in each run; None where a run had nothing to score."""

    region: str
    dice: tuple[float | None, ...]

    @property
    def mean(self) -> float | None:
        """Over the runs that have one."""
        return mean(self._known) if self._known else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the runs (divided by n - 1); None for fewer than two."""
        return stdev(self._known) if len(self._known) > 1 else None

    @property
    def _known(self) -> list[float]:
        return [value for value in self.dice if value is not None]


def write_repeats(stem: Path, runs: Sequence[str], rows: Sequence[Row], *, facts: dict[str, Any]) -> None:
    """STEM.csv with a line for each region, STEM.json with the same and what it was made from."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["region", *runs, "mean", "deviation"])
    for row in rows:
        writer.writerow([row.region, *map(_number, (*row.dice, row.mean, row.deviation))])
    write_text(stem.with_suffix(".csv"), text.getvalue())
    content = [
        {
            "region": row.region,
            "dice": dict(zip(runs, row.dice, strict=True)),
            "mean": row.mean,
            "deviation": row.deviation,
        }
        for row in rows
    ]
    write_json(stem.with_suffix(".json"), {**facts, "regions": content})


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.6f}"
