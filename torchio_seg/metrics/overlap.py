"""What follows from numbers of voxels alone: overlaps, and how far the volume is off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchio_seg.metrics.masks import Counts, require_masks

if TYPE_CHECKING:
    from torchio_seg.metrics.masks import Mask

NAMES = ("dice", "iou", "sensitivity", "precision", "volume_error", "volume_error_ml")


def dice(predicted: Mask, truth: Mask) -> float | None:
    """Overlap of two masks, 0 to 1; None where both are empty."""
    require_masks(predicted, truth)
    counts = Counts.of(predicted, truth)
    return dice_of_counts(counts.both, counts.predicted, counts.true)


def dice_of_counts(both: int, predicted: int, true: int) -> float | None:
    """The same from numbers of voxels."""
    return 2 * both / (predicted + true) if predicted + true else None


def measure(counts: Counts, voxel_ml: float) -> dict[str, float | None]:
    """All of them."""
    both, predicted, true = counts.both, counts.predicted, counts.true
    return {
        "dice": dice_of_counts(both, predicted, true),
        "iou": _share(both, predicted + true - both),
        "sensitivity": _share(both, true),
        "precision": _share(both, predicted),
        "volume_error": _share(predicted - true, true),
        "volume_error_ml": (predicted - true) * voxel_ml,
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
