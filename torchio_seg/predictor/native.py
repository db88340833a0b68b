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
from torchio_seg.predictor.source import Held
from torchio_seg.predictor.streaming import CPU, Frontier
from torchio_seg.progress import Progress, Silent
from torchio_seg.transforms.prepared import Planes, Rolling
from torchio_seg.transforms.preprocessing import Grids, find_grids, on_model_grid
from torchio_seg.volumes.scratch import HELD_BYTES
from torchio_seg.volumes.source import as_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from torchio_seg.predictor.grid import Prepared
    from torchio_seg.predictor.patch_grid import PatchGrid, Strip
    from torchio_seg.predictor.uncertainty import Measure
    from torchio_seg.records import Labels, Region
    from torchio_seg.transforms.recipe import Recipe
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
    held_bytes: int = HELD_BYTES
    """Up to which the volume on the model's grid, and the label map, are held in memory."""
    measure: Measure | None = None
    """What tells how unsure a voxel is, where that is asked for; of an ensemble the first member's."""

    def __call__(
        self,
        array: NDArray[np.generic] | Source,
        affine: NDArray[np.float64],
        progress: Progress | None = None,
        *,
        probabilities: bool = True,
    ) -> Prediction:
        """The prediction for an image C I J K, in memory or read a slab at a time, with this affine.

        Strips of planes become labels as soon as no patch is to come for them. Without probabilities, the memory that
        this takes beside the image and the label map grows neither with the volume's length nor with classes times it.
        """
        return predict([self], array, affine, progress, probabilities=probabilities)

    def logits(
        self, array: NDArray[np.generic] | Source, affine: NDArray[np.float64], progress: Progress | None = None
    ) -> tuple[torch.Tensor, Grids]:
        """The network's logits C I J K on the model's grid, and the way back from it."""
        source = as_source(array)
        grids = find_grids(source.shape[1:], affine, self.recipe)
        grid = self.window.grid(grids.model_shape)
        [volume] = _prepared([self], [grids], [grid], source)
        return collect(self.stream(volume, grid, grids, progress), grids.model_shape, grid.axis), grids

    def finish(self, logits: torch.Tensor, grids: Grids, *, probabilities: bool = True) -> Prediction:
        """Logits on the model's grid as a prediction on the volume's own, with probabilities or without."""
        grid = self.window.grid(grids.model_shape)
        own = OwnGrid(grids, self.labels, grid.axis, keep_probabilities=probabilities)
        own.fill(WayBack(grids, self.labels, grid.axis)(activated(grid.strips(logits), self.labels)))
        return Prediction(own.label_map, self.labels, own.probabilities)

    def stream(
        self, volume: Prepared, grid: PatchGrid, grids: Grids, progress: Progress | None = None
    ) -> Iterator[Strip]:
        """The logits of a volume that is ready for the network, in the order of the patch grid."""
        if isinstance(self.network, torch.nn.Module):
            self.network.eval()
        scratch = Scratch() if self.storage.sums_in_file else None
        frontier = Frontier(grid, self.window.blending, self.storage.sums, scratch)
        network = on_device(self.network, self.device, self.precision)
        strips = stream(frontier, network, volume, batch_size=self.window.batch_size, progress=progress or Silent())
        return grid.without_filling(strips, grids.model_shape)


def predict(
    members: Sequence[Predictor],
    array: NDArray[np.generic] | Source,
    affine: NDArray[np.float64],
    progress: Progress | None = None,
    *,
    probabilities: bool,
) -> Prediction:
    """The prediction of one predictor, or the mean of several, which go on side by side.

    Members that see the same patches meet on the model's grid, strip by strip; others plane by plane on the volume's.
    """
    labels, source = members[0].labels, as_source(array)
    grids = [find_grids(source.shape[1:], affine, member.recipe) for member in members]
    axis = members[0].window.grid(grids[0].model_shape).axis
    patches = [member.window.grid(own.model_shape, axis) for member, own in zip(members, grids, strict=True)]
    volumes = _prepared(members, grids, patches, source)
    each_progress = chain([progress], repeat(None))
    strips = [
        activated(member.stream(volume, grid, own, watcher), labels)
        for member, volume, grid, own, watcher in zip(members, volumes, patches, grids, each_progress, strict=False)
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
        held_bytes=members[0].held_bytes,
        measure=members[0].measure,
    )
    own.fill(found)
    return Prediction(own.label_map, labels, own.probabilities, own.uncertainty)


def _prepared(
    members: Sequence[Predictor], grids: Sequence[Grids], patches: Sequence[PatchGrid], source: Source
) -> list[Prepared]:
    """The image as each network sees it: a long one a window at a time, else one volume for those of one grid."""
    held: list[tuple[Grids, torch.Tensor]] = []
    prepared: list[Prepared] = []
    for member, own, grid in zip(members, grids, patches, strict=True):
        planes = Planes(source, own, member.recipe, grid.shape, grid.axis)
        if planes.num_bytes > member.held_bytes:
            prepared.append(Rolling(planes))
            continue
        volume = next((volume for other, volume in held if _alike(other, own)), None)
        if volume is None:
            volume = on_model_grid(source.read(2, 0, source.shape[3]), own)
            held.append((own, volume))
        prepared.append(Held.of(volume, member.recipe, member.window.patch_size))
    return prepared


def _alike(first: Grids, second: Grids) -> bool:
    return (first.resampled_shape, first.model_shape) == (second.resampled_shape, second.model_shape)
