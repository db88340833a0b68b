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
from torchio_seg.transforms.prepared import Planes, prepare
from torchio_seg.transforms.preprocessing import Grids, find_grids
from torchio_seg.volumes.scratch import HELD_BYTES, LabelRoom, rest
from torchio_seg.volumes.source import as_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from torchio_seg.predictor.streaming import Finish
    from torchio_seg.records import Labels, Region
    from torchio_seg.transforms.prepared import Rolling
    from torchio_seg.transforms.recipe import Recipe, Shape
    from torchio_seg.volumes.source import Source


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
    held_bytes: int = HELD_BYTES
    """Up to which the volume on the model's grid, and the label map, are held in memory."""

    def __call__(
        self,
        array: NDArray[np.generic] | Source,
        affine: NDArray[np.float64],
        progress: Progress | None = None,
        *,
        probabilities: bool = True,
    ) -> Prediction:
        """The prediction for an image C I J K, in memory or read a slab at a time, with this affine.

        Without probabilities, planes become labels as soon as no patch is to come for them, and the memory that this
        takes beside the image and the label map grows neither with the volume's length nor with classes times it.
        """
        planes = self._planes(array, affine)
        own = self._own_grid(planes.grids, keep=probabilities)
        volume = prepare(planes, held_bytes=self.held_bytes, between=lambda: rest(own.label_map))
        self._stream(volume, own.add_logits, progress)
        return self._whole(own)

    def logits(
        self, array: NDArray[np.generic] | Source, affine: NDArray[np.float64], progress: Progress | None = None
    ) -> tuple[torch.Tensor, Grids]:
        """The network's logits C I J K on the model's grid, and the way back from it."""
        planes = self._planes(array, affine)
        collected = Collected(self.window.grid(planes.shape))
        self._stream(prepare(planes, held_bytes=self.held_bytes), collected, progress)
        i, j, k = planes.grids.model_shape
        return collected.volume[:, :i, :j, :k], planes.grids

    def probabilities(
        self, array: NDArray[np.generic] | Source, affine: NDArray[np.float64], progress: Progress | None = None
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

    def _planes(self, image: NDArray[np.generic] | Source, affine: NDArray[np.float64]) -> Planes:
        source = as_source(image)
        grids = find_grids(source.shape[1:], affine, self.recipe)
        shape = self._padded(grids)
        return Planes(source, grids, self.recipe, shape, self.window.grid(shape).axis)

    def _padded(self, grids: Grids) -> Shape:
        """That of a volume, or of a patch where it is shorter."""
        i, j, k = (max(sizes) for sizes in zip(grids.model_shape, self.window.patch_size, strict=True))
        return i, j, k

    def _own_grid(self, grids: Grids, *, keep: bool) -> OwnGrid:
        """What takes planes along the axis that patches come in order along."""
        axis = self.window.grid(self._padded(grids)).axis
        room = LabelRoom(self.held_bytes, grids.orientation.axes[axis])
        return OwnGrid(grids, self.labels, axis, room, keep_probabilities=keep)

    def _whole(self, own: OwnGrid) -> Prediction:
        own.close()
        return Prediction(own.label_map, self.labels, own.probabilities)

    def _stream(self, volume: torch.Tensor | Rolling, finish: Finish, progress: Progress | None) -> None:
        """Hand on the logits of a volume that is ready for the network, padding included."""
        if isinstance(self.network, torch.nn.Module):
            self.network.eval()
        frontier = Frontier(self.window.grid(volume.shape[1:]), self.window.blending, finish)
        network = on_device(self.network, self.device, self.precision)
        feed(frontier, network, volume, batch_size=self.window.batch_size, progress=progress or Silent())
