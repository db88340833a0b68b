"""What was measured, metric by metric, with how sure each mean is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchio_seg.cli.screen import Screen, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchio_seg.records import RegionScore

COLUMNS = ("metric", "region", "mean", "sd", "mean from", "to", "cases")


def show_means(scores: Sequence[RegionScore]) -> None:
    """A line for each metric and region."""
    from torchio_seg.metrics import METRICS, measured, spreads

    screen = Screen.shared()
    screen.say("mean, how far cases lie apart (sd), and where the mean lies (95 %, bootstrap over the cases)")
    rows = []
    for name in measured(scores):
        metric = METRICS[name]
        shown = f"{metric.name} ({metric.unit})" if metric.unit in {"mm", "ml"} else metric.name
        for each in spreads(scores, name):
            figures = map(number, (each.mean, each.deviation, each.low, each.high))
            rows.append((shown, each.region, *figures, str(each.num_scored)))
    screen.table(COLUMNS, rows)
