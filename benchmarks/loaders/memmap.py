"""The limit: patches copied from arrays of float16 that are mapped into memory, made float32, and not augmented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from loaders.cases import BATCH_SIZE, NUM_VISITS, PATCH_SIZE, PATCHES_PER_CASE


def prepare(folder: Path) -> None:
    """The volumes of queue_arrays.py in half the bytes."""
    from loaders.queue_arrays import save_preprocessed

    save_preprocessed(folder / "halves", folder, np.float16)


class Patches(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Anywhere in a random case."""

    def __init__(self, folder: Path) -> None:
        paths = sorted((folder / "halves").glob("*_image.npy"))
        self.images = [np.load(path, mmap_mode="r") for path in paths]
        self.labels = [np.load(path.with_name(path.name.replace("image", "label")), mmap_mode="r") for path in paths]

    def __len__(self) -> int:
        return NUM_VISITS * PATCHES_PER_CASE

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        case = int(torch.randint(len(self.images), ()))
        image, label = self.images[case], self.labels[case]
        starts = [int(torch.randint(n - m + 1, ())) for n, m in zip(image.shape[1:], PATCH_SIZE, strict=True)]
        where = (slice(None), *(slice(start, start + m) for start, m in zip(starts, PATCH_SIZE, strict=True)))
        return torch.from_numpy(image[where].astype(np.float32)), torch.from_numpy(label[where].copy())


def batches(folder: Path, num_workers: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:  # noqa: ARG001
    """Patches as they are on disk."""
    return iter(DataLoader(Patches(folder), batch_size=BATCH_SIZE, num_workers=num_workers))
