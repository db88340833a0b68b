"""The metrics there are: their names, units, and which way is better."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from torchio_seg.components import suggestion
from torchio_seg.errors import UsageError
from torchio_seg.metrics import overlap

if TYPE_CHECKING:
    from torchio_seg.metrics.masks import Counts

Empty = Literal["nan", "one", "zero"]
"""What a region scores that is neither there nor found: nothing, as if it were right, or as if it were wrong."""


@dataclass(frozen=True)
class Metric:
    """One number for each region of each case."""

    name: str
    title: str
    unit: str = ""
    better: Literal["higher", "lower", "neither"] = "higher"

    @property
    def perfect(self) -> float:
        """Of a prediction that is the truth."""
        return 1.0 if self.better == "higher" else 0.0

    def worst(self, diagonal_mm: float) -> float | None:
        """What nothing can be worse than in an image of this diagonal; None where there is no such number."""
        if self.unit == "mm":
            return diagonal_mm
        return 0.0 if self.better == "higher" else None


METRICS = {
    metric.name: metric
    for metric in (
        Metric("dice", "Dice"),
        Metric("iou", "IoU"),
        Metric("sensitivity", "sensitivity"),
        Metric("precision", "precision"),
        Metric("hd95", "HD95", "mm", "lower"),
        Metric("assd", "average surface distance", "mm", "lower"),
        Metric("surface_dice", "surface Dice"),
        Metric("volume_error", "volume error", "", "neither"),
        Metric("volume_error_ml", "volume error", "ml", "neither"),
        Metric("lesion_f1", "lesion F1"),
        Metric("lesions_found", "lesions found", "lesions", "neither"),
        Metric("lesions_missed", "lesions missed", "lesions", "lower"),
        Metric("lesions_invented", "lesions invented", "lesions", "lower"),
    )
}
"""By name, in the order in which they are written and shown."""


@dataclass(frozen=True)
class Measures:
    """What is measured, and what counts where it cannot be."""

    names: tuple[str, ...] = ("dice",)
    """Of metrics; Dice, which costs nothing, is always among those measured."""
    tolerance_mm: float = 1.0
    """Of surface Dice."""
    empty: Empty = "nan"
    penalize: bool = False
    """Whether a missed or invented region scores the worst where it would have no number."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tolerance_mm) and self.tolerance_mm >= 0):
            raise UsageError(f"a tolerance of {self.tolerance_mm:g} mm: give a number of millimetres from 0 on")

    @property
    def need_spacing(self) -> bool:
        """Whether something is measured in millimetres."""
        return any(METRICS[name].unit in {"mm", "ml"} or name == "surface_dice" for name in self.names)

    @property
    def are_counts(self) -> bool:
        """Whether counting voxels is enough, which takes no time beside a prediction."""
        return set(self.names) <= set(overlap.NAMES)

    def settle(self, name: str, value: float | None, counts: Counts, diagonal_mm: float) -> float | None:
        """The number that counts: as measured, or what the rule for empty regions says."""
        if value is not None:
            return value
        metric, neither = METRICS[name], counts.predicted == counts.true == 0
        if neither and self.empty == "one":
            return metric.perfect
        if (neither and self.empty == "zero") or (counts.only_one and self.penalize):
            return metric.worst(diagonal_mm)
        return None


DICE_ONLY = Measures()


def parse_metrics(text: str) -> tuple[str, ...]:
    """Names as the user types them: `dice,hd95`, or `all`."""
    if text.strip() == "all":
        return tuple(METRICS)
    given = [name.strip() for name in text.split(",") if name.strip()]
    for name in given:
        if name not in METRICS:
            raise UsageError(f"there is no metric '{name}'{suggestion(name, ('all', *METRICS))}")
    if not given:
        raise UsageError(f"--metrics '{text}' names none{suggestion('', ('all', *METRICS))}")
    return tuple(name for name in METRICS if name in given)


def parse_empty(text: str) -> Empty:
    """The rule for empty regions as the user types it."""
    for rule in get_args(Empty):
        if text == rule:
            return rule  # type: ignore[no-any-return]
    raise UsageError(f"--empty: got '{text}'{suggestion(text, get_args(Empty))}")
