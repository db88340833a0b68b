"""Random changes of intensities: labels stay as they are. Each function is a step of `augmentation.intensity`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, NonNegativeFloat

if TYPE_CHECKING:
    import torchio as tio

__all__ = ["bias_field", "blur", "gamma", "noise", "scale_shift"]

Probability = Annotated[float, Field(ge=0, le=1)]
Range = tuple[NonNegativeFloat, NonNegativeFloat]


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
