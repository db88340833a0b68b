"""What can be drawn in intensity, on tensors B C I J K of any device; each change works in place on its tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

from torchio_seg.transforms.maps import Spacing
from torchio_seg.transforms.moves import coarse_axes, happens, uniform
from torchio_seg.transforms.separable import along_axes, smoothing

Pair = tuple[float, float]
SMALLEST_STD = 0.1
"""Voxels; a narrower Gaussian leaves a voxel all of its weight, in float32."""


class Change(Protocol):
    """One random change of intensities."""

    @property
    def probability(self) -> float:
        """How likely it is."""
        ...

    @property
    def per_channel(self) -> bool:
        """Whether each channel draws for itself, instead of all of them together."""
        ...

    def apply(self, image: torch.Tensor, spacing: Spacing, generator: torch.Generator) -> None:
        """Change the channels of C I J K alike, in place."""
        ...


def change(
    images: torch.Tensor, changes: Sequence[Change], spacings: Sequence[Spacing], generator: torch.Generator
) -> torch.Tensor:
    """Images B C I J K changed, one after the other, each of its own voxel size; the same tensor if nothing is drawn.

    What is to be done is drawn for all samples before anything is done, so that nothing is copied in vain.
    """
    drawn = [
        (number, channels, each)
        for number, image in enumerate(images)
        for each in changes
        for channels in (range(len(image)) if each.per_channel else [slice(None)])
        if happens(each.probability, generator)
    ]
    if not drawn:
        return images
    changed = images.clone(memory_format=torch.contiguous_format)
    for number, channels, each in drawn:
        image = changed[number]
        part = image[channels] if isinstance(channels, slice) else image[channels : channels + 1]
        each.apply(part, spacings[number], generator)
    return changed


@dataclass(frozen=True)
class Noise:
    """Add Gaussian noise of a deviation drawn from the range."""

    probability: float
    per_channel: bool
    std: Pair

    def apply(self, image: torch.Tensor, spacing: Spacing, generator: torch.Generator) -> None:  # noqa: ARG002
        """Each voxel by itself; drawn on the image's device."""
        std = uniform(*self.std, generator).item()
        if image.device != generator.device:
            seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
            generator = torch.Generator(image.device).manual_seed(seed)
        for channel in image:  # one at a time: less memory, and faster
            noise = torch.randn(channel.shape, generator=generator, device=image.device, dtype=image.dtype)
            channel.add_(noise, alpha=std)


@dataclass(frozen=True)
class Blur:
    """Smooth with a Gaussian of a width drawn from the range, the same in all directions of space."""

    probability: float
    per_channel: bool
    std_mm: Pair

    def apply(self, image: torch.Tensor, spacing: Spacing, generator: torch.Generator) -> None:
        """By one matrix an axis."""
        std = uniform(*self.std_mm, generator).item()
        widths = [std / edge for edge in spacing]
        matrices = [
            smoothing(n, width).to(image) if width > SMALLEST_STD else None
            for n, width in zip(image.shape[1:], widths, strict=True)
        ]
        image.copy_(along_axes(image, matrices))


@dataclass(frozen=True)
class LowResolution:
    """Show the image as if it had only a share of its voxels along each axis, drawn from the range, as in nnU-Net."""

    probability: float
    per_channel: bool
    zoom: Pair

    def apply(self, image: torch.Tensor, spacing: Spacing, generator: torch.Generator) -> None:
        """Nearest voxels, then linear in between; along long voxels everything stays."""
        zoom = uniform(*self.zoom, generator).item()
        keep = coarse_axes(spacing)
        size = [n if axis in keep else max(1, round(n * zoom)) for axis, n in enumerate(image.shape[1:])]
        small = functional.interpolate(image[None], size=size, mode="nearest-exact")
        image.copy_(functional.interpolate(small, size=image.shape[1:], mode="trilinear")[0])


@dataclass(frozen=True)
class Gamma:
    """Raise each channel, its own span taken for 0 to 1, to the power e^b, b within plus or minus `log_gamma`."""

    probability: float
    per_channel: bool
    log_gamma: float
    invert_probability: float
    retain_stats: bool

    def apply(self, image: torch.Tensor, spacing: Spacing, generator: torch.Generator) -> None:  # noqa: ARG002
        """From the dark end or, inverted, from the bright one; then mean and deviation as they were, if so set."""
        power = uniform(-self.log_gamma, self.log_gamma, generator).exp().item()
        inverted = happens(self.invert_probability, generator)
        before = _statistics(image) if self.retain_stats else None
        low, high = image.amin(dim=(1, 2, 3), keepdim=True), image.amax(dim=(1, 2, 3), keepdim=True)
        origin, span = (high, low - high) if inverted else (low, high - low)
        span = torch.where(high > low, span, 1.0)
        image.sub_(origin).div_(span).log_().mul_(power).exp_().mul_(span).add_(origin)  # half the time of pow
        if before is not None:
            (mean, std), (new_mean, new_std) = before, _statistics(image)
            image.sub_(new_mean).mul_(std / new_std.clamp(min=1e-8)).add_(mean)


@dataclass(frozen=True)
class BiasField:
    """Multiply by the exponential of a random polynomial over the patch, that of TorchIO's RandomBiasField."""

    probability: float
    per_channel: bool
    coefficients: float
    order: int

    def apply(self, image: torch.Tensor, spacing: Spacing, generator: torch.Generator) -> None:  # noqa: ARG002
        """One field for all the channels given."""
        coefficients = uniform(-self.coefficients, self.coefficients, generator, 1, *[self.order + 1] * 3)
        degree = torch.arange(self.order + 1)
        total = degree[:, None, None] + degree[:, None] + degree
        powers = [torch.linspace(-1, 1, n)[:, None] ** degree for n in image.shape[1:]]
        field = along_axes(
            torch.where(total <= self.order, coefficients, 0).to(image), [matrix.to(image) for matrix in powers]
        )
        image.mul_(field.exp_())


@dataclass(frozen=True)
class Brightness:
    """Multiply by a number drawn from the range."""

    probability: float
    per_channel: bool
    factor: Pair

    def apply(self, image: torch.Tensor, spacing: Spacing, generator: torch.Generator) -> None:  # noqa: ARG002
        """All channels by the same."""
        image.mul_(uniform(*self.factor, generator).item())


@dataclass(frozen=True)
class Contrast:
    """Stretch each channel about its mean by a number drawn from the range, held between its old extremes."""

    probability: float
    per_channel: bool
    factor: Pair

    def apply(self, image: torch.Tensor, spacing: Spacing, generator: torch.Generator) -> None:  # noqa: ARG002
        """All channels by the same."""
        factor = uniform(*self.factor, generator).item()
        low, high = image.amin(dim=(1, 2, 3), keepdim=True), image.amax(dim=(1, 2, 3), keepdim=True)
        mean = image.mean(dim=(1, 2, 3), keepdim=True)
        image.mul_(factor).add_(mean * (1 - factor)).clamp_(low, high)


@dataclass(frozen=True)
class ScaleShift:
    """Multiply each channel by 1 + a and add b, drawn for each within plus or minus the given amounts."""

    probability: float
    scale: float
    shift: float
    per_channel: bool = False
    """Whether a channel is changed is drawn for all of them; by how much, always for each."""

    def apply(self, image: torch.Tensor, spacing: Spacing, generator: torch.Generator) -> None:  # noqa: ARG002
        """A slope and an offset a channel."""
        slopes, offsets = uniform(-1, 1, generator, 2, len(image), 1, 1, 1).to(image)
        image.mul_(1 + self.scale * slopes).add_(self.shift * offsets)


def _statistics(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each channel, several times faster than torch's `std_mean` on a CPU."""
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    spread = torch.linalg.vector_norm(image - mean, dim=(1, 2, 3), keepdim=True)
    return mean, spread / max(1, image[0].numel()) ** 0.5
