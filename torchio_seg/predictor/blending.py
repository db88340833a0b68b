"""How much each voxel of a patch counts where patches overlap.

crop      each patch writes its middle, half of the overlap away from its neighbours: bit-equal to what came in
average   the mean of the patches that cover a voxel
hann      a mean weighted by a Hann window, which falls to nothing towards the patch's border
gaussian  a mean weighted by a Gaussian, an eighth of the patch wide
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

Blending = Literal["crop", "average", "hann", "gaussian"]


def window(patch_size: Sequence[int], blending: Blending) -> torch.Tensor:
    """The weight of each voxel of a patch, I J K, positive everywhere: the product of the axes' profiles."""
    i, j, k = (profile(size, blending) for size in patch_size)
    return i[:, None, None] * j[:, None] * k


def profile(size: int, blending: Blending) -> torch.Tensor:
    """The weights along one axis of a patch."""
    if blending == "hann":
        return torch.hann_window(size + 2, periodic=False)[1:-1]
    if blending == "gaussian":
        distance = torch.arange(size) - (size - 1) / 2
        return torch.exp(-0.5 * (distance / (size / 8)) ** 2).clamp(min=math.exp(-12))
    return torch.ones(size)
