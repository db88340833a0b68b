"""Several predictors as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.postprocessing import Step, mend
from torchio_seg.predictor.predictor import Prediction, Predictor, predict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from torchio_seg.progress import Progress
    from torchio_seg.records import Labels
    from torchio_seg.transforms.recipe import Recipe
    from torchio_seg.volumes.source import Source


@dataclass(frozen=True)
class Ensemble:
    """The mean of its members' probabilities, after softmax or sigmoid, and what is mended of the label map.

    Members normalise each for itself, and may see other grids. They run side by side, so that no more of the volume
    is held than each of them alone would hold.
    """

    members: tuple[Predictor, ...]
    steps: tuple[Step, ...] = ()

    @property
    def labels(self) -> Labels:
        return self.members[0].labels

    @property
    def recipe(self) -> Recipe:
        """The first member's."""
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
        prediction = predict(self.members, array, affine, progress, probabilities=probabilities)
        mend(prediction.label_map, self.steps, self.labels, float(abs(np.linalg.det(affine[:3, :3]))))
        return prediction
