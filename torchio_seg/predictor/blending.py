"""Putting a volume together from overlapping patches, by the contract of `tio.GridAggregator`, in float32.

crop      each patch writes its middle, half of the overlap away from its neighbours: bit-equal to what came in
average   the mean of the patches that cover a voxel
hann      a mean weighted by a Hann window, which falls to nothing towards the patch's border
gaussian  a mean weighted by a Gaussian, an eighth of the patch wide
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch

from torchio_seg.errors import TorchioSegError

if TYPE_CHECKING:
    from collections.abc import Sequence

Blending = Literal["crop", "average", "hann", "gaussian"]


def window(patch_size: Sequence[int], blending: Blending) -> torch.Tensor:
    """The weight of each voxel of a patch, I J K, positive everywhere."""
    weights = torch.ones(tuple(patch_size))
    for axis, size in enumerate(patch_size):
        shape = [1, 1, 1]
        shape[axis] = size
        weights = weights * _profile(size, blending).view(shape)
    return weights


class Aggregator:
    """Collects patches of a volume of which every voxel must be covered."""

    def __init__(
        self, shape: Sequence[int], patch_size: Sequence[int], overlap: Sequence[int], blending: Blending
    ) -> None:
        self.shape = tuple(shape)
        self.overlap = tuple(overlap)
        self.blending = blending
        self.window = window(patch_size, blending)
        self.weights = torch.zeros(self.shape)
        self.sums: torch.Tensor | None = None

    def add_batch(self, batch: torch.Tensor, locations: torch.Tensor) -> None:
        """Patches B C I J K and their places B 6, first voxel and the one after the last."""
        patches = batch.detach().float().cpu()
        if self.sums is None:
            self.sums = torch.zeros(patches.shape[1], *self.shape)
        for patch, location in zip(patches, locations.tolist(), strict=True):
            if self.blending == "crop":
                self._write(patch, location)
            else:
                place = tuple(slice(start, end) for start, end in zip(location[:3], location[3:], strict=True))
                self.sums[(slice(None), *place)].addcmul_(patch, self.window)
                self.weights[place] += self.window

    def get_output_tensor(self) -> torch.Tensor:
        """The volume C I J K; a voxel that no patch covered, or that is not finite, is an error, never 0."""
        uncovered = int((self.weights == 0).sum())
        if self.sums is None or uncovered:
            raise TorchioSegError(f"{uncovered} of {self.weights.numel()} voxels were covered by no patch")
        output = self.sums if self.blending == "crop" else self.sums / self.weights
        if not bool(output.isfinite().all()):
            raise TorchioSegError("the network's output is not finite; predict with --precision fp32, or train anew")
        return output

    def _write(self, patch: torch.Tensor, location: Sequence[int]) -> None:
        """Overwrite all but half of the overlap on the sides that do not touch the volume's border."""
        starts, ends = location[:3], location[3:]
        half = [overlap // 2 for overlap in self.overlap]
        first = [start + h if start > 0 else start for start, h in zip(starts, half, strict=True)]
        last = [end - h if end < n else end for end, h, n in zip(ends, half, self.shape, strict=True)]
        place = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        within = tuple(slice(a - start, b - start) for a, b, start in zip(first, last, starts, strict=True))
        if self.sums is not None:
            self.sums[(slice(None), *place)] = patch[(slice(None), *within)]
        self.weights[place] = 1


def _profile(size: int, blending: Blending) -> torch.Tensor:
    if blending == "hann":
        return torch.hann_window(size + 2, periodic=False)[1:-1]
    if blending == "gaussian":
        distance = torch.arange(size) - (size - 1) / 2
        return torch.exp(-0.5 * (distance / (size / 8)) ** 2).clamp(min=math.exp(-12))
    return torch.ones(size)
