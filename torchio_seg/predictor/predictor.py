"""Prediction of one volume, from file to the file's own grid."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import TYPE_CHECKING

import numpy as np
import torch

from torchio_seg.machine import is_out_of_memory
from torchio_seg.metrics import region_masks
from torchio_seg.predictor.held import Held
from torchio_seg.predictor.own_grid import OwnGrid, activated, averaged, is_decided_by_logits, whole_planes
from torchio_seg.predictor.patch_grid import PatchGrid, collect
from torchio_seg.predictor.streaming import CPU, Frontier
from torchio_seg.predictor.uncertainty import disagreement
from torchio_seg.predictor.way_back import WayBack
from torchio_seg.predictor.window import Window, on_device, stream
from torchio_seg.progress import Progress, Silent
from torchio_seg.transforms.prepared import Planes, Rolling
from torchio_seg.transforms.preprocessing import Grids, find_grids, on_model_grid
from torchio_seg.volumes.scratch import HELD_BYTES
from torchio_seg.volumes.source import as_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from torchio_seg.predictor.patch_grid import Strip
    from torchio_seg.predictor.uncertainty import Measure
    from torchio_seg.predictor.window import Prepared
    from torchio_seg.records import Labels, Region
    from torchio_seg.transforms.recipe import Recipe
    from torchio_seg.volumes.source import Source

log = logging.getLogger(__name__)


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
    """I J K, where it was asked for (predictor/uncertainty.py). What is large lies in a file without a name."""

    @property
    def masks(self) -> NDArray[np.bool_]:
        """R I J K, one for each region: the voxels whose value in the label map is one of the region's labels."""
        return region_masks(self.label_map, self.labels)

    def mask(self, region: Region) -> NDArray[np.bool_]:
        """I J K, that of one region."""
        return np.isin(self.label_map, region.labels)


@dataclass(frozen=True)
class Storage:
    """Where the sums of patches lie, while later patches are to come for them; results are the same."""

    sums: torch.device = CPU
    sums_in_file: bool = False
    """What the next slab shares of them, in a file without a name instead of memory."""


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
    """Up to which the volume on the model's grid, and what is made of it, are held in memory, each for itself."""
    measure: Measure | None = None
    """What tells how unsure a voxel is, where that is asked for; of an ensemble the first member's."""

    @property
    def num_channels(self) -> int:
        """What the network must answer with: those of the labels, and one more where it tells its disagreement."""
        return self.labels.num_channels + (self.measure is disagreement)

    def __call__(
        self,
        array: NDArray[np.generic] | Source,
        affine: NDArray[np.float64],
        progress: Progress | None = None,
        *,
        probabilities: bool = True,
    ) -> Prediction:
        """The prediction for an image C I J K, in memory or read a slab at a time, with this affine.

        Strips of planes become labels as soon as no patch is to come for them. The memory that this takes beside the
        image grows neither with the volume's length nor with classes times it.
        """
        return predict([self], array, affine, progress, probabilities=probabilities)

    def logits(
        self, array: NDArray[np.generic] | Source, affine: NDArray[np.float64], progress: Progress | None = None
    ) -> tuple[torch.Tensor, Grids]:
        """The network's logits C I J K on the model's grid, and the way back from it."""
        source = as_source(array)
        [way] = ways = find_ways([self], source.shape[1:], affine)
        [volume] = _prepared([self], ways, source)
        strips = self.stream(volume, way.patches, way.grids, progress)
        return collect(strips, way.grids.model_shape, way.patches.axis), way.grids

    def finish(self, logits: torch.Tensor, grids: Grids, *, probabilities: bool = True) -> Prediction:
        """Logits on the model's grid as a prediction on the volume's own, with probabilities or without."""
        grid = self.window.grid(grids.model_shape)
        own = OwnGrid(grids, self.labels, grid.axis, keep_probabilities=probabilities)
        strips, are_logits = grid.strips(logits), is_decided_by_logits(grids, self.labels)
        if not are_logits:
            strips = activated(strips, self.labels)
        own.fill(WayBack(grids, self.labels, grid.axis)(strips), are_logits=are_logits)
        return Prediction(own.label_map, self.labels, own.probabilities)

    def stream(
        self, volume: Prepared, grid: PatchGrid, grids: Grids, progress: Progress | None = None
    ) -> Iterator[Strip]:
        """The logits of a volume that is ready for the network, in the order of the patch grid."""
        if isinstance(self.network, torch.nn.Module):
            self.network.eval()
        in_file, shape = self.storage.sums_in_file, grids.model_shape
        frontier = Frontier(grid, self.window.blending, self.storage.sums, in_file=in_file, volume=shape)
        network = on_device(self.network, self.device, self.precision, self.num_channels)
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

    Where a GPU has no room for the sums of patches, or for what is made of them, all begins anew in main memory.
    """
    try:
        return _predict(members, array, affine, progress, probabilities=probabilities)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or all(member.storage.sums == CPU for member in members):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # now that the error holds none of it any more
    log.warning("memory ran out on %s: beginning anew with the sums of patches in main memory", members[0].storage.sums)
    members = [replace(member, storage=replace(member.storage, sums=CPU)) for member in members]
    return _predict(members, array, affine, progress, probabilities=probabilities)


def _predict(
    members: Sequence[Predictor],
    array: NDArray[np.generic] | Source,
    affine: NDArray[np.float64],
    progress: Progress | None,
    *,
    probabilities: bool,
) -> Prediction:
    labels, source = members[0].labels, as_source(array)
    ways = find_ways(members, source.shape[1:], affine)
    volumes = _prepared(members, ways, source)
    each_progress = chain([progress], repeat(None))
    strips = [
        member.stream(volume, way.patches, way.grids, watcher)
        for member, volume, way, watcher in zip(members, volumes, ways, each_progress, strict=False)
    ]
    grids, axis = ways[0].grids, ways[0].patches.axis
    are_logits = len(members) == 1 and is_decided_by_logits(grids, labels)
    if not are_logits:
        strips = [activated(each, labels) for each in strips]
    if meet_early(ways):
        found = WayBack(grids, labels, axis)(averaged(strips))
    else:
        rows = grids.turned_shape[ways[0].patches.axes[1]]
        back = (WayBack(way.grids, labels, axis)(each) for way, each in zip(ways, strips, strict=True))
        found = averaged([whole_planes(each, rows) for each in back])
    own = OwnGrid(
        grids,
        labels,
        axis,
        keep_probabilities=probabilities,
        held_bytes=members[0].held_bytes,
        measure=members[0].measure,
    )
    own.fill(found, are_logits=are_logits)
    return Prediction(own.label_map, labels, own.probabilities, own.uncertainty)


@dataclass(frozen=True)
class Way:
    """What a volume passes through on a predictor's way."""

    grids: Grids
    patches: PatchGrid

    def is_on_grid_of(self, other: Way) -> bool:
        """Whether both see the volume on the same grid, brought there by the same way."""
        one, another = self.grids, other.grids
        return (one.averaged_shape, one.resampled_shape, one.model_shape) == (
            another.averaged_shape,
            another.resampled_shape,
            another.model_shape,
        )


def find_ways(members: Sequence[Predictor], shape: tuple[int, ...], affine: NDArray[np.float64]) -> list[Way]:
    """One for each; planes of all follow one axis, that of the first."""
    grids = [find_grids(shape, affine, member.recipe) for member in members]
    axis = members[0].window.grid(grids[0].model_shape).axis
    return [Way(own, member.window.grid(own.model_shape, axis)) for member, own in zip(members, grids, strict=True)]


def meet_early(ways: Sequence[Way]) -> bool:
    """Whether all see the same patches: then they meet on the model's grid, strip by strip; else plane by plane."""
    return all(way.patches == ways[0].patches and way.is_on_grid_of(ways[0]) for way in ways)


def _prepared(members: Sequence[Predictor], ways: Sequence[Way], source: Source) -> list[Prepared]:
    """The image as each network sees it: a long one a window at a time, else one volume for those of one grid."""
    held: list[tuple[Way, torch.Tensor]] = []
    prepared: list[Prepared] = []
    for member, way in zip(members, ways, strict=True):
        planes = Planes(source, way.grids, member.recipe, way.patches.shape, way.patches.axis)
        if planes.num_bytes > member.held_bytes:
            prepared.append(Rolling(planes, way.patches.slab_spans))
            continue
        volume = next((volume for other, volume in held if way.is_on_grid_of(other)), None)
        if volume is None:
            volume = on_model_grid(source.read(2, 0, source.shape[3]), way.grids)
            held.append((way, volume))
        prepared.append(Held.of(volume, member.recipe, member.window.patch_size))
    return prepared
