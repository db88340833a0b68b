"""TorchIO's queue over volumes that were preprocessed once and kept as arrays; they are augmented whole, as before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torchio as tio

from loaders.cases import case_files
from loaders.queue_raw import WARM_UP, augmentation, preprocessing, queued

__all__ = ["WARM_UP", "batches", "prepare"]


def prepare(folder: Path) -> None:
    """An array of float32 for the four channels and one of uint8 for the label of each case."""
    save_preprocessed(folder / "arrays", folder, np.float32)


def save_preprocessed(target: Path, folder: Path, kind: type[np.floating]) -> None:
    """Case by case, with TorchIO's own preprocessing."""
    target.mkdir()
    transform = tio.Compose(preprocessing())
    for number, (images, label) in enumerate(case_files(folder)):
        subject = transform(tio.Subject(image=tio.ScalarImage(images), label=tio.LabelMap(label)))
        np.save(target / f"{number}_image.npy", subject["image"].data.numpy().astype(kind))
        np.save(target / f"{number}_label.npy", subject["label"].data.numpy().astype(np.uint8))


def read(path: Path) -> tuple[torch.Tensor, np.ndarray]:
    """An array and its affine, which is the canonical one."""
    return torch.from_numpy(np.load(path)), np.eye(4)


def batches(folder: Path, num_workers: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:  # noqa: ARG001
    """Patches of the arrays."""
    subjects = [
        tio.Subject(
            image=tio.ScalarImage(path, reader=read),
            label=tio.LabelMap(path.with_name(path.name.replace("image", "label")), reader=read),
        )
        for path in sorted((folder / "arrays").glob("*_image.npy"))
    ]
    return queued(subjects, tio.Compose(augmentation()), num_workers)
