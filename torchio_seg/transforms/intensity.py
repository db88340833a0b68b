"""Random changes of intensities: labels stay as they are. Each function is a step of `augmentation.intensity`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveInt

from torchio_seg.components import Steps

if TYPE_CHECKING:
    import torchio as tio

__all__ = ["bias_field", "blur", "gamma", "ghosting", "motion", "noise", "one_of", "scale_shift", "spike"]

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


def noise(*, probability: Probability = 0.15, std: Range = (0.0, 0.1)) -> tio.Transform:
    """Add Gaussian noise; its deviation is drawn from the range, in normalised intensity."""
    import torchio as tio

    return tio.RandomNoise(std=std, p=probability)


def blur(*, probability: Probability = 0.15, std_mm: Range = (0.5, 1.0)) -> tio.Transform:
    """Smooth with a Gaussian whose width is drawn from the range."""
    import torchio as tio

    return tio.RandomBlur(std=std_mm, p=probability)


def gamma(*, probability: Probability = 0.15, log_gamma: NonNegativeFloat = 0.3) -> tio.Transform:
    """Raise intensities to the power e^b, b uniform within plus or minus `log_gamma`."""
    import torchio as tio

    return tio.RandomGamma(log_gamma=log_gamma, p=probability)


def bias_field(
    *, probability: Probability = 0.15, coefficients: NonNegativeFloat = 0.3, order: Annotated[int, Field(ge=1)] = 3
) -> tio.Transform:
    """Multiply by a smooth field, the exponential of a random polynomial."""
    import torchio as tio

    return tio.RandomBiasField(coefficients=coefficients, order=order, p=probability)


def scale_shift(
    *, probability: Probability = 1.0, scale: NonNegativeFloat = 0.1, shift: NonNegativeFloat = 0.1
) -> tio.Transform:
    """Multiply each channel by 1 + a and add b, a and b uniform within plus or minus the given amounts."""
    from torchio_seg.transforms.random import RandomScaleShift

    return RandomScaleShift(scale=scale, shift=shift, p=probability)


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
