"""Random changes that TorchIO lacks, as TorchIO transforms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torchio as tio

from torchio_seg import components
from torchio_seg.errors import ConfigError, DataError

UNEQUAL = 1.05
"""Ratio from which two voxel edges differ: resampling to whole voxels leaves a few per cent between them."""


class RandomScaleShift(tio.IntensityTransform):
    """Multiply each channel by 1 + a and add b, a and b drawn uniformly from a symmetric range."""

    def __init__(self, *, scale: float, shift: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.shift = shift
        self.args_names = ["scale", "shift"]

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """Change every intensity image of the subject."""
        for image in self.get_images(subject):
            draws = torch.rand(2, image.data.shape[0], 1, 1, 1) * 2 - 1
            image.set_data(image.data * (1 + self.scale * draws[0]) + self.shift * draws[1])
        return subject


class RandomElastic(tio.SpatialTransform):
    """TorchIO's elastic deformation, its displacements a share of the control grid's cell, so that nothing folds."""

    def __init__(self, *, control_points: int, displacement: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.control_points = control_points
        self.displacement = displacement
        self.args_names = ["control_points", "displacement"]

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """Deform every image of the subject alike."""
        extent_mm = np.array(subject.spatial_shape) * np.array(subject.spacing)
        i, j, k = (self.displacement * extent_mm / (self.control_points - 3)).tolist()  # cubic splines: 3 more points
        deform = tio.RandomElasticDeformation(
            num_control_points=self.control_points, max_displacement=(i, j, k), locked_borders=2
        )
        deformed = deform(subject)
        if not isinstance(deformed, tio.Subject):
            raise TypeError(f"elastic deformation gave {type(deformed).__name__}")
        return deformed


class RandomRotate90(tio.SpatialTransform):
    """Turn by one, two or three quarters about one of the axes, in whose plane voxels and patch must be square."""

    def __init__(self, *, axes: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axes = tuple(axes)
        self.args_names = ["axes"]

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """Turn every image of the subject alike."""
        for axis in self.axes:
            _require_square(subject, axis)
        axis = self.axes[int(torch.randint(len(self.axes), ()))]
        turns = int(torch.randint(1, 4, ()))
        for image in self.get_images(subject):
            image.set_data(torch.rot90(image.data, turns, [1 + other for other in range(3) if other != axis]))
        return subject


def one_of(
    kind: str, steps: Sequence[Mapping[str, Any]], weights: Sequence[float] | None, probability: float
) -> tio.OneOf:
    """Steps of a kind, of which one is drawn each time, each as likely as its weight says."""
    weights = weights or [1.0] * len(steps)
    if len(weights) != len(steps) or not sum(weights) > 0:
        raise ConfigError(
            f"one_of has {len(steps)} steps and the weights {list(weights)}; give one weight for each step, at least "
            "one above 0, or null for equal ones"
        )
    built = [components.assemble(kind, step) for step in steps]
    return tio.OneOf(dict(zip(built, weights, strict=True)), p=probability)


def _require_square(subject: tio.Subject, axis: int) -> None:
    """Refuse a quarter turn that would change the patch's shape or the proportions of what is on it."""
    first, second = (other for other in range(3) if other != axis)
    shape, spacing = subject.spatial_shape, subject.spacing
    stretch = spacing[first] / spacing[second]
    if shape[first] == shape[second] and 1 / UNEQUAL < stretch < UNEQUAL:
        return
    raise DataError(
        f"rotate90 about axis {axis} needs a plane of equal sides and equal voxel size; this patch has "
        f"{shape[first]} x {shape[second]} voxels of {spacing[first]:.3g} x {spacing[second]:.3g} mm there. Take that "
        "axis out of the step's axes, or change sampling.patch_size or preprocessing.spacing"
    )
