"""The header of a MetaImage file, held to rules."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.geometry import is_degenerate
from torchio_seg.volumes.header import Geometry, Layout
from torchio_seg.volumes.text_header import (
    LPS,
    read_lines,
    real_numbers,
    require_sizes,
    whole_number,
    whole_numbers,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torchio_seg.volumes.geometry import Affine, Array, Shape
    from torchio_seg.volumes.stream import ByteStream

LOCAL = "LOCAL"
LAST, SIZE = "ElementDataFile", "CompressedDataSize"
TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",  # four bytes by the format's own table, whatever a long is elsewhere
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
NAMES = {code: name for name, code in reversed(TYPES.items())}
_ALIASES = {
    "Orientation": "TransformMatrix",
    "Rotation": "TransformMatrix",
    "Position": "Offset",
    "Origin": "Offset",
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
}
_TRUE = {"true": True, "false": False, "1": True, "0": False}
_MOST_SKIPPED = 1 << 24


@dataclass(frozen=True)
class MetaHeader:
    """What outputs have in common with the file that they are of; directions left, back and up."""

    spacing: Array
    directions: Array
    """Of the axes, one a column."""
    offset: Array
    """The centre of the first voxel."""

    @property
    def affine(self) -> Affine:
        """To millimetres right, front and up."""
        affine = np.eye(4)
        affine[:3, :3] = self.directions * self.spacing
        affine[:3, 3] = self.offset
        affine[:3] *= np.array(LPS)[:, None]
        affine[:3] += 0.0  # no -0.0
        return affine


def read_fields(file: BinaryIO, path: Path) -> dict[str, str]:
    """The fields by their usual names; the last one says where the voxels are."""
    lines = read_lines(file, path, lambda line: _parted(line)[0] == LAST)
    if "=" not in lines[0]:
        raise VolumeError(
            f"{path}: not MetaImage: the file begins with {lines[0][:40]!r}, an image of this format with "
            "'ObjectType = Image'; convert the scan again"
        )
    if not (_parted(lines[-1])[0] == LAST and _parted(lines[-1])[1]):
        raise VolumeError(f"{path}: truncated: it ends within the header; copy or download it again")
    fields: dict[str, str] = {}
    for line in filter(None, lines):
        name, value = _parted(line)
        if "=" not in line or fields.get(name, value) != value:
            what = "contradicts one before" if "=" in line else "is no 'Name = value'"
            raise VolumeError(f"{path}: the header's line '{line[:60]}' {what}; the header is damaged, export it again")
        fields[name] = value
    if fields.get("ObjectType", "Image") != "Image":
        raise VolumeError(f"{path}: not a MetaImage but a {fields['ObjectType']}; only images are read")
    return fields


def _parted(line: str) -> tuple[str, str]:
    """Name and value of a field."""
    name, _, value = line.partition("=")
    return _ALIASES.get(name.strip(), name.strip()), value.strip()


def layout_of(path: Path, fields: Mapping[str, str], stream: ByteStream) -> Layout:
    """What the voxels in the stream are and where, checked."""
    if not is_true(path, fields, "BinaryData", default=True):
        raise VolumeError(f"{path}: its voxels are written as text; write it again with BinaryData = True")
    sizes = whole_numbers(path, "DimSize", _field(path, fields, "DimSize"))
    require_sizes(path, sizes)
    if str(len(sizes)) != _field(path, fields, "NDims"):
        raise VolumeError(f"{path}: NDims {fields['NDims']} but DimSize {sizes}; the header is damaged")
    per_voxel = whole_number(path, "ElementNumberOfChannels", fields.get("ElementNumberOfChannels", "1"))
    require_sizes(path, [per_voxel])
    if len(sizes) not in (3, 4) or (len(sizes) == 4 and 1 not in (per_voxel, sizes[3])):
        raise VolumeError(
            f"{path}: {len(sizes)}-D with sizes {sizes} and {per_voxel} channels; a volume is 3-D, with channels in "
            "each voxel or as a fourth axis. Stack slices, or split or squeeze further axes, before use"
        )
    header = _header(path, fields, len(sizes))
    stored = _stored_type(path, fields)
    shape: Shape = (sizes[0], sizes[1], sizes[2])
    num_channels = per_voxel * math.prod(sizes[3:])
    geometry = Geometry(path, shape, num_channels, header.affine, stored.newbyteorder("="))
    offset = _offset(path, fields, stream, math.prod(shape) * num_channels * stored.itemsize)
    return Layout(geometry, header, stored, offset, slope=1, intercept=0, channels_first=per_voxel > 1)


def _header(path: Path, fields: Mapping[str, str], rank: int) -> MetaHeader:
    """Where the voxels are; a fourth axis is not in space and must not pretend to be."""
    matrix, offset, spacing = (
        real_numbers(path, name, _field(path, fields, name), count)
        for name, count in (("TransformMatrix", rank * rank), ("Offset", rank), ("ElementSpacing", rank))
    )
    directions = matrix.reshape(rank, rank).T
    centre = real_numbers(path, "CenterOfRotation", fields.get("CenterOfRotation", "0 " * rank), rank)
    if centre.any() or directions[3:, :3].any() or directions[:3, 3:].any():
        raise VolumeError(
            f"{path}: CenterOfRotation {centre.tolist()} and TransformMatrix {matrix.tolist()}; programs differ in "
            "what they make of a centre other than 0 or an axis beside the three of space. Export it again without"
        )
    if (spacing <= 0).any():
        raise VolumeError(f"{path}: ElementSpacing is {spacing.tolist()}; spacings must be positive, export it again")
    header = MetaHeader(spacing[:3], directions[:3, :3], offset[:3])
    if is_degenerate(header.affine):
        raise VolumeError(f"{path}: TransformMatrix {matrix.tolist()} gives voxels no place; export it again")
    return header


def _stored_type(path: Path, fields: Mapping[str, str]) -> np.dtype[Any]:
    name = _field(path, fields, "ElementType")
    if name not in TYPES:
        raise VolumeError(f"{path}: voxels of type '{name}'; integers and real numbers are read, convert it to these")
    for field, usual in (("ElementToIntensityFunctionSlope", 1), ("ElementToIntensityFunctionOffset", 0)):
        if field in fields and real_numbers(path, field, fields[field], 1)[0] != usual:
            raise VolumeError(f"{path}: {field} is {fields[field]}, which programs ignore; write the values")
    is_big = is_true(path, fields, "BinaryDataByteOrderMSB", default=None if TYPES[name][-1] != "1" else False)
    return np.dtype((">" if is_big else "<") + TYPES[name])


def _offset(path: Path, fields: Mapping[str, str], stream: ByteStream, size: int) -> int:
    """How many bytes before the voxels are passed over; -1 says that the voxels end the file."""
    text = fields.get("HeaderSize", "0")
    skipped = whole_number(path, "HeaderSize", text)
    if skipped == -1 and not stream.compressed:
        skipped = max(0, stream.file_size - size)
    if not 0 <= skipped <= (0 if stream.compressed else _MOST_SKIPPED):
        raise VolumeError(
            f"{path}: HeaderSize is {text}; 0 to {_MOST_SKIPPED} are allowed, -1 where the voxels end the file, and "
            "only 0 where they are compressed"
        )
    stated = whole_numbers(path, SIZE, fields.get(SIZE, ""))
    if stream.compressed and stated not in ([], [0], [stream.file_size]):
        raise VolumeError(
            f"{path}: {SIZE} is {stated}, but {stream.file_size} bytes are there; the file is truncated or "
            "damaged, copy or download it again"
        )
    return skipped


def is_true(path: Path, fields: Mapping[str, str], name: str, *, default: bool | None) -> bool:
    """True or False; without a default it must be said."""
    if name not in fields and default is not None:
        return default
    if (text := _field(path, fields, name)).lower() not in _TRUE:
        raise VolumeError(f"{path}: {name} is '{text}', True or False is allowed; export it again")
    return _TRUE[text.lower()]


def _field(path: Path, fields: Mapping[str, str], name: str) -> str:
    if not fields.get(name):
        raise VolumeError(f"{path}: the header has no {name}, without which its voxels mean nothing; export it again")
    return fields[name]
