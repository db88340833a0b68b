"""Scores of cases as CSV and JSON."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torchio_seg.errors import UsageError
from torchio_seg.files import write_json, write_text
from torchio_seg.metrics import METRICS, mean_over_regions, measured, spreads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torchio_seg.metrics import Summary
    from torchio_seg.records import RegionScore

BEFORE = ("case", "region", "dice")
AFTER = ("true_voxels", "predicted_voxels", "missed", "invented")
COLUMNS = (*BEFORE, *AFTER)
"""Those that there always are; further metrics stand after Dice."""


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
        "metrics": {name: _about(name, scores) for name in measured(scores)},
        "cases": [_row(score) for score in scores],
    }
    write_json(stem.with_suffix(".json"), content)


def require_no_scores(stem: Path, *, overwrite: bool) -> None:
    """Refuse to replace scores unasked."""
    there = [path for path in (stem.with_suffix(".csv"), stem.with_suffix(".json")) if path.exists()]
    if there and not overwrite:
        raise UsageError(f"{there[0]} exists; --overwrite replaces it, -o names another folder")


def _as_csv(scores: Sequence[RegionScore]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [name for name in measured(scores) if name != "dice"]
    writer.writerow((*BEFORE, *names, *AFTER))
    for score in scores:
        row = _row(score)
        numbers = {name: _number(row[name]) for name in ("dice", *names)}
        writer.writerow((row | numbers).values())
    return text.getvalue()


def _row(score: RegionScore) -> dict[str, Any]:
    """Everything of one region of one case, in the order of the columns."""
    before, after = ({name: getattr(score, name) for name in names} for names in (BEFORE, AFTER))
    return {**before, **score.more, **after}


def _number(value: float | None) -> str:
    if value is None:
        return "n/a"
    return str(value) if isinstance(value, int) else f"{value:.6f}"


def _about(metric: str, scores: Sequence[RegionScore]) -> dict[str, Any]:
    """What one metric says of all cases."""
    regions = spreads(scores, metric)
    known = METRICS[metric]
    return {
        "unit": known.unit,
        "better": known.better,
        "mean": mean_over_regions(regions),
        "regions": [asdict(spread) for spread in regions],
    }
