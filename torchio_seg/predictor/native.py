"""Prediction of one volume, from file to the file's own grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from torchio_seg.metrics import region_masks
from torchio_seg.predictor.grid import Window, feed, on_device
from torchio_seg.predictor.own_grid import OwnGrid
from torchio_seg.predictor.streaming import Collected, Frontier
from torchio_seg.progress import Progress, Silent
from torchio_seg.targets import activate
from torchio_seg.transforms.normalization import normalize
from torchio_seg.transforms.preprocessing import Grids, pad_to, to_model_grid

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from torchio_seg.predictor.streaming import Finish
    from torchio_seg.records import Labels, Region
    from torchio_seg.transforms.recipe import Recipe


@dataclass(frozen=True)
class Prediction:
    """What was found in a volume, on the volume's own grid."""

    label_map: NDArray[np.generic]
    """I J K, the values that the model's labels are written with."""
    labels: Labels
    probabilities: NDArray[np.float32] | None = None
    """C I J K, one for each channel of the network; channel 0 is background where classes exclude each other. None
    where they were not asked for."""

    @property
    def masks(self) -> NDArray[np.bool_]:
        """R I J K, one for each region: the voxels whose value in the label map is one of the region's labels."""
        return region_masks(self.label_map, self.labels)

    def mask(self, region: Region) -> NDArray[np.bool_]:
        """I J K, that of one region."""
        return np.isin(self.label_map, region.labels)


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
        self,
        array: NDArray[np.generic],
        affine: NDArray[np.float64],
        progress: Progress | None = None,
        *,
        probabilities: bool = True,
    ) -> Prediction:
        """The prediction for an image C I J K with this affine.

        Without probabilities, planes become labels as soon as no patch is to come for them, and the memory that this
        takes beside the image and the label map grows neither with the volume's length nor with classes times it.
        """
        volume, grids = to_model_grid(array, affine, self.recipe)
        volume = self._prepared(volume)
        own = self._own_grid(grids, keep=probabilities)
        self._stream(volume, own.add_logits, progress)
        return self._whole(own)

    def logits(
        self, array: NDArray[np.generic], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> tuple[torch.Tensor, Grids]:
        """The network's logits C I J K on the model's grid, and the way back from it."""
        volume, grids = to_model_grid(array, affine, self.recipe)
        volume = self._prepared(volume)
        collected = Collected(self.window.grid(volume.shape[1:]))
        self._stream(volume, collected, progress)
        i, j, k = grids.model_shape
        return collected.volume[:, :i, :j, :k], grids

    def probabilities(
        self, array: NDArray[np.generic], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> tuple[torch.Tensor, Grids]:
        """Those of the channels, C I J K on the model's grid, and the way back from it."""
        logits, grids = self.logits(array, affine, progress)
        return activate(logits[None], self.labels)[0], grids

    def finish(self, logits: torch.Tensor, grids: Grids, *, probabilities: bool = True) -> Prediction:
        """Logits on the model's grid as a prediction on the volume's own, with probabilities or without."""
        own = self._own_grid(grids, keep=probabilities)
        own.add_logits(logits, 0)
        return self._whole(own)

    def on_own_grid(self, probabilities: torch.Tensor, grids: Grids, *, keep: bool = True) -> Prediction:
        """Probabilities on the model's grid as a prediction on the volume's own, which keeps them or not."""
        own = self._own_grid(grids, keep=keep)
        own.add(probabilities, 0)
        return self._whole(own)

    def _own_grid(self, grids: Grids, *, keep: bool) -> OwnGrid:
        """What takes planes along the axis that patches come in order along."""
        padded = [max(sizes) for sizes in zip(grids.model_shape, self.window.patch_size, strict=True)]
        return OwnGrid(grids, self.labels, self.window.grid(padded).axis, keep_probabilities=keep)

    def _whole(self, own: OwnGrid) -> Prediction:
        own.close()
        return Prediction(own.label_map, self.labels, own.probabilities)

    def _prepared(self, volume: torch.Tensor) -> torch.Tensor:
        return pad_to(normalize(volume, self.recipe), self.window.patch_size, self.recipe)

    def _stream(self, volume: torch.Tensor, finish: Finish, progress: Progress | None) -> None:
        """Hand on the logits of a volume that is ready for the network, padding included."""
        if isinstance(self.network, torch.nn.Module):
            self.network.eval()
        frontier = Frontier(self.window.grid(volume.shape[1:]), self.window.blending, finish)
        network = on_device(self.network, self.device, self.precision)
        feed(frontier, network, volume, batch_size=self.window.batch_size, progress=progress or Silent())
