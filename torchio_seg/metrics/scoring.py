"""The regions of one case, each measured by what was asked for and nothing else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torchio_seg.metrics import lesions, overlap, surfaces
from torchio_seg.metrics.catalogue import DICE_ONLY, Measures
from torchio_seg.metrics.masks import Counts, require_masks
from torchio_seg.records import RegionScore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchio_seg.metrics.masks import Mask, Spacing


def score_case(
    case_id: str,
    predicted: Mask,
    truth: Mask,
    names: Sequence[str],
    *,
    measures: Measures = DICE_ONLY,
    spacing: Spacing | None = None,
) -> list[RegionScore]:
    """Score every region of one case; both masks are R I J K, `names` are those of the regions, `spacing` is in mm."""
    require_masks(predicted, truth, of=f"case {case_id}: ")
    if spacing is None and measures.need_spacing:
        raise TypeError(f"{', '.join(measures.names)} are measured in millimetres: give the spacing")
    edges = spacing or (1.0, 1.0, 1.0)
    scores = []
    for name, guess, fact in zip(names, predicted, truth, strict=True):
        counts = Counts.of(guess, fact)
        found = overlap.measure(counts, math.prod(edges) / 1000)
        found |= _from_masks(guess, fact, edges, measures)
        diagonal = math.hypot(*(size * edge for size, edge in zip(fact.shape, edges, strict=True)))
        values = {each: measures.settle(each, found[each], counts, diagonal) for each in ("dice", *measures.names)}
        dice = values.pop("dice")
        scores.append(RegionScore(case_id, name, dice, counts.true, counts.predicted, values))
    return scores


def _from_masks(predicted: Mask, truth: Mask, spacing: Spacing, measures: Measures) -> dict[str, float | None]:
    """What takes more than counting, as far as it is asked for."""
    found: dict[str, float | None] = {}
    if set(measures.names).intersection(surfaces.NAMES):
        found |= surfaces.measure(predicted, truth, spacing, measures.tolerance_mm)
    if set(measures.names).intersection(lesions.NAMES):
        found |= lesions.measure(predicted, truth)
    return found
