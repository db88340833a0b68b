"""Scores of cases as CSV and JSON."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torchio_seg.files import write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torchio_seg.metrics import Summary
    from torchio_seg.records import RegionScore

COLUMNS = ("case", "region", "dice", "true_voxels", "predicted_voxels", "missed", "invented")


def write_scores(
    stem: Path,
    scores: Sequence[RegionScore],
    *,
    summaries: Sequence[Summary],
    mean: float | None,
    facts: dict[str, Any],
) -> None:
    """STEM.csv with a line per case and region, STEM.json with those, their summary and what they were made from."""
    write_text(stem.with_suffix(".csv"), _as_csv(scores))
    content = {
        **facts,
        "mean_dice": mean,
        "regions": [asdict(summary) for summary in summaries],
        "cases": [_row(score) for score in scores],
    }
    write_json(stem.with_suffix(".json"), content)


def _as_csv(scores: Sequence[RegionScore]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for score in scores:
        row = _row(score)
        writer.writerow({**row, "dice": "n/a" if row["dice"] is None else f"{row['dice']:.6f}"})
    return text.getvalue()


def _row(score: RegionScore) -> dict[str, Any]:
    return {column: getattr(score, column) for column in COLUMNS}
