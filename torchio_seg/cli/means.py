"""What was measured, metric by metric, with how sure each mean is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchio_seg.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchio_seg.records import RegionScore


def show_means(scores: Sequence[RegionScore]) -> None:
    """A line for each metric and region."""
    from torchio_seg.metrics import METRICS, measured, spreads

    screen = Screen.shared()
    screen.say("mean, how far cases lie apart (sd), and where the mean lies (95 %, bootstrap over the cases)")
    metrics = [METRICS[name] for name in measured(scores)]
    screen.table_of_spreads(
        (f"{each.name} ({each.unit})" if each.unit in {"mm", "ml"} else each.name, spreads(scores, each.name))
        for each in metrics
    )
