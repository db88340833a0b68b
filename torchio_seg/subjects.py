"""A case's channels and label map read strictly from its files, and tensors as a `tio.Subject`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torchio as tio

from torchio_seg.errors import DataError
from torchio_seg.volumes.alignment import difference, on_one_grid, turn_onto
from torchio_seg.volumes.nifti import Volume, read, read_geometry, read_label

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torchio_seg.records import Case
    from torchio_seg.transforms.recipe import Nonfinite

IMAGE, LABEL = "image", "label"


def read_channels(paths: Sequence[Path], num_channels: int, *, nonfinite: Nonfinite = "refuse") -> Volume:
    """One volume C I J K from a file of all channels or from one file per channel, on one grid."""
    return join_channels([read(path, nonfinite=nonfinite) for path in paths], num_channels)


def join_channels(volumes: Sequence[Volume], num_channels: int) -> Volume:
    """One volume C I J K of the channels of several on one grid."""
    first = volumes[0]
    for other in volumes[1:]:
        if not on_one_grid(other, first):
            raise DataError(
                f"{other.path} is not on the grid of {first.path}: {difference(other, first)}; "
                "resample the channels of a case to one grid"
            )
    array = first.array if len(volumes) == 1 else np.concatenate([volume.array for volume in volumes])
    if len(array) != num_channels:
        names = ", ".join(str(volume.path) for volume in volumes)
        raise DataError(f"{names}: {len(array)} channels, {num_channels} are expected")
    return Volume(first.path, array, first.affine, first.header, sum(volume.num_zeroed for volume in volumes))


def read_case_label(case: Case, allowed: Sequence[int]) -> Volume:
    """The label map of a case, its values checked, on the axes and with the affine of the image.

    One that is stored along other axes than its image is turned; nothing is interpolated.
    """
    if case.label is None:
        raise DataError(f"case {case.id} has no label map; only cases with one can train or be evaluated")
    volume = read_label(case.label, allowed)
    image = read_geometry(case.images[0])
    turn = turn_onto(volume, image)
    if turn is None:
        raise DataError(
            f"case {case.id}: label {case.label} does not lie on the grid of {case.images[0]}: "
            f"{difference(volume, image)}; resample it to the image"
        )
    return replace(volume, array=turn.apply(volume.array), affine=image.affine)


def part(subject: tio.Subject, name: str) -> tio.Image:
    """The subject's image or label."""
    image = subject[name]
    if not isinstance(image, tio.Image):
        raise TypeError(f"'{name}' of a subject is {type(image).__name__}, not an image")
    return image


def make_subject(image: torch.Tensor, label: torch.Tensor | None, affine: np.ndarray, case: str) -> tio.Subject:
    """A subject of tensors C I J K on one grid."""
    images: dict[str, tio.Image] = {IMAGE: tio.ScalarImage(tensor=image, affine=affine)}
    if label is not None:
        images[LABEL] = tio.LabelMap(tensor=label, affine=affine)
    return tio.Subject(**images, case=case)
