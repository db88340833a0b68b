"""Several predictors as one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.postprocessing import Step, apply
from torchio_seg.predictor.native import Prediction, Predictor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from torchio_seg.progress import Progress
    from torchio_seg.records import Labels
    from torchio_seg.transforms.recipe import Recipe
    from torchio_seg.volumes.source import Source


@dataclass(frozen=True)
class Ensemble:
    """The mean of its members' probabilities, after softmax or sigmoid, and what is mended of the label map.

    Members see one grid, but each normalises for itself. They run one after another into one sum, which holds the
    whole volume.
    """

    members: tuple[Predictor, ...]
    steps: tuple[Step, ...] = ()

    @property
    def labels(self) -> Labels:
        return self.members[0].labels

    @property
    def recipe(self) -> Recipe:
        """The first member's; the others' differ in normalisation at most."""
        return self.members[0].recipe

    def __call__(
        self,
        array: NDArray[np.generic] | Source,
        affine: NDArray[np.float64],
        progress: Progress | None = None,
        *,
        probabilities: bool = True,
    ) -> Prediction:
        """The prediction for an image C I J K with this affine; its probabilities are those before mending."""
        first, *others = self.members
        total, grids = first.probabilities(array, affine, progress)
        for member in others:
            total += member.probabilities(array, affine, progress)[0]
        total /= len(self.members)
        prediction = first.on_own_grid(total, grids, keep=probabilities)
        if not self.steps:
            return prediction
        voxel_mm3 = float(abs(np.linalg.det(affine[:3, :3])))
        label_map = apply(prediction.label_map, self.steps, self.labels, voxel_mm3)
        return replace(prediction, label_map=label_map)
