"""Random changes that TorchIO lacks, as TorchIO transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torchio as tio


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
