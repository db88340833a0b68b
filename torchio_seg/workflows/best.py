"""What tells the best model: `training.best` as one number of a validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torchio_seg.errors import ConfigError
from torchio_seg.metrics import METRICS, Measures, mean_over_regions, spreads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchio_seg.records import RegionScore

CHOOSABLE = tuple(name for name, metric in METRICS.items() if metric.better != "neither")


@dataclass(frozen=True)
class Best:
    """A metric by which models are compared, of one region or of all."""

    name: str
    """As the settings say it."""
    metric: str | None = None
    """None where Dice and loss, which every validation has, are enough."""
    region: str | None = None
    """None: the mean over the regions."""

    @property
    def falls(self) -> bool:
        """Whether lower is better."""
        return self.name == "loss" or (self.metric is not None and METRICS[self.metric].better == "lower")

    @property
    def falling(self) -> tuple[str, ...]:
        """The names of a validation that are better the lower they are."""
        return tuple(dict.fromkeys(("loss", self.name))) if self.falls else ("loss",)

    @property
    def measures(self) -> Measures:
        """What a validation has to measure. A model that misses a region must not win by having no distance there."""
        return Measures(() if self.metric is None else (self.metric,), penalize=True)

    def of(self, scores: Sequence[RegionScore]) -> dict[str, float | None]:
        """Its number by its name; empty where Dice and loss are enough."""
        if self.metric is None:
            return {}
        regions = [each for each in spreads(scores, self.metric) if self.region in {None, each.region}]
        return {self.name: mean_over_regions(regions)}


def parse_best(name: str, regions: Sequence[str]) -> Best:
    """`mean_dice`, `loss`, a region for its Dice, a metric, or `metric/region`; an error for anything else."""
    if name in {"mean_dice", "loss", *regions}:
        return Best(name)
    metric, slash, region = name.partition("/")
    if metric in CHOOSABLE and (region in regions if slash else True):
        return Best(name, metric, region if slash else None)
    allowed = ", ".join(("mean_dice", "loss", *regions))
    raise ConfigError(
        f"training.best is {name!r}; this data set's validations give {allowed}, and {', '.join(CHOOSABLE)}, each also "
        f"of one region: hd95/{regions[0]}"
    )
