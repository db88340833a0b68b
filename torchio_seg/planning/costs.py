"""What a step costs as far as arithmetic tells: one candidate that was measured then tells about the others."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torchio_seg.levels import Levels
    from torchio_seg.planning.spacing import Size

PARAMETER_BYTES = 16
"""Of a weight, its gradient, and the two averages of Adam in fp32."""


@dataclass(frozen=True)
class Cost:
    """Of one step on a batch."""

    products: int
    """Multiplications of the forward pass."""
    activations: int
    """Numbers that convolutions leave for the backward pass."""
    parameters: int
    """Weights of convolutions."""


def cost_of(levels: Levels, patch_size: Size, batch_size: int, *, in_channels: int, out_channels: int) -> Cost:
    """Two convolutions on each level down; an enlargement, two convolutions and logits on each level up."""
    tally = _Tally()
    voxels = [prod(patch_size)]
    for strides in levels.strides[1:]:
        voxels.append(voxels[-1] // prod(strides))
    before = in_channels
    for channels, kernel, places in zip(levels.channels, levels.kernel_sizes, voxels, strict=True):
        tally.convolve(before, channels, kernel, places)
        tally.convolve(channels, channels, kernel, places)
        before = channels
    for level in range(len(voxels) - 2, -1, -1):
        channels, kernel, places = levels.channels[level], levels.kernel_sizes[level], voxels[level]
        tally.enlarge(levels.channels[level + 1], channels, levels.strides[level + 1], places)
        tally.convolve(2 * channels, channels, kernel, places)
        tally.convolve(channels, channels, kernel, places)
        tally.convolve(channels, out_channels, (1, 1, 1), places)
    return Cost(batch_size * tally.products, batch_size * tally.activations, tally.parameters)


@dataclass
class _Tally:
    """Sums over the convolutions of one sample."""

    products: int = 0
    activations: int = 0
    parameters: int = 0

    def convolve(self, before: int, after: int, kernel: Size, places: int) -> None:
        """A convolution whose output has so many voxels."""
        self.products += before * after * prod(kernel) * places
        self.activations += after * places
        self.parameters += before * after * prod(kernel)

    def enlarge(self, before: int, after: int, strides: Size, places: int) -> None:
        """A transposed convolution, which reaches each voxel of its output once."""
        self.products += before * after * places
        self.activations += after * places
        self.parameters += before * after * prod(strides)
