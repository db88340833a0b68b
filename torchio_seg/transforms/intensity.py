"""Random changes of intensities: labels stay as they are. Each function is a step of `augmentation.intensity`.

Each draws once for all channels of a patch; with `per_channel` each channel draws for itself, whether and how much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveInt

from torchio_seg.components import Steps

if TYPE_CHECKING:
    import torchio as tio

__all__ = [
    "bias_field",
    "blur",
    "brightness",
    "contrast",
    "gamma",
    "ghosting",
    "low_resolution",
    "motion",
    "noise",
    "one_of",
    "scale_shift",
    "spike",
]

Number = TypeVar("Number", int, float)


def _ascending(pair: tuple[Number, Number]) -> tuple[Number, Number]:
    if pair[0] > pair[1]:
        raise ValueError("give the lower number first")
    return pair


Probability = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[tuple[NonNegativeFloat, NonNegativeFloat], AfterValidator(_ascending)]
Shares = Annotated[tuple[Probability, Probability], AfterValidator(_ascending)]
Counts = Annotated[tuple[PositiveInt, PositiveInt], AfterValidator(_ascending)]
Axis = Annotated[int, Field(ge=0, le=2)]


def noise(*, probability: Probability = 0.15, per_channel: bool = False, std: Range = (0.0, 0.1)) -> tio.Transform:
    """Add Gaussian noise; its deviation is drawn from the range, in normalised intensity."""
    from torchio_seg.transforms import changes, random

    return random.RandomChange([changes.Noise(probability, per_channel, std)])


def blur(*, probability: Probability = 0.15, per_channel: bool = False, std_mm: Range = (0.5, 1.0)) -> tio.Transform:
    """Smooth with a Gaussian whose width is drawn from the range."""
    from torchio_seg.transforms import changes, random

    return random.RandomChange([changes.Blur(probability, per_channel, std_mm)])


def gamma(
    *,
    probability: Probability = 0.15,
    per_channel: bool = False,
    log_gamma: NonNegativeFloat = 0.3,
    invert_probability: Probability = 0.0,
    retain_stats: bool = False,
) -> tio.Transform:
    """Raise each channel, its span taken for 0 to 1, to the power e^b, b uniform within plus or minus `log_gamma`.

    Inverted, it works from the bright end; with `retain_stats` mean and deviation are brought back to what they were.
    """
    from torchio_seg.transforms import changes, random

    return random.RandomChange([changes.Gamma(probability, per_channel, log_gamma, invert_probability, retain_stats)])


def bias_field(
    *,
    probability: Probability = 0.15,
    per_channel: bool = False,
    coefficients: NonNegativeFloat = 0.3,
    order: Annotated[int, Field(ge=1)] = 3,
) -> tio.Transform:
    """Multiply by a smooth field, the exponential of a random polynomial."""
    from torchio_seg.transforms import changes, random

    return random.RandomChange([changes.BiasField(probability, per_channel, coefficients, order)])


def brightness(
    *, probability: Probability = 0.15, per_channel: bool = False, factor: Range = (0.75, 1.25)
) -> tio.Transform:
    """Multiply by a number drawn from the range."""
    from torchio_seg.transforms import changes, random

    return random.RandomChange([changes.Brightness(probability, per_channel, factor)])


def contrast(
    *, probability: Probability = 0.15, per_channel: bool = False, factor: Range = (0.75, 1.25)
) -> tio.Transform:
    """Stretch about the mean by a number drawn from the range; what leaves the channel's old range is clipped."""
    from torchio_seg.transforms import changes, random

    return random.RandomChange([changes.Contrast(probability, per_channel, factor)])


def low_resolution(
    *, probability: Probability = 0.15, per_channel: bool = False, zoom: Shares = (0.5, 1.0)
) -> tio.Transform:
    """Keep a share of the voxels along each axis, drawn from the range, and interpolate the others.

    An axis along which voxels are over 3 times longer than along another keeps them all.
    """
    from torchio_seg.transforms import changes, random

    return random.RandomChange([changes.LowResolution(probability, per_channel, zoom)])


def scale_shift(
    *, probability: Probability = 1.0, scale: NonNegativeFloat = 0.1, shift: NonNegativeFloat = 0.1
) -> tio.Transform:
    """Multiply each channel by 1 + a and add b, a and b uniform within plus or minus the given amounts."""
    from torchio_seg.transforms import changes, random

    return random.RandomChange([changes.ScaleShift(probability, scale, shift)])


def motion(
    *,
    probability: Probability = 0.15,
    degrees: NonNegativeFloat = 10.0,
    translation_mm: NonNegativeFloat = 10.0,
    num_movements: Annotated[int, Field(ge=1, le=10)] = 2,
) -> tio.Transform:
    """Mix spectra of the moved head, as when a patient moves during an MRI scan, within these amounts."""
    import torchio as tio

    return tio.RandomMotion(degrees=degrees, translation=translation_mm, num_transforms=num_movements, p=probability)


def ghosting(
    *,
    probability: Probability = 0.15,
    num_ghosts: Counts = (4, 10),
    axes: Annotated[tuple[Axis, ...], Field(min_length=1)] = (0, 1, 2),
    intensity: Shares = (0.5, 1.0),
) -> tio.Transform:
    """Repeat the image faintly along one of the axes, as breathing and pulse do in MRI; 1 is the strongest."""
    import torchio as tio

    return tio.RandomGhosting(num_ghosts=num_ghosts, axes=axes, intensity=intensity, p=probability)


def spike(
    *, probability: Probability = 0.15, num_spikes: Counts = (1, 1), intensity: Range = (0.5, 1.5)
) -> tio.Transform:
    """Lay stripes over the image, as spikes in MRI's raw data do; intensity is of the spectrum's maximum."""
    import torchio as tio

    return tio.RandomSpike(num_spikes=num_spikes, intensity=intensity, p=probability)


def one_of(
    *, probability: Probability = 1.0, steps: Steps, weights: tuple[NonNegativeFloat, ...] | None = None
) -> tio.Transform:
    """Apply exactly one of the steps, each as likely as its weight; null: all alike."""
    from torchio_seg.transforms import random

    return random.one_of("transforms.intensity", steps, weights, probability)
