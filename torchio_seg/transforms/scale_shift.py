"""The one intensity change that TorchIO lacks: a random linear map of each channel."""

from __future__ import annotations

from typing import Any

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
