"""Dice from masks, with a stated rule for what cannot be measured.

A region that is empty in truth and prediction both has no Dice: the score is None, it enters no mean, and it is
counted as empty. A region that is missed (there, not predicted) or invented (predicted, not there) scores 0, enters
the mean, and is counted besides. Nothing is ever NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import stdev
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from torchio_seg.errors import DataError
from torchio_seg.records import RegionScore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torchio_seg.records import Labels

    Mask = npt.NDArray[np.bool_]

RESAMPLES = 10_000


@dataclass(frozen=True)
class Summary:
    """How one region was predicted over all cases."""

    region: str
    mean_dice: float | None
    """None where no case could be scored."""
    num_scored: int
    num_missed: int
    num_invented: int
    num_empty: int


@dataclass(frozen=True)
class Spread:
    """How far one region's Dice lies apart from case to case."""

    region: str
    mean: float | None
    """None where no case could be scored."""
    deviation: float | None
    """Standard deviation of the cases (divided by n - 1); None for fewer than two."""
    low: float | None
    high: float | None
    """Between which the mean lies with 95 % confidence; None for fewer than two."""


def dice(predicted: Mask, truth: Mask) -> float | None:
    """Overlap of two masks, 0 to 1; None where both are empty."""
    _require_masks(predicted, truth)
    return dice_of_counts(
        int(np.count_nonzero(predicted & truth)), int(np.count_nonzero(predicted)), int(np.count_nonzero(truth))
    )


def dice_of_counts(both: int, predicted: int, true: int) -> float | None:
    """The same from numbers of voxels."""
    return 2 * both / (predicted + true) if predicted + true else None


def region_masks(label_map: npt.NDArray[Any], labels: Labels) -> Mask:
    """The mask of every region, R I J K, from an integer label map I J K."""
    return np.stack([np.isin(label_map, region.labels) for region in labels.regions])


def score_case(case_id: str, predicted: Mask, truth: Mask, names: Sequence[str]) -> list[RegionScore]:
    """Score every region of one case; both masks are R I J K, `names` are those of the regions."""
    _require_masks(predicted, truth, of=f"case {case_id}: ")
    return [
        RegionScore(case_id, name, dice(guess, fact), int(np.count_nonzero(fact)), int(np.count_nonzero(guess)))
        for name, guess, fact in zip(names, predicted, truth, strict=True)
    ]


def summarize(scores: Iterable[RegionScore]) -> list[Summary]:
    """One summary a region, in the order in which regions first appear."""
    by_region: dict[str, list[RegionScore]] = {}
    for score in scores:
        by_region.setdefault(score.region, []).append(score)
    return [_summary(region, of_region) for region, of_region in by_region.items()]


def mean_dice(summaries: Iterable[Summary]) -> float | None:
    """The mean over the regions that have one; None where none has."""
    return _mean([summary.mean_dice for summary in summaries if summary.mean_dice is not None])


def spreads(scores: Iterable[RegionScore]) -> list[Spread]:
    """How the cases of each region differ, in the order in which regions first appear."""
    by_region: dict[str, list[float]] = {}
    for score in scores:
        by_region.setdefault(score.region, []).extend([] if score.dice is None else [score.dice])
    return [_spread(region, values) for region, values in by_region.items()]


def bootstrap_interval(values: Sequence[float], *, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Where the mean lies with this confidence: percentiles of the means of 10 000 resamples of the values."""
    known = np.asarray(values)
    rng = np.random.default_rng(seed)
    draws = (rng.integers(len(known), size=(100, len(known))) for _ in range(RESAMPLES // 100))
    means = np.concatenate([known[drawn].mean(axis=1) for drawn in draws])
    outside = (1 - confidence) / 2
    low, high = np.quantile(means, [outside, 1 - outside]).tolist()
    return low, high


def _spread(region: str, values: Sequence[float]) -> Spread:
    if len(values) < 2:
        return Spread(region, _mean(values), None, None, None)
    return Spread(region, _mean(values), stdev(values), *bootstrap_interval(values))


def _summary(region: str, scores: Sequence[RegionScore]) -> Summary:
    measured = [score.dice for score in scores if score.dice is not None]
    return Summary(
        region,
        mean_dice=_mean(measured),
        num_scored=len(measured),
        num_missed=sum(score.missed for score in scores),
        num_invented=sum(score.invented for score in scores),
        num_empty=len(scores) - len(measured),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _require_masks(predicted: Mask, truth: Mask, of: str = "") -> None:
    if predicted.dtype != np.bool_ or truth.dtype != np.bool_:
        raise TypeError(f"{of}masks are boolean, these are {predicted.dtype} and {truth.dtype}")
    if predicted.shape != truth.shape:
        raise DataError(
            f"{of}the prediction has shape {predicted.shape}, the truth {truth.shape}; "
            "compare them on one grid, that of the truth"
        )
