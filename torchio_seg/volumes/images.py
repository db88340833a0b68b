"""nibabel images that are in memory already: as volumes, and results in their space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.geometry import is_degenerate
from torchio_seg.volumes.reading import Volume, not_finite

if TYPE_CHECKING:
    from typing import Literal

    from torchio_seg.volumes.geometry import Affine, Array
    from torchio_seg.volumes.scan import Scan


def is_image(value: object) -> bool:
    """Whether this is a nibabel image with a place in space."""
    return isinstance(value, nib.spatialimages.SpatialImage)


def from_image(image: Any, name: str, *, nonfinite: Literal["refuse", "zero"] = "refuse") -> Volume:
    """A nibabel image I J K or I J K C as a volume."""
    array = np.asanyarray(image.dataobj)
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    array = array[None] if array.ndim == 3 else np.moveaxis(array, -1, 0)
    return from_array(array, image.affine, name, header=image.header, nonfinite=nonfinite)


def from_array(
    array: Array, affine: Affine, name: str, *, header: Any = None, nonfinite: Literal["refuse", "zero"] = "refuse"
) -> Volume:
    """Voxels C I J K as a volume: integers as they are, anything real as float32, held to the rules of files."""
    affine = np.asarray(affine, np.float64)
    if array.ndim != 4 or 0 in array.shape:
        raise VolumeError(f"{name}: {array.ndim}-D with sizes {list(array.shape)} is no volume of one or more channels")
    if array.dtype.kind not in "biuf":
        raise VolumeError(f"{name}: {array.dtype} voxels; give integers or real numbers")
    if affine.shape != (4, 4) or is_degenerate(affine):
        raise VolumeError(f"{name}: {affine.tolist()} gives voxels no place; give a finite, invertible 4x4 affine")
    num_bad = 0
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    elif array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = array.astype(np.float32, copy=False)
        array, num_bad = _without_nonfinite(array, name, nonfinite)
    return Volume(Path(name), array, affine, header, num_bad)


def image_like(array: Array, like: Volume | Scan) -> Any:
    """Results I J K or C I J K as a NIfTI image with the affine, codes and units of the image that they are of."""
    stored = array if array.ndim == 3 else np.moveaxis(array, 0, -1)
    if not isinstance(like.header, nib.Nifti1Header):
        return nib.Nifti1Image(stored, like.affine)  # type: ignore[no-untyped-call]
    kind: Any = nib.Nifti2Image if isinstance(like.header, nib.Nifti2Header) else nib.Nifti1Image
    found: Any = like.header
    header = kind.header_class(found.as_byteswapped("<").binaryblock, check=False)
    header["magic"] = header.single_magic
    header["cal_min"] = header["cal_max"] = 0
    header["scl_slope"] = header["scl_inter"] = np.nan
    header.set_intent("none")
    header.set_data_dtype(stored.dtype)
    header.set_data_shape(stored.shape)
    return kind(stored, like.affine, header)


def _without_nonfinite(array: Array, name: str, nonfinite: str) -> tuple[Array, int]:
    finite = np.isfinite(array)
    num_bad = int(array.size - np.count_nonzero(finite))
    if num_bad and nonfinite == "refuse":
        raise VolumeError(
            f"{name}: {not_finite(num_bad, array.size)}; find out where they come from and replace them by a value "
            'that you choose, or load the model with nonfinite="zero"'
        )
    return (np.where(finite, array, np.float32(0)) if num_bad else array), num_bad
