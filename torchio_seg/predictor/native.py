"""Prediction of one volume, from file to the file's own grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from torchio_seg.metrics import region_masks
from torchio_seg.predictor.grid import Window, predict_logits
from torchio_seg.progress import Progress, Silent
from torchio_seg.targets import activate, background, decode
from torchio_seg.transforms.normalization import normalize
from torchio_seg.transforms.preprocessing import Grids, pad_to, to_model_grid

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from torchio_seg.records import Labels
    from torchio_seg.transforms.recipe import Recipe


@dataclass(frozen=True)
class Prediction:
    """What was found in a volume, on the volume's own grid."""

    label_map: NDArray[np.generic]
    """I J K, the values that the model's labels are written with."""
    masks: NDArray[np.bool_]
    """R I J K, one for each region: the voxels whose value in the label map is one of the region's labels."""
    probabilities: NDArray[np.float32]
    """C I J K, one for each channel of the network; channel 0 is background where classes exclude each other."""


@dataclass(frozen=True)
class Predictor:
    """A network with all that turns a volume into a prediction."""

    network: Callable[[torch.Tensor], torch.Tensor]
    labels: Labels
    recipe: Recipe
    window: Window
    device: torch.device
    precision: str

    def __call__(
        self, array: NDArray[np.generic], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> Prediction:
        """The prediction for an image C I J K with this affine."""
        logits, grids = self.logits(array, affine, progress)
        return self.finish(logits, grids)

    def logits(
        self, array: NDArray[np.generic], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> tuple[torch.Tensor, Grids]:
        """The network's logits C I J K on the model's grid, and the way back from it."""
        if isinstance(self.network, torch.nn.Module):
            self.network.eval()
        volume, grids = to_model_grid(array, affine, self.recipe)
        logits = predict_logits(
            self.network,
            pad_to(normalize(volume, self.recipe), self.window.patch_size, self.recipe),
            self.window,
            device=self.device,
            precision=self.precision,
            progress=progress or Silent(),
        )
        i, j, k = grids.model_shape
        return logits[:, :i, :j, :k], grids

    def probabilities(
        self, array: NDArray[np.generic], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> tuple[torch.Tensor, Grids]:
        """Those of the channels, C I J K on the model's grid, and the way back from it."""
        logits, grids = self.logits(array, affine, progress)
        return activate(logits[None], self.labels)[0], grids

    def finish(self, logits: torch.Tensor, grids: Grids) -> Prediction:
        """Logits on the model's grid as a prediction on the volume's own."""
        return on_own_grid(activate(logits[None], self.labels)[0], grids, self.labels)


def on_own_grid(probabilities: torch.Tensor, grids: Grids, labels: Labels) -> Prediction:
    """Probabilities on the model's grid as a prediction on the volume's own."""
    probabilities = grids.back(probabilities, background(labels))
    restore = grids.orientation.undo
    label_map = np.ascontiguousarray(restore(decode(probabilities, labels)[None].numpy())[0])
    return Prediction(
        label_map=label_map,
        masks=region_masks(label_map, labels),
        probabilities=np.ascontiguousarray(restore(probabilities.numpy())),
    )
