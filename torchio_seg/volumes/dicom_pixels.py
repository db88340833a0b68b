"""The pixels of one DICOM file, all of them or an error."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.dicom_header import read_dataset

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torchio_seg.volumes.dicom_header import Slice
    from torchio_seg.volumes.geometry import Array


def read_planes(path: Path, slices: Sequence[Slice]) -> list[Array]:
    """Rows x columns of each slice that lies in a file, with its slope and intercept: whole numbers stay whole."""
    dataset = read_dataset(path)
    if "PixelData" not in dataset:
        raise VolumeError(f"{path}: has no pixels; the file was cut short. Copy it again from where it came")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # padding after the pixels is common and harmless
            pixels = dataset.pixel_array
    except (RuntimeError, NotImplementedError) as error:
        return [_read_with_itk(path, dataset, error)]
    except Exception as error:  # decoders raise what the damage happens to cause
        raise VolumeError(f"{path}: its pixels cannot be decoded ({error}); copy it again") from error
    frames = pixels.reshape(-1, slices[0].rows, slices[0].columns)
    return [_scaled(path, frames[part.frame], part) for part in slices]


def is_whole(slices: Sequence[Slice]) -> bool:
    """Whether slope and intercept keep whole numbers whole."""
    return all(part.slope.is_integer() and part.intercept.is_integer() for part in slices)


def _scaled(path: Path, stored: Array, part: Slice) -> Array:
    if not is_whole([part]):
        return stored.astype(np.float64) * part.slope + part.intercept
    values = stored.astype(np.int64) * int(part.slope) + int(part.intercept)
    if values.min() < -(2**31) or values.max() >= 2**31:
        raise VolumeError(f"{path}: values from {values.min()} to {values.max()}; 32 bits are the most supported")
    return values


def _read_with_itk(path: Path, dataset: Any, reason: Exception) -> Array:
    """What pydicom has no decoder for, through ITK, which applies slope and intercept itself."""
    import SimpleITK as sitk  # noqa: N813 (the name that everyone uses)

    syntax = dataset.file_meta.TransferSyntaxUID
    cure = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg, or convert it to an uncompressed syntax"
    is_compressed = syntax.is_transfer_syntax and syntax.is_compressed
    if not is_compressed or int(dataset.get("NumberOfFrames") or 1) > 1:
        raise VolumeError(f"{path}: its pixels ({syntax.name}) cannot be decoded ({reason}); {cure}") from reason
    try:
        plane = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        raise VolumeError(f"{path}: its pixels ({syntax.name}) cannot be decoded; {cure}") from error
    flat: Array = plane.reshape(int(dataset.Rows), int(dataset.Columns))
    return flat
