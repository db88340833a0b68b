"""Random changes in space: images and labels move alike. Each function is a step of `augmentation.spatial`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, NonNegativeFloat

from torchio_seg.components import Steps

if TYPE_CHECKING:
    import torchio as tio

__all__ = ["affine", "elastic", "flip", "one_of", "rotate90"]

Probability = Annotated[float, Field(ge=0, le=1)]
Axis = Annotated[int, Field(ge=0, le=2)]


def flip(*, probability: Probability = 0.5, axes: tuple[Axis, ...] = (0, 1, 2)) -> tio.Transform:
    """Mirror along each of the axes (0 left-right, 1 back-front, 2 down-up), each with this probability."""
    import torchio as tio

    return tio.RandomFlip(axes=axes, flip_probability=probability)


def affine(
    *,
    probability: Probability = 0.2,
    degrees: NonNegativeFloat = 15.0,
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.15,
    translation_mm: NonNegativeFloat = 0.0,
) -> tio.Transform:
    """Rotate about each axis, scale and shift, each uniformly within plus or minus the given amount."""
    import torchio as tio

    return tio.RandomAffine(scales=scale, degrees=degrees, translation=translation_mm, p=probability)


def elastic(
    *,
    probability: Probability = 0.1,
    control_points: Annotated[int, Field(ge=5)] = 7,
    displacement: Annotated[float, Field(gt=0, lt=0.5)] = 0.25,
) -> tio.Transform:
    """Deform by random displacements of a coarse grid, each within a share of the grid's cell."""
    from torchio_seg.transforms.random import RandomElastic

    return RandomElastic(control_points=control_points, displacement=displacement, p=probability)


def rotate90(
    *, probability: Probability = 0.5, axes: Annotated[tuple[Axis, ...], Field(min_length=1)] = (2,)
) -> tio.Transform:
    """Turn by one to three quarters about one of the axes (2: in the axial plane); its plane must be square."""
    from torchio_seg.transforms.random import RandomRotate90

    return RandomRotate90(axes=axes, p=probability)


def one_of(
    *, probability: Probability = 1.0, steps: Steps, weights: tuple[NonNegativeFloat, ...] | None = None
) -> tio.Transform:
    """Apply exactly one of the steps, each as likely as its weight; null: all alike."""
    from torchio_seg.transforms import random

    return random.one_of("transforms.spatial", steps, weights, probability)
