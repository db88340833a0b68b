"""Scores of many cases summed up: means, what could not be measured, and how sure a mean is."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import stdev
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torchio_seg.records import RegionScore

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
    """How far one region's scores by one metric lie apart from case to case."""

    region: str
    mean: float | None
    """None where no case could be scored."""
    deviation: float | None
    """Standard deviation of the cases (divided by n - 1); None for fewer than two."""
    low: float | None
    high: float | None
    """Between which the mean lies with 95 % confidence; None for fewer than two."""
    num_scored: int


def summarize(scores: Iterable[RegionScore]) -> list[Summary]:
    """One summary a region, in the order in which regions first appear."""
    by_region: dict[str, list[RegionScore]] = {}
    for score in scores:
        by_region.setdefault(score.region, []).append(score)
    return [_summary(region, of_region) for region, of_region in by_region.items()]


def mean_dice(summaries: Iterable[Summary]) -> float | None:
    """The mean over the regions that have one; None where none has."""
    return _mean([summary.mean_dice for summary in summaries if summary.mean_dice is not None])


def mean_over_regions(spreads_: Iterable[Spread]) -> float | None:
    """The same of any metric."""
    return _mean([spread.mean for spread in spreads_ if spread.mean is not None])


def measured(scores: Sequence[RegionScore]) -> list[str]:
    """The metrics that scores have, Dice first."""
    return ["dice", *scores[0].more] if scores else []


def means(scores: Sequence[RegionScore]) -> dict[str, float | None]:
    """Of each metric but Dice over the regions that have it, and of each region, as METRIC/REGION."""
    found: dict[str, float | None] = {}
    for name in measured(scores)[1:]:
        regions = spreads(scores, name)
        found[name] = mean_over_regions(regions)
        found |= {f"{name}/{each.region}": each.mean for each in regions}
    return found


def spreads(scores: Iterable[RegionScore], metric: str = "dice") -> list[Spread]:
    """How the cases of each region differ, in the order in which regions first appear."""
    by_region: dict[str, list[float]] = {}
    for score in scores:
        value = score.value(metric)
        by_region.setdefault(score.region, []).extend([] if value is None else [value])
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
        return Spread(region, _mean(values), None, None, None, len(values))
    return Spread(region, _mean(values), stdev(values), *bootstrap_interval(values), len(values))


def _summary(region: str, scores: Sequence[RegionScore]) -> Summary:
    found = [score.dice for score in scores if score.dice is not None]
    return Summary(
        region,
        mean_dice=_mean(found),
        num_scored=len(found),
        num_missed=sum(score.missed for score in scores),
        num_invented=sum(score.invented for score in scores),
        num_empty=sum(score.empty for score in scores),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
