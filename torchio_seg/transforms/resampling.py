"""A patch from the box that its map needs: images and labels by one map, in one resampling.

Volumes are C I J K, batches B C I J K, on any device. Flips and quarter turns move voxels and interpolate none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import torch
from torch.nn import functional

from torchio_seg.transforms.maps import Box, Map, Shape
from torchio_seg.transforms.separable import along_axes, spline, spline_coefficients

_PLANES = 8
"""Of the patch, interpolated at a time."""
_MOST_ROWS = 1 << 13
"""Of the slices that those look at, in one image; a longer one has places that float32 cannot tell."""
_INACCURACY = 5e-4
"""Voxels, of a place in such an image."""
CUBIC_MARGIN = 8
"""Voxels from which on a voxel's influence on a cubic spline is below 1 / 10 000 of its own."""


@dataclass(frozen=True)
class Interpolation:
    """Between voxels. Labels `linear`: of each label's mask, the label with most of the voxel wins."""

    images: Literal["linear", "cubic"] = "linear"
    labels: Literal["nearest", "linear"] = "nearest"

    def source_box(self, where: Map) -> Box:
        """What must be read of the volume."""
        return where.source_box(CUBIC_MARGIN if self.images == "cubic" else 0)


LINEAR = Interpolation()


def move(
    images: torch.Tensor,
    labels: torch.Tensor,
    maps: Sequence[Map],
    *,
    start: Shape = (0, 0, 0),
    fill: Sequence[float] | None = None,
    interpolation: Interpolation = LINEAR,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Patches of images and labels B C I J K, a map each; the tensors' first voxel is at `start` in the patches.

    Outside of the tensors images are `fill`, a number for each channel (None: its minimum), and labels 0.
    """
    moved_images, moved_labels = [], []
    for image, label, where in zip(images, labels, maps, strict=True):
        view = View(where, interpolation, start, images.device)
        moved_images.append(view.of_image(image, fill))
        moved_labels.append(view.of_label(label))
    return torch.stack(moved_images), torch.stack(moved_labels)


class View:
    """What a map shows of the volumes that lie at one place; where each voxel comes from is found out once."""

    def __init__(self, where: Map, interpolation: Interpolation, start: Shape, device: torch.device) -> None:
        box = interpolation.source_box(where)
        self.where = where
        self.interpolation = interpolation
        self.positions = None if where.is_exact else where.positions(box.start, device)
        i, j, k = (wanted - given for wanted, given in zip(box.start, start, strict=True))
        self.box = Box((i, j, k), box.size)

    def of_image(self, volume: torch.Tensor, fill: Sequence[float] | None = None) -> torch.Tensor:
        """The image's patch; not a copy where voxels stay as they are."""
        source = cut(volume, self.box, fill)
        if self.positions is None:
            return _turned(source, self.where)
        sample = _cubic if self.interpolation.images == "cubic" else _linear
        patch = sample(source.float(), self.positions)
        return patch.to(source.dtype) if source.is_floating_point() else patch

    def of_label(self, volume: torch.Tensor) -> torch.Tensor:
        """The label map's patch, of the same type."""
        source = cut(volume, self.box, [0] * len(volume))
        if self.positions is None:
            return _turned(source, self.where)
        return (_vote if self.interpolation.labels == "linear" else _nearest)(source, self.positions)


def cut(volume: torch.Tensor, box: Box, fill: Sequence[float] | None) -> torch.Tensor:
    """The box of the volume; a view of it where the volume has all of the box."""
    source, target = [slice(None)], [slice(None)]
    for first, wanted, length in zip(box.start, box.size, volume.shape[1:], strict=True):
        low, high = min(max(first, 0), length), min(max(first + wanted, 0), length)
        source.append(slice(low, high))
        target.append(slice(low - first, high - first) if high > low else slice(0, 0))
    piece = volume[tuple(source)]
    if tuple(piece.shape[1:]) == box.size:
        return piece
    outside = volume.flatten(1).amin(dim=1) if fill is None else torch.tensor(fill).to(volume)
    result = outside.view(-1, 1, 1, 1).expand(-1, *box.size).contiguous()
    result[tuple(target)] = piece
    return result


def _turned(source: torch.Tensor, where: Map) -> torch.Tensor:
    """The box with its axes exchanged and mirrored as a map of zeros and ones says."""
    axes = where.matrix.abs().argmax(dim=0).tolist()  # of the source, for each axis of the patch
    mirrored = [axis + 1 for axis, old in enumerate(axes) if where.matrix[old, axis] < 0]
    if axes != [0, 1, 2]:
        source = source.permute(0, *(axis + 1 for axis in axes))
    return source.flip(mirrored) if mirrored else source


def _linear(source: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Linear interpolation of C I J K at positions 3 I J K, constant beyond the first and last voxels.

    torch's 2-D sampling is vectorised on a CPU, its 3-D sampling is not: some planes of the patch at a time come from
    two 2-D samplings of the few slices that they look at, stacked to one image. Places are exact to 5e-4 of a voxel.
    """
    if source.device.type != "cpu":
        return _sample(source, list(positions))
    result = source.new_empty(len(source), *positions.shape[1:])
    for first in range(0, positions.shape[1], _PLANES):
        planes = slice(first, first + _PLANES)
        result[:, planes] = _between_slices(source, positions[:, planes])
    return result


def _between_slices(source: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """The same for a few planes: linear between a place on the slice below and the same place on the one above."""
    _, num_slices, num_rows, _ = source.shape
    i, j, k = positions
    margin = min(_INACCURACY, (num_rows - 1) / 2)  # so that no place slips over to the next slice's first row
    i, j = i.clamp(0, num_slices - 1), j.clamp(margin, num_rows - 1 - margin)
    below = i.floor().clamp_(max=max(num_slices - 2, 0))
    low, high = int(below.amin()), int(below.amax()) + 2
    if (high - low) * num_rows > _MOST_ROWS:
        return _sample(source, [i, j, k])
    image = source[:, low:high].flatten(1, 2)
    row = (below - low).mul_(num_rows).add_(j).flatten(1)
    share = (i - below).flatten(1)
    lower, upper = (_sample(image, [row + step, k.flatten(1)]) for step in (0, num_rows))
    return torch.lerp(lower, upper, share).view(-1, *positions.shape[1:])


def _sample(source: torch.Tensor, positions: Sequence[torch.Tensor]) -> torch.Tensor:
    """torch's linear interpolation of C and two or three axes, at places given for each axis."""
    grid = torch.empty(*positions[0].shape, len(positions), dtype=source.dtype, device=source.device)
    for axis, (place, n) in enumerate(zip(positions, source.shape[1:], strict=True)):
        scaled = grid[..., -1 - axis]  # counted from the last axis, and -1 to 1 over the whole of it
        torch.mul(place, 2 / n, out=scaled).add_(1 / n - 1)
    return functional.grid_sample(source[None], grid[None], padding_mode="border", align_corners=False)[0]


def _cubic(source: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """The cubic spline through the voxels: its 64 weights as those of eight linear interpolations."""
    matrices = [spline_coefficients(n).to(source) for n in source.shape[1:]]
    coefficients = along_axes(source, matrices)
    below = positions.floor()
    fraction = positions - below
    weights = [spline(fraction + 1), spline(fraction), spline(1 - fraction), spline(2 - fraction)]
    shares = [weights[0] + weights[1], weights[2] + weights[3]]
    places = [below - 1 + weights[1] / shares[0], below + 1 + weights[3] / shares[1]]
    result = source.new_zeros(len(source), *positions.shape[1:])
    for sides in product((0, 1), repeat=3):
        place = torch.stack([places[side][axis] for axis, side in enumerate(sides)])
        i, j, k = (shares[side][axis] for axis, side in enumerate(sides))
        result.addcmul_(_linear(coefficients, place), i * j * k)
    return result


def _nearest(source: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Each voxel from the one that its position lies in; places are counted in floats, several times as fast."""
    _, *shape = source.shape
    exact = torch.float32 if source[0].numel() < 1 << 24 else torch.float64
    i, j, k = (axis.round().clamp_(0, n - 1).to(exact) for axis, n in zip(positions, shape, strict=True))
    index = i.mul_(shape[1]).add_(j).mul_(shape[2]).add_(k).flatten().to(torch.int64)
    patch = torch.stack([channel.index_select(0, index) for channel in source.flatten(1)])
    return patch.view(-1, *positions.shape[1:])


def _vote(source: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Each voxel from the label of which linear interpolation finds most there; of equals the lowest."""
    values = source.unique()  # sorted
    winner: torch.Tensor = values[0].expand(len(source), *positions.shape[1:]).contiguous()
    if len(values) == 1:
        return winner
    most = _linear((source == values[0]).to(positions.dtype), positions)
    for value in values[1:]:
        share = _linear((source == value).to(positions.dtype), positions)
        winner = torch.where(share > most, value, winner)
        most = torch.maximum(share, most)
    return winner
