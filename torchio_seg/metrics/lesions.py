"""Lesions found, missed and invented: connected pieces of the truth against those of the prediction.

Voxels hang together over faces, edges and corners. A true lesion is found where the prediction has at least one of its
voxels; a predicted one is invented where the truth has none of its voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from torchio_seg.metrics.masks import box_of

if TYPE_CHECKING:
    from torchio_seg.metrics.masks import Mask

NAMES = ("lesion_f1", "lesions_found", "lesions_missed", "lesions_invented")
_TOUCHING = ndimage.generate_binary_structure(3, 3)


@dataclass(frozen=True)
class Lesions:
    """How many."""

    found: int
    missed: int
    invented: int

    @classmethod
    def between(cls, predicted: Mask, truth: Mask) -> Lesions:
        """Those of two masks."""
        box = box_of(predicted | truth)
        predicted, truth = predicted[box], truth[box]
        true_numbers, num_true = ndimage.label(truth, _TOUCHING)
        numbers, num_predicted = ndimage.label(predicted, _TOUCHING)
        both = predicted & truth
        found, hits = len(np.unique(true_numbers[both])), len(np.unique(numbers[both]))
        return cls(found, num_true - found, num_predicted - hits)

    @property
    def f1(self) -> float | None:
        """The harmonic mean of the share that is found and the share that is not invented; None without lesions."""
        total = 2 * self.found + self.missed + self.invented
        return 2 * self.found / total if total else None


def measure(predicted: Mask, truth: Mask) -> dict[str, float | None]:
    """All of them for one region."""
    lesions = Lesions.between(predicted, truth)
    return {
        "lesion_f1": lesions.f1,
        "lesions_found": lesions.found,
        "lesions_missed": lesions.missed,
        "lesions_invented": lesions.invented,
    }
