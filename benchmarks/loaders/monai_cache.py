"""MONAI's CacheDataset, as in its tutorials: volumes are read and normalised once and kept in memory, crops augmented.

The eight patches of a volume are one batch of the loader, each augmented for itself, and are given out by twos.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, radians
from pathlib import Path

import torch
from monai.data import CacheDataset, DataLoader
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    EnsureTyped,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    RandAdjustContrastd,
    RandAffined,
    RandBiasFieldd,
    RandFlipd,
    RandGaussianNoised,
    RandSpatialCropSamplesd,
    Transform,
)
from torch.utils.data import RandomSampler

from loaders.cases import BATCH_SIZE, NUM_VISITS, PATCH_SIZE, PATCHES_PER_CASE, case_files

KEYS = ("image", "label")


def preprocessing() -> list[Transform]:
    """What is cached."""
    return [
        LoadImaged(KEYS),
        EnsureChannelFirstd(KEYS),
        Orientationd(KEYS, axcodes="RAS"),
        NormalizeIntensityd("image", nonzero=True, channel_wise=True),
        EnsureTyped(KEYS),
    ]


def augmentation() -> list[Transform]:
    """The families of queue_raw.py, brought to the same effect.

    Bias field: of Legendre polynomials instead of powers, up to the same total degree; P_n and x^n have the same mean
    square on [-1, 1], 1 / (2 n + 1), so that equal coefficients give fields of equal strength. Noise: the deviation
    is drawn from 0 to std. Gamma: uniform between e^-0.3 and e^0.3, and of the patch's span taken for 0 to 1, while
    TorchIO raises distances from zero. Affine: within the patch, whose border is repeated, as MONAI's tutorials have
    it; TorchIO moves the whole volume.
    """
    return [
        RandSpatialCropSamplesd(KEYS, roi_size=PATCH_SIZE, num_samples=PATCHES_PER_CASE, random_size=False),
        *(RandFlipd(KEYS, prob=0.5, spatial_axis=axis) for axis in range(3)),
        RandAffined(
            KEYS,
            prob=0.75,
            rotate_range=(radians(10),) * 3,
            scale_range=(0.1,) * 3,
            mode=("bilinear", "nearest"),
            padding_mode="border",
        ),
        RandBiasFieldd("image", degree=3, coeff_range=(-0.5, 0.5), prob=0.3),
        RandGaussianNoised("image", prob=0.5, mean=0.0, std=0.25, sample_std=True),
        RandAdjustContrastd("image", prob=0.3, gamma=(exp(-0.3), exp(0.3))),
    ]


def batches(folder: Path, num_workers: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:  # noqa: ARG001
    """Patches of the cached volumes."""
    items = [{"image": images, "label": label} for images, label in case_files(folder)]
    dataset = CacheDataset(items, Compose([*preprocessing(), *augmentation()]), cache_rate=1.0, progress=False)
    visits = RandomSampler(dataset, num_samples=NUM_VISITS)
    for batch in DataLoader(dataset, batch_size=1, sampler=visits, num_workers=num_workers):
        yield from zip(batch["image"].split(BATCH_SIZE), batch["label"].split(BATCH_SIZE), strict=True)
