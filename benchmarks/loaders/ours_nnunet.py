"""This package's loader with what nnU-Net's trainer draws by default for a 3-D patch of equal sides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from loaders import ours

AUGMENTATION: ours.Steps = {
    # nnU-Net draws whether to turn and whether to scale apart, and so do two steps, which are fused to one resampling.
    # It stretches coordinates by 0.7 to 1.4, which shows things 1.43 to 0.71 times as large; here 1.35 to 0.65. It
    # mirrors last, which comes to the same: no change of intensity below knows directions.
    "spatial": [
        {"name": "affine", "probability": 0.2, "degrees": 30.0, "scale": 0.0},
        {"name": "affine", "probability": 0.2, "degrees": 0.0, "scale": 0.35, "isotropic": True},
        {"name": "flip", "probability": 0.5, "axes": [0, 1, 2]},
    ],
    # Where nnU-Net first draws whether to do something and then, for each channel, whether to it as well (blur 0.2 x
    # 0.5, low resolution 0.25 x 0.5) or how much (brightness, contrast, gamma), per_channel draws both for each
    # channel: as many channels are changed on average. Its blur has another width along each axis; here one serves
    # all. Its gamma is half below 1 (from 0.7) and half above (to 1.5); here e^-0.38 = 0.68 to e^0.38 = 1.46.
    "intensity": [
        {"name": "noise", "probability": 0.1, "std": [0.0, 0.1]},
        {"name": "blur", "probability": 0.1, "per_channel": True, "std_mm": [0.5, 1.0]},
        {"name": "brightness", "probability": 0.15, "per_channel": True, "factor": [0.75, 1.25]},
        {"name": "contrast", "probability": 0.15, "per_channel": True, "factor": [0.75, 1.25]},
        {"name": "low_resolution", "probability": 0.125, "per_channel": True, "zoom": [0.5, 1.0]},
        {
            "name": "gamma",
            "probability": 0.1,
            "per_channel": True,
            "log_gamma": 0.38,
            "invert_probability": 1.0,
            "retain_stats": True,
        },
        {"name": "gamma", "probability": 0.3, "per_channel": True, "log_gamma": 0.38, "retain_stats": True},
    ],
}


def batches(folder: Path, num_workers: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Patches of the same store, one of each two around foreground, as nnU-Net has them in batches of two."""
    return ours.batches(folder, num_workers, seed, augmentation=AUGMENTATION, foreground=0.5)
