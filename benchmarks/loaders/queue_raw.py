"""TorchIO's queue over the files as they are, as in its tutorial on patches: whole volumes are read and augmented.

The eight patches of a volume share one augmentation. 24 patches in the queue are three volumes' worth; a longer queue
mixes better and holds more memory. The sampler is the uniform one, so that nothing is spent on finding foreground.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torchio as tio

from loaders.cases import BATCH_SIZE, NUM_VISITS, PATCH_SIZE, PATCHES_PER_CASE, case_files

QUEUE_LENGTH = 24
WARM_UP = 0
"""The first batch comes when the queue has been filled once, more patches than others warm up with."""


def preprocessing() -> list[tio.Transform]:
    """One orientation, and each channel normalised over its voxels that are not zero."""
    return [tio.ToCanonical(), tio.ZNormalization(masking_method=is_nonzero)]


def is_nonzero(values: torch.Tensor) -> torch.Tensor:
    """Everything but the empty space."""
    return values != 0


def augmentation() -> list[tio.Transform]:
    """Of the five usual families; log_gamma and scales are symmetric ranges, std is drawn from 0 to 0.25."""
    return [
        tio.RandomFlip(axes=(0, 1, 2), flip_probability=0.5),
        tio.RandomAffine(scales=0.1, degrees=10, p=0.75),
        tio.RandomBiasField(coefficients=0.5, order=3, p=0.3),
        tio.RandomNoise(mean=0, std=(0, 0.25), p=0.5),
        tio.RandomGamma(log_gamma=0.3, p=0.3),
    ]


def batches(folder: Path, num_workers: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:  # noqa: ARG001
    """Patches of the raw files."""
    subjects = [
        tio.Subject(image=tio.ScalarImage(images), label=tio.LabelMap(label)) for images, label in case_files(folder)
    ]
    return queued(subjects, tio.Compose([*preprocessing(), *augmentation()]), num_workers)


def queued(
    subjects: Sequence[tio.Subject], transform: tio.Transform, num_workers: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Through the queue, whose outer loader has no workers, as it must."""
    dataset = tio.SubjectsDataset(list(subjects) * (NUM_VISITS // len(subjects)), transform=transform)
    queue = tio.Queue(dataset, QUEUE_LENGTH, PATCHES_PER_CASE, tio.UniformSampler(PATCH_SIZE), num_workers=num_workers)
    for batch in tio.SubjectsLoader(queue, batch_size=BATCH_SIZE, num_workers=0):
        yield batch["image"][tio.DATA], batch["label"][tio.DATA]
