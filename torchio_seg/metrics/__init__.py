"""How well regions were predicted: measured from masks, with a stated rule for what cannot be measured.

The door of this room. Definitions in words are in docs/metrics.md; nothing here is ever NaN, what cannot be measured is
None.
"""

from torchio_seg.metrics.catalogue import DICE_ONLY, METRICS, Empty, Measures, Metric, parse_empty, parse_metrics
from torchio_seg.metrics.masks import as_far_as_known, region_mask, region_masks
from torchio_seg.metrics.overlap import dice, dice_of_counts
from torchio_seg.metrics.scoring import score_case, score_label_maps
from torchio_seg.metrics.summaries import (
    Spread,
    Summary,
    bootstrap_interval,
    mean_dice,
    mean_over_regions,
    means,
    measured,
    spreads,
    summarize,
)

__all__ = [
    "DICE_ONLY",
    "METRICS",
    "Empty",
    "Measures",
    "Metric",
    "Spread",
    "Summary",
    "as_far_as_known",
    "bootstrap_interval",
    "dice",
    "dice_of_counts",
    "mean_dice",
    "mean_over_regions",
    "means",
    "measured",
    "parse_empty",
    "parse_metrics",
    "region_mask",
    "region_masks",
    "score_case",
    "score_label_maps",
    "spreads",
    "summarize",
]
