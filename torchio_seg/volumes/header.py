"""What the header of a NIfTI file says, taken from its raw bytes: libraries repair some lies before one sees them."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.geometry import Affine, Shape, deviation_mm, is_degenerate, is_sheared, spacing_of

if TYPE_CHECKING:
    from pathlib import Path

    from torchio_seg.volumes.geometry import Array
    from torchio_seg.volumes.stream import ByteStream

_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_REFUSED_TYPES = {1: "binary", 32: "complex", 128: "RGB", 1536: "128-bit", 1792: "complex", 2048: "complex"}
_FORMATS: tuple[tuple[str, Any, int], ...] = tuple(
    (order, kind, size) for order in "<>" for kind, size in ((nib.Nifti1Header, 348), (nib.Nifti2Header, 540))
)
_MAX_OFFSET = 1 << 24
_SPACING_TOLERANCE = 1e-2  # relative; writers round pixdim
_QUATERNION_TOLERANCE = 2e-3  # of the diagonal; a float32 quaternion near 180 degrees keeps no more


@dataclass(frozen=True)
class Geometry:
    """What a volume is, known without reading its voxels."""

    path: Path
    shape: Shape
    """Voxels along I J K."""
    num_channels: int
    affine: Affine
    dtype: np.dtype[Any]
    """How the voxels are stored."""
    forms_apart_mm: float = 0.0
    """How far apart sform and qform put the same voxel, at most, where the header has both."""

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The voxel edges in millimetres."""
        return spacing_of(self.affine)

    @property
    def is_sheared(self) -> bool:
        """Whether the axes are not perpendicular, so that the volume has no voxel size to resample to."""
        return is_sheared(self.affine)


@dataclass(frozen=True)
class Layout:
    """A checked header: where the voxels lie in the file and how they become values."""

    geometry: Geometry
    header: Any
    stored: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    channels_first: bool = False
    """Whether a voxel's channels stand side by side, instead of one whole channel after the other."""

    @property
    def num_voxels(self) -> int:
        return math.prod(self.geometry.shape) * self.geometry.num_channels

    @property
    def content_size(self) -> int:
        """Length of the whole content in bytes."""
        return self.offset + self.num_voxels * self.stored.itemsize

    @property
    def is_scaled(self) -> bool:
        return (self.slope, self.intercept) != (1, 0)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the voxels become: float32, or the integers that they are."""
        return np.dtype(np.float32) if self.is_scaled or self.stored.kind == "f" else self.stored.newbyteorder("=")

    def arranged(self, voxels: Array) -> Array:
        """Voxels in the order of the file as C I J K, without a copy."""
        shape, num_channels = self.geometry.shape, self.geometry.num_channels
        if self.channels_first:
            return voxels.reshape((num_channels, *shape), order="F")
        return np.moveaxis(voxels.reshape((*shape, num_channels), order="F"), -1, 0)


def read_layout(stream: ByteStream) -> Layout:
    """Read the header at the start of a file and hold everything that can be held without the voxels."""
    path = stream.path
    header = _read_header(stream)
    shape, num_channels = _dimensions(path, header)
    stored = _stored_type(path, header)
    affine, forms_apart_mm = _affine(path, header, shape)
    slope, intercept = _scaling(path, header)
    geometry = Geometry(path, shape, num_channels, affine, stored.newbyteorder("="), forms_apart_mm)
    layout = Layout(geometry, header, stored, _offset(path, header), slope, intercept)
    stream.require_size(layout.content_size)
    return layout


def _read_header(stream: ByteStream) -> Any:
    """The header as it is, NIfTI-1 or NIfTI-2, of either byte order, unrepaired."""
    block = bytearray(540)
    stream.fill(memoryview(block)[:348], 348)
    found = [known for known in _FORMATS if struct.unpack_from(f"{known[0]}i", block)[0] == known[2]]
    if not found:
        raise VolumeError(
            f"{stream.path}: not NIfTI: the file begins with {bytes(block[:4]).hex()}, a NIfTI header with its size, "
            "348 or 540; convert the scan again"
        )
    order, kind, size = found[0]
    if size > 348:
        stream.fill(memoryview(block)[348:], size)
    header = kind(bytes(block[:size]), order, check=False)
    if bytes(header["magic"]).rstrip(b"\0") != header.single_magic.rstrip(b"\0"):
        raise VolumeError(
            f"{stream.path}: the header's magic is {bytes(header['magic'])!r}, a single-file NIfTI has "
            f"{header.single_magic!r}; this may be Analyze or one half of a pair, convert it to .nii.gz"
        )
    return header


def _dimensions(path: Path, header: Any) -> tuple[Shape, int]:
    """I J K and the number of channels; axes of length 1 at the end do not count."""
    rank, *sizes = (int(size) for size in header["dim"])
    sizes = sizes[: max(rank, 0)]
    if not 1 <= rank <= 7 or min(sizes) < 1:
        raise VolumeError(f"{path}: the header's dimensions {header['dim'].tolist()} are impossible; export it again")
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) not in (3, 4):
        raise VolumeError(
            f"{path}: {len(sizes)}-D with sizes {sizes}; a volume is 3-D, or 4-D with channels last. "
            "Stack slices, or split or squeeze further axes, before use"
        )
    first, second, third, *channels = sizes
    return (first, second, third), channels[0] if channels else 1


def _stored_type(path: Path, header: Any) -> np.dtype[Any]:
    code, num_bits = int(header["datatype"]), int(header["bitpix"])
    if code not in _TYPES:
        raise VolumeError(
            f"{path}: {_REFUSED_TYPES.get(code, 'unknown')} voxels (NIfTI type {code}); "
            "only integers and real numbers are read, convert to one real value a voxel"
        )
    stored: np.dtype[Any] = np.dtype(header.endianness + _TYPES[code])
    if stored.itemsize * 8 != num_bits:
        raise VolumeError(f"{path}: {stored.name} voxels said to have {num_bits} bits; header damaged, export it again")
    return stored


def _offset(path: Path, header: Any) -> int:
    offset, least = float(header["vox_offset"]), header.single_vox_offset
    if not (least <= offset <= _MAX_OFFSET and offset.is_integer()):
        raise VolumeError(
            f"{path}: the voxels are said to begin at byte {offset:g}; in this format they begin between {least} "
            f"and {_MAX_OFFSET}. The header is damaged, export it again"
        )
    return int(offset)


def _scaling(path: Path, header: Any) -> tuple[float, float]:
    """Slope and intercept; a slope of 0 or NaN is how NIfTI says that voxels are values already."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1, 0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise VolumeError(
            f"{path}: voxels are to be scaled by slope {slope:g} and intercept {intercept:g}; "
            "both must be finite. Export it again"
        )
    return slope, intercept


def _affine(path: Path, header: Any, shape: Shape) -> tuple[Affine, float]:
    """The one affine that sform, qform and pixdim agree on, and how well the two forms do."""
    edges = header["pixdim"][1:4].astype(np.float64)
    if not (np.isfinite(edges) & (edges > 0)).all() or header["pixdim"][0] not in (-1, 0, 1):
        raise VolumeError(
            f"{path}: pixdim is {header['pixdim'][:4].tolist()}: spacings must be positive and the first number "
            "-1, 0 or 1, else readers disagree about left and right; export it again"
        )
    found = {"sform": header.get_sform, "qform": header.get_qform}
    affines = {name: _placed(path, name, get) for name, get in found.items() if header[f"{name}_code"] > 0}
    if not affines:
        raise VolumeError(
            f"{path}: no orientation: qform_code and sform_code are both 0, so left and right are unknown; "
            "convert it again from DICOM, or set a code once you know that the affine is right"
        )
    affine = next(iter(affines.values()))
    apart = _require_agreement(path, affines, shape)
    if (np.abs(edges / spacing_of(affine) - 1) > _SPACING_TOLERANCE).any():
        raise VolumeError(
            f"{path}: pixdim says spacing {edges.tolist()} mm, the affine says {list(spacing_of(affine))}; "
            "find out which is right and write it to both"
        )
    return affine, apart


def _placed(path: Path, name: str, get: Any) -> Affine:
    """The affine of one form, if it gives every voxel a place of its own."""
    try:
        affine: Affine = get().astype(np.float64)
    except (ValueError, nib.spatialimages.HeaderDataError) as error:
        raise VolumeError(f"{path}: the {name} is no rotation ({error}); export it again") from error
    if is_degenerate(affine):
        raise VolumeError(
            f"{path}: the {name} {affine[:3].tolist()} is singular or not finite: voxels would have no place of their "
            "own; export it again"
        )
    return affine


def _require_agreement(path: Path, affines: dict[str, Affine], shape: Shape) -> float:
    """How far apart the two forms put the same voxel, which rounding must explain."""
    if len(affines) < 2:
        return 0.0
    sform, qform = affines["sform"], affines["qform"]
    apart = deviation_mm(sform, qform, shape)
    diagonal = float(np.linalg.norm(np.multiply(shape, spacing_of(sform))))
    if apart > max(0.1 * min(spacing_of(sform)), _QUATERNION_TOLERANCE * diagonal):
        raise VolumeError(
            f"{path}: sform and qform put the same voxel up to {apart:.3g} mm apart, and programs differ in which they "
            "believe; find out which is right and write it to both"
        )
    return apart
