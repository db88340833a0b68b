"""The regions of one case, each measured by what was asked for and nothing else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torchio_seg.metrics import lesions, overlap, surfaces
from torchio_seg.metrics.catalogue import DICE_ONLY, Measures
from torchio_seg.metrics.masks import Counts, as_far_as_known, region_mask, require_masks, require_one_shape
from torchio_seg.records import RegionScore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from torchio_seg.metrics.masks import Mask, Spacing
    from torchio_seg.records import Labels


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
    return _score(case_id, zip(names, predicted, truth, strict=True), measures, spacing)


def score_label_maps(
    case_id: str,
    predicted: NDArray[Any],
    truth: NDArray[Any],
    labels: Labels,
    *,
    measures: Measures = DICE_ONLY,
    spacing: Spacing | None = None,
) -> list[RegionScore]:
    """Score every region of two integer label maps I J K; what the truth says to ignore counts on neither side.

    One region's masks exist at a time, so that memory does not grow with the number of regions.
    """
    require_one_shape(predicted, truth, of=f"case {case_id}: ")
    known = as_far_as_known(predicted, truth, labels)
    each = (
        (region.name, region_mask(known, region.labels), region_mask(truth, region.labels)) for region in labels.regions
    )
    return _score(case_id, each, measures, spacing)


def _score(
    case_id: str, regions: Iterable[tuple[str, Mask, Mask]], measures: Measures, spacing: Spacing | None
) -> list[RegionScore]:
    """Of each region its name, what was predicted and what is true."""
    if spacing is None and measures.need_spacing:
        raise TypeError(f"{', '.join(measures.names)} are measured in millimetres: give the spacing")
    edges = spacing or (1.0, 1.0, 1.0)
    scores = []
    for name, guess, fact in regions:
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
