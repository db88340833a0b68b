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
from torchio_seg.volumes.scan import Scan
from torchio_seg.volumes.source import Joined

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torchio_seg.records import Case
    from torchio_seg.transforms.recipe import Nonfinite
    from torchio_seg.volumes.scan import Image

IMAGE, LABEL = "image", "label"


def read_channels(paths: Sequence[Path], num_channels: int, *, nonfinite: Nonfinite = "refuse") -> Volume:
    """One volume C I J K from a file of all channels or from one file per channel, on one grid."""
    return join_channels([read(path, nonfinite=nonfinite) for path in paths], num_channels)


def join_channels(volumes: Sequence[Volume], num_channels: int) -> Volume:
    """One volume C I J K of the channels of several on one grid."""
    _require_channels(volumes, num_channels)
    first = volumes[0]
    array = first.array if len(volumes) == 1 else np.concatenate([volume.array for volume in volumes])
    return Volume(first.path, array, first.affine, first.header, sum(volume.num_zeroed for volume in volumes))


def join_scans(scans: Sequence[Scan], num_channels: int) -> Scan:
    """One scan of the channels of several on one grid."""
    _require_channels(scans, num_channels)
    return replace(
        scans[0],
        source=scans[0].source if len(scans) == 1 else Joined(tuple(scan.source for scan in scans)),
        ranges=tuple(found for scan in scans for found in scan.ranges),
        samples=tuple(sample for scan in scans for sample in scan.samples),
        num_zeroed=sum(scan.num_zeroed for scan in scans),
    )


def _require_channels(images: Sequence[Image], num_channels: int) -> None:
    """Refuse channels that lie on several grids, or are more or fewer than are expected."""
    first = images[0]
    for other in images[1:]:
        if not on_one_grid(other, first):
            raise DataError(
                f"{other.path} is not on the grid of {first.path}: {difference(other, first)}; "
                "resample the channels of a case to one grid"
            )
    if (found := sum(image.num_channels for image in images)) != num_channels:
        names = ", ".join(str(image.path) for image in images)
        raise DataError(f"{names}: {found} channels, {num_channels} are expected")


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
