"""From a case's files to what is kept of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch

from torchio_seg.errors import DataError
from torchio_seg.store.voxels import Record, Voxels
from torchio_seg.subjects import read_case_label, read_channels
from torchio_seg.transforms.normalization import measure
from torchio_seg.transforms.preprocessing import (
    Grids,
    centred,
    find_grids,
    labels_to_model_grid,
    resample,
    to_model_grid,
)
from torchio_seg.transforms.recipe import Recipe, Shape
from torchio_seg.volumes.alignment import difference, on_one_grid
from torchio_seg.volumes.nifti import read, read_geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from torchio_seg.records import Case

SAMPLE_SIZE = 10_000
"""Foreground voxels whose intensities are kept apart."""
_PAGE_BYTES = 1 << 14
"""Of what lies beside the arrays, and of their headers."""
_LARGEST_EXPONENT = 15
"""Of 2, below which the values of a channel lie after scaling; float16 ends at 65504."""


@dataclass(frozen=True)
class Layout:
    """All that decides what is kept of a case, besides its files."""

    num_channels: int
    values: tuple[int, ...]
    """What a label map may hold."""
    recipe: Recipe
    """Of which only what changes the grid counts."""
    dtype: Literal["float16", "float32"] = "float16"
    """Of images."""
    ignore: int | None = None
    """The label value that is not foreground."""
    map: str | None = None
    """Where a case's sampling map is, `{case}` standing for its id; None: there is none."""
    dataset: str = ""
    """Whose cases these are, for whoever lists the store."""

    @property
    def label_type(self) -> np.dtype[Any]:
        """In which label values are kept."""
        return np.min_scalar_type(max(self.values, default=0))

    def map_of(self, case: Case) -> Path | None:
        """The file of the case's sampling map."""
        return None if self.map is None else Path(self.map.replace("{case}", case.id))

    def reckon(self, case: Case) -> Needs:
        """What a case will need at most, from its header alone."""
        geometry = read_geometry(case.images[0])
        grids = find_grids(geometry.shape, geometry.affine, self.recipe)
        source = prod(geometry.shape) * self.num_channels
        voxels = prod(grids.model_shape)
        largest = max(voxels, prod(grids.resampled_shape))
        image = voxels * self.num_channels * np.dtype(self.dtype).itemsize
        labels = voxels * self.label_type.itemsize
        weights = 4 * voxels * (self.map is not None)
        source_bytes = 12 if self.recipe.antialias else 8
        memory = source_bytes * source + 8 * largest * self.num_channels + 16 * largest + 2 * weights
        disk = image + labels + weights + 4 * SAMPLE_SIZE * self.num_channels + _PAGE_BYTES
        return Needs(voxels, memory, disk)


@dataclass(frozen=True)
class Needs:
    """What laying out a case takes."""

    voxels: int
    """Of the model's grid, in one channel."""
    memory: int
    """Bytes, while it is made."""
    disk: int
    """Bytes, without the index of its foreground."""


def lay_out(case: Case, layout: Layout) -> Voxels:
    """A case read, turned, resampled and cut to the box that is not empty."""
    image, grids = _read_image(case, layout)
    labels = labels_to_model_grid(read_case_label(case, layout.values).array, grids)
    return of_tensors(image, labels, grids.affine, case.id, layout=layout, weights=_read_map(case, layout, grids))


def of_tensors(
    image: torch.Tensor,
    labels: torch.Tensor,
    affine: NDArray[np.float64],
    case: str,
    *,
    layout: Layout,
    weights: NDArray[np.float32] | None = None,
) -> Voxels:
    """What is kept of an image C I J K and labels 1 I J K on the model's grid."""
    measures = measure(image)
    label = labels.numpy()
    chosen = np.where(label == layout.ignore, 0, label)[0] != 0
    box = _box(image.numpy(), chosen if weights is None else chosen | (weights[0] > 0))
    is_half = layout.dtype == "float16"
    scales = tuple(_scale(max(-each.lowest, each.highest)) if is_half else 1.0 for each in measures)
    foreground, counts = _index(label[0, *box], layout.ignore)
    map_kept = None if weights is None else np.ascontiguousarray(weights[0, *box])
    i, j, k = (piece.start for piece in box)
    record = Record(
        case=case,
        shape=cast("Shape", tuple(image.shape[1:])),
        affine=tuple((row[0], row[1], row[2], row[3]) for row in affine.tolist()),
        start=(i, j, k),
        scales=scales,
        measures=measures,
        counts=counts,
        slice_weights=() if map_kept is None else tuple(map_kept.sum(axis=(1, 2), dtype=np.float64).tolist()),
    )
    cut = image[:, *box]
    kept = _stored(cut, scales, layout.dtype)
    return Voxels(
        record, kept, np.ascontiguousarray(label[:, *box]), foreground, _sample(cut.numpy(), foreground), map_kept
    )


def _read_image(case: Case, layout: Layout) -> tuple[torch.Tensor, Grids]:
    """The channels on the model's grid; what was read of the files is not kept."""
    stored = read_channels(case.images, layout.num_channels, nonfinite=layout.recipe.nonfinite)
    return to_model_grid(stored.array, stored.affine, layout.recipe)


def _box(image: NDArray[np.float32], present: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """The smallest box outside of which all channels are 0 and nothing else is there; everything where all is empty."""
    for channel in image:
        present |= channel != 0
    sides = []
    for axis in range(3):
        filled = np.flatnonzero(present.any(axis=tuple(other for other in range(3) if other != axis)))
        sides.append(slice(int(filled[0]), int(filled[-1]) + 1) if filled.size else slice(0, present.shape[axis]))
    return sides[0], sides[1], sides[2]


def _scale(largest: float) -> float:
    """A power of two by which values are divided to use the range of float16: nothing overflows or loses digits."""
    return float(2.0 ** (frexp(largest)[1] - _LARGEST_EXPONENT)) if largest > 0 else 1.0


def _stored(image: torch.Tensor, scales: tuple[float, ...], dtype: str) -> NDArray[np.floating[Any]]:
    kept = np.empty(tuple(image.shape), dtype)
    for source, target, scale in zip(image, kept, scales, strict=True):
        target[...] = source.numpy() / np.float32(scale)
    return kept


def _index(label: NDArray[Any], ignore: int | None) -> tuple[NDArray[np.unsignedinteger[Any]], dict[int, int]]:
    """Positions of foreground voxels class by class, and the number of voxels of each value, background included."""
    flat = label.ravel()
    positions = np.flatnonzero(flat if ignore is None else np.where(flat == ignore, 0, flat))
    values = flat[positions]
    numbers = np.unique(values, return_counts=True)
    counts = {0: int(np.count_nonzero(flat == 0))} | dict(zip(*(each.tolist() for each in numbers), strict=True))
    kind = np.uint32 if flat.size < 2**32 else np.uint64
    return positions[np.argsort(values, kind="stable")].astype(kind), counts


def _sample(image: NDArray[np.float32], foreground: NDArray[Any]) -> NDArray[np.float32]:
    chosen = np.random.default_rng(0).choice(foreground, min(len(foreground), SAMPLE_SIZE), replace=False)
    indices = np.unravel_index(np.sort(chosen).astype(np.int64), image.shape[1:])
    return np.stack([channel[indices] for channel in image]).astype(np.float32)


def _read_map(case: Case, layout: Layout, grids: Grids) -> NDArray[np.float32] | None:
    """The case's sampling map on the model's grid, 0 where that reaches beyond the map."""
    path = layout.map_of(case)
    if path is None:
        return None
    volume, image = read(path), read_geometry(case.images[0])
    if not on_one_grid(volume, image):
        raise DataError(
            f"case {case.id}: the sampling map {path} does not lie on the grid of {case.images[0]}: "
            f"{difference(volume, image)}; resample it to the image"
        )
    turned = torch.from_numpy(np.ascontiguousarray(grids.orientation.apply(volume.array), dtype=np.float32))
    weights = centred(resample(turned, grids.resampled_shape), grids.model_shape, [0.0] * len(turned))
    if len(weights) != 1 or weights.min() < 0 or not weights.any():
        raise DataError(
            f"case {case.id}: the sampling map {path} has values from {weights.min():g} to {weights.max():g} in "
            f"{len(weights)} channel(s) on the model's grid; it needs one channel of numbers from 0 on, some above 0"
        )
    return weights.numpy()
