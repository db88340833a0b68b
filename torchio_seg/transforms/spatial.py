"""Random changes in space: images and labels move alike. Each function is a step of `augmentation.spatial`.

Neighbouring steps are fused to one map (an elastic deformation comes last in it, wherever it stands), which is applied
in one resampling; where only flips and quarter turns are drawn, voxels are moved and none is interpolated.
"""

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
    from torchio_seg.transforms import moves, random

    return random.RandomMove([moves.Flip(probability, axes)])


def affine(
    *,
    probability: Probability = 0.2,
    degrees: NonNegativeFloat | tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat] = 15.0,
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.15,
    isotropic: bool = False,
    shear: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    translation_mm: NonNegativeFloat = 0.0,
) -> tio.Transform:
    """Rotate about each axis, scale (isotropic: all axes alike), shear (mm per mm) and shift, within these amounts.

    Where voxels are over 3 times longer along one axis than along another, nothing turns or shears between the two, and
    nothing is scaled along the long ones.
    """
    from torchio_seg.transforms import moves, random

    angles = degrees if isinstance(degrees, tuple) else (degrees, degrees, degrees)
    return random.RandomMove([moves.Affine(probability, angles, scale, isotropic, shear, translation_mm)])


def elastic(
    *,
    probability: Probability = 0.1,
    control_points: Annotated[int, Field(ge=5)] = 7,
    displacement: Annotated[float, Field(gt=0, le=0.4)] = 0.25,
) -> tio.Transform:
    """Deform by random displacements of a coarse grid, each within a share of the grid's cell; up to 0.4 none folds.

    Where voxels are over 3 times longer along one axis than along another, nothing is displaced along the longer.
    """
    from torchio_seg.transforms import moves, random

    return random.RandomMove([moves.Elastic(probability, control_points, displacement)])


def rotate90(
    *, probability: Probability = 0.5, axes: Annotated[tuple[Axis, ...], Field(min_length=1)] = (2,)
) -> tio.Transform:
    """Turn by one to three quarters about one of the axes (2: in the axial plane); its plane must be square."""
    from torchio_seg.transforms import moves, random

    return random.RandomMove([moves.QuarterTurn(probability, axes)])


def one_of(
    *, probability: Probability = 1.0, steps: Steps, weights: tuple[NonNegativeFloat, ...] | None = None
) -> tio.Transform:
    """Apply exactly one of the steps, each as likely as its weight; null: all alike."""
    from torchio_seg.transforms import random

    return random.one_of("transforms.spatial", steps, weights, probability)
