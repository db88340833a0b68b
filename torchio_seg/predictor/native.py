"""Prediction of one volume, from file to the file's own grid."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING

import numpy as np
import torch

from torchio_seg.metrics import region_masks
from torchio_seg.predictor.aggregator import collect
from torchio_seg.predictor.grid import Window, on_device, stream
from torchio_seg.predictor.own_grid import OwnGrid, WayBack, activated, averaged, whole_planes
from torchio_seg.predictor.scratch import Scratch
from torchio_seg.predictor.source import Source
from torchio_seg.predictor.streaming import CPU, Frontier
from torchio_seg.progress import Progress, Silent
from torchio_seg.transforms.preprocessing import Grids, find_grids, to_model_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from torchio_seg.predictor.patch_grid import PatchGrid, Strip
    from torchio_seg.predictor.uncertainty import Measure
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
    uncertainty: NDArray[np.float32] | None = None
    """I J K, where it was asked for (predictor/uncertainty.py)."""

    @property
    def masks(self) -> NDArray[np.bool_]:
        """R I J K, one for each region: the voxels whose value in the label map is one of the region's labels."""
        return region_masks(self.label_map, self.labels)

    def mask(self, region: Region) -> NDArray[np.bool_]:
        """I J K, that of one region."""
        return np.isin(self.label_map, region.labels)


@dataclass(frozen=True)
class Storage:
    """Where things lie that take much memory; results are the same."""

    sums: torch.device = CPU
    """Those of patches, while later patches are to come for them."""
    sums_in_file: bool = False
    """What the next slab shares of them, in a file without a name instead of memory."""
    probabilities_in_file: bool = False
    """Those that are kept, likewise."""


@dataclass(frozen=True)
class Predictor:
    """A network with all that turns a volume into a prediction."""

    network: Callable[[torch.Tensor], torch.Tensor]
    labels: Labels
    recipe: Recipe
    window: Window
    device: torch.device
    precision: str
    storage: Storage = Storage()
    measure: Measure | None = None
    """What tells how unsure a voxel is, where that is asked for; of an ensemble the first member's."""

    def __call__(
        self,
        array: NDArray[np.generic],
        affine: NDArray[np.float64],
        progress: Progress | None = None,
        *,
        probabilities: bool = True,
    ) -> Prediction:
        """The prediction for an image C I J K with this affine.

        Strips of planes become labels as soon as no patch is to come for them. Without probabilities, the memory that
        this takes beside the image and the label map grows neither with the volume's length nor with classes times it.
        """
        return predict([self], array, affine, progress, probabilities=probabilities)

    def logits(
        self, array: NDArray[np.generic], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> tuple[torch.Tensor, Grids]:
        """The network's logits C I J K on the model's grid, and the way back from it."""
        volume, grids = to_model_grid(array, affine, self.recipe)
        grid = self.window.grid(grids.model_shape)
        return collect(self.stream(volume, grid, progress), volume.shape[1:], grid.axis), grids

    def finish(self, logits: torch.Tensor, grids: Grids, *, probabilities: bool = True) -> Prediction:
        """Logits on the model's grid as a prediction on the volume's own, with probabilities or without."""
        grid = self.window.grid(grids.model_shape)
        own = OwnGrid(grids, self.labels, grid.axis, keep_probabilities=probabilities)
        own.fill(WayBack(grids, self.labels, grid.axis)(activated(grid.strips(logits), self.labels)))
        return Prediction(own.label_map, self.labels, own.probabilities)

    def stream(self, volume: torch.Tensor, grid: PatchGrid, progress: Progress | None = None) -> Iterator[Strip]:
        """The logits of a volume C I J K on the model's grid, not yet normalised, in the order of the patch grid."""
        if isinstance(self.network, torch.nn.Module):
            self.network.eval()
        source = Source.of(volume, self.recipe, self.window.patch_size)
        scratch = Scratch() if self.storage.sums_in_file else None
        frontier = Frontier(grid, self.window.blending, self.storage.sums, scratch)
        network = on_device(self.network, self.device, self.precision)
        strips = stream(frontier, network, source, batch_size=self.window.batch_size, progress=progress or Silent())
        return grid.without_filling(strips, volume.shape[1:])


def predict(
    members: Sequence[Predictor],
    array: NDArray[np.generic],
    affine: NDArray[np.float64],
    progress: Progress | None = None,
    *,
    probabilities: bool,
) -> Prediction:
    """The prediction of one predictor, or the mean of several, which go on side by side.

    Members that see the same patches meet on the model's grid, strip by strip; others plane by plane on the volume's.
    """
    labels, shape = members[0].labels, array.shape[1:]
    grids = [find_grids(shape, affine, member.recipe) for member in members]
    axis = members[0].window.grid(grids[0].model_shape).axis
    patches = [member.window.grid(own.model_shape, axis) for member, own in zip(members, grids, strict=True)]
    volumes = _on_model_grids(members, grids, array, affine)
    each_progress = chain([progress], repeat(None))
    strips = [
        activated(member.stream(volume, grid, watcher), labels)
        for member, volume, grid, watcher in zip(members, volumes, patches, each_progress, strict=False)
    ]
    if all(grid == patches[0] and _alike(own, grids[0]) for grid, own in zip(patches, grids, strict=True)):
        found = WayBack(grids[0], labels, axis)(averaged(strips))
    else:
        rows = grids[0].turned_shape[patches[0].axes[1]]
        back = (WayBack(own, labels, axis)(each) for own, each in zip(grids, strips, strict=True))
        found = averaged([whole_planes(each, rows) for each in back])
    in_file = probabilities and members[0].storage.probabilities_in_file
    own = OwnGrid(
        grids[0],
        labels,
        axis,
        keep_probabilities=probabilities,
        scratch=Scratch() if in_file else None,
        measure=members[0].measure,
    )
    own.fill(found)
    return Prediction(own.label_map, labels, own.probabilities, own.uncertainty)


def _on_model_grids(
    members: Sequence[Predictor], grids: Sequence[Grids], array: NDArray[np.generic], affine: NDArray[np.float64]
) -> list[torch.Tensor]:
    """The image as each member's grid has it, before normalisation; the same for those of one grid."""
    volumes: list[torch.Tensor] = []
    for number, (member, own) in enumerate(zip(members, grids, strict=True)):
        same = next((volumes[other] for other in range(number) if _alike(grids[other], own)), None)
        volumes.append(to_model_grid(array, affine, member.recipe)[0] if same is None else same)
    return volumes


def _alike(first: Grids, second: Grids) -> bool:
    return (first.resampled_shape, first.model_shape) == (second.resampled_shape, second.model_shape)
