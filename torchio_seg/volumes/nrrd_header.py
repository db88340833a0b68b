"""The header of an NRRD file, held to rules.

http://teem.sourceforge.net/nrrd/format.html describes the format. What is read: raw and gzip, three axes in space and
at most one axis of channels, before or after them.
"""

from __future__ import annotations

import math
import re
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

    Vector = tuple[float, float, float]

SPACES = {
    "left-posterior-superior": LPS,
    "left-anterior-superior": (-1, 1, 1),
    "right-anterior-superior": (1, 1, 1),
}
"""What each direction of a space is worth in right, front and up."""
_SHORT = {"lps": "left-posterior-superior", "las": "left-anterior-superior", "ras": "right-anterior-superior"}
TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16_t", "int16"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_CODES = {name: code for code, names in TYPES.items() for name in names}
_ENCODINGS = {"raw": False, "gzip": True, "gz": True}
_ENDIAN = {"little": "<", "big": ">"}
_CHANNELS = {"list", "vector", "covariant-vector", "2-vector", "3-vector", "4-vector", "time", "domain", "stub"}
_ALIASES = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}
_UNKNOWN = {"", "???", "none"}
_MILLIMETRES = {"", "mm", "millimeter", "millimeters", "???"}
_MOST_SKIPPED = 1 << 24
_OWN_KEY = re.compile(r"[^:]*(:[^:=][^:]*)*:=")
_NUMBER = r"[^\s(),]+"
_VECTOR = re.compile(rf"\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)|none")


@dataclass(frozen=True)
class NrrdHeader:
    """What outputs have in common with the file that they are of."""

    space: str
    """In whose directions the file gives places."""
    affine: Affine
    """To millimetres right, front and up."""


def read_fields(file: BinaryIO, path: Path) -> dict[str, str]:
    """The fields by their names in small letters; keys with values of the user's own are passed over."""
    first, *lines = read_lines(file, path, lambda line: not line) or [""]
    if re.fullmatch(r"NRRD000[1-5]", first) is None:
        raise VolumeError(
            f"{path}: not NRRD: the file begins with {first[:20]!r}, an NRRD file with NRRD0001 to NRRD0005; "
            "convert the scan again"
        )
    fields: dict[str, str] = {}
    for line in lines:
        if not line or line.startswith("#") or _OWN_KEY.match(line):
            continue
        name, separator, value = line.partition(":")
        name = _ALIASES.get(name.strip().lower(), name.strip().lower())
        if not separator or name in fields:
            what = "comes twice" if separator else "is no 'field: value'"
            raise VolumeError(f"{path}: the header's line '{line[:60]}' {what}; the header is damaged, export it again")
        fields[name] = value.strip()
    if "data file" not in fields and (not lines or lines[-1]):
        raise VolumeError(f"{path}: truncated: it ends within the header; copy or download it again")
    return fields


def is_compressed(path: Path, fields: Mapping[str, str]) -> bool:
    """Whether its voxels are, once their encoding is one that is read."""
    encoding = _field(path, fields, "encoding").lower()
    if encoding not in _ENCODINGS:
        raise VolumeError(f"{path}: its encoding is {encoding}; raw and gzip are read. Write it again so")
    if fields.get("line skip", "0") != "0":
        raise VolumeError(f"{path}: 'line skip' is {fields['line skip']}; only bytes can be skipped. Write it again")
    return _ENCODINGS[encoding]


def layout_of(path: Path, fields: Mapping[str, str], stream: ByteStream) -> Layout:
    """What the voxels in the stream are and where, checked."""
    sizes = whole_numbers(path, "sizes", _field(path, fields, "sizes"))
    axes = _axes(path, fields, sizes)
    channel_axis = axes.index(None) if None in axes else None
    num_channels = 1 if channel_axis is None else sizes.pop(channel_axis)
    shape: Shape = (sizes[0], sizes[1], sizes[2])
    directions = np.array([axis for axis in axes if axis is not None]).T
    header = NrrdHeader(*_placed(path, fields, directions))
    stored = _stored_type(path, fields)
    geometry = Geometry(path, shape, num_channels, header.affine, stored.newbyteorder("="))
    offset = _offset(path, fields, stream, math.prod(shape) * num_channels * stored.itemsize)
    return Layout(geometry, header, stored, offset, slope=1, intercept=0, channels_first=channel_axis == 0)


def _axes(path: Path, fields: Mapping[str, str], sizes: list[int]) -> list[Vector | None]:
    """The step along each axis in the file's own space, None for the axis of channels."""
    require_sizes(path, sizes)
    if str(len(sizes)) != _field(path, fields, "dimension"):
        raise VolumeError(f"{path}: dimension {fields['dimension']} but sizes {sizes}; the header is damaged")
    text = _field(path, fields, "space directions", "left and right are unknown without it")
    found = list(_VECTOR.finditer(text))
    if _VECTOR.sub("", text).strip() or len(found) != len(sizes):
        raise VolumeError(
            f"{path}: 'space directions' is '{text}'; a vector of three numbers or none belongs to each of "
            f"{len(sizes)} axes"
        )
    axes = [_numbers(path, "space directions", match) if match[1] else None for match in found]
    in_space = [number for number, axis in enumerate(axes) if axis is not None]
    if len(in_space) != 3 or len(axes) > 4 or in_space not in ([0, 1, 2], [1, 2, 3]):
        raise VolumeError(
            f"{path}: sizes {sizes} with 'space directions' {text}; a volume has three axes in space, and may have one "
            "of channels before or after them. Split or squeeze further axes before use"
        )
    _require_kinds(path, fields, axes)
    return axes


def _require_kinds(path: Path, fields: Mapping[str, str], axes: list[Vector | None]) -> None:
    """Hold that what is not in space are channels: no colours, complex numbers or tensors."""
    kinds = fields.get("kinds", "").lower().split()
    for kind, axis in zip(kinds, axes, strict=False):
        if axis is None and kind not in _CHANNELS | _UNKNOWN:
            raise VolumeError(
                f"{path}: an axis of kind {kind}; of an axis beside space, only channels are read: "
                "list, vector or time. Convert it to channels"
            )


def _placed(path: Path, fields: Mapping[str, str], directions: Array) -> tuple[str, Affine]:
    """The name of the file's space, and the affine to millimetres right, front and up."""
    space = _field(path, fields, "space", "left and right are unknown without it").lower()
    space = _SHORT.get(space, space)
    if space not in SPACES:
        raise VolumeError(f"{path}: its space is '{space}'; {', '.join(SPACES)} are read. Convert it to one of these")
    units = f"{fields.get('space units', '')} {fields.get('units', '')}"
    if odd := set(re.findall(r'"([^"]*)"', units)) - _MILLIMETRES:
        raise VolumeError(f"{path}: its units are {', '.join(sorted(odd))}; only mm are read. Convert it")
    if _has_numbers(fields.get("spacings", "")):
        raise VolumeError(f"{path}: has spacings and space directions, which may differ; keep the latter")
    origin = _field(path, fields, "space origin")
    match = _VECTOR.fullmatch(origin)
    if match is None or match[1] is None:
        raise VolumeError(f"{path}: 'space origin' is '{origin}', where three numbers in brackets belong")
    affine = np.eye(4)
    affine[:3, :3] = directions
    affine[:3, 3] = _numbers(path, "space origin", match)
    affine[:3] *= np.array(SPACES[space])[:, None]
    affine[:3] += 0.0  # no -0.0
    if is_degenerate(affine):
        raise VolumeError(f"{path}: 'space directions' {directions.T.tolist()} give voxels no place; export it again")
    return space, affine


def _stored_type(path: Path, fields: Mapping[str, str]) -> np.dtype[Any]:
    name = _field(path, fields, "type").lower()
    if name not in _CODES:
        raise VolumeError(f"{path}: voxels of type '{name}'; integers and real numbers are read, convert it to these")
    code = _CODES[name]
    if code.endswith("1"):
        return np.dtype(code)
    endian = _field(path, fields, "endian").lower()
    if endian not in _ENDIAN:
        raise VolumeError(f"{path}: 'endian' is '{endian}', little or big is allowed; export it again")
    return np.dtype(_ENDIAN[endian] + code)


def _offset(path: Path, fields: Mapping[str, str], stream: ByteStream, size: int) -> int:
    """How many bytes before the voxels are passed over; -1 says that the voxels end the file."""
    text = fields.get("byte skip", "0")
    skipped = whole_number(path, "byte skip", text)
    if skipped == -1 and not stream.compressed:
        skipped = max(0, stream.file_size - size)
    if not 0 <= skipped <= _MOST_SKIPPED:
        raise VolumeError(f"{path}: 'byte skip' is {text}; 0 to {_MOST_SKIPPED} are allowed, and -1 where it is raw")
    return skipped


def _field(path: Path, fields: Mapping[str, str], name: str, why: str = "it is needed") -> str:
    if not fields.get(name):
        raise VolumeError(f"{path}: the header has no '{name}'; {why}. Export it again with one")
    return fields[name]


def _numbers(path: Path, field: str, match: re.Match[str]) -> Vector:
    first, second, third = real_numbers(path, field, " ".join(match.groups()), 3).tolist()
    return first, second, third


def _has_numbers(text: str) -> bool:
    return any(word.lower() != "nan" for word in text.split())
