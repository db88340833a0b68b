"""Headers that are lines of text, as NRRD and MetaImage have them: their lines, their numbers, the file they name."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.names import DETACHED, listed, suffix

if TYPE_CHECKING:
    from collections.abc import Callable

    from torchio_seg.volumes.geometry import Affine, Array

LPS = (-1, -1, 1)
"""From millimetres left, back and up to those right, front and up, or the other way."""
_MOST_BYTES = 1 << 20


def read_lines(file: BinaryIO, path: Path, is_last: Callable[[str], bool]) -> list[str]:
    """The lines of a header with the last one, which voxels follow; without it, all that the file has."""
    lines: list[str] = []
    left = _MOST_BYTES
    while raw := file.readline(left + 1):
        left -= len(raw)
        if left < 0:
            raise VolumeError(f"{path}: its header does not end within {_MOST_BYTES} bytes; the file is damaged")
        lines.append(raw.decode("utf-8", "surrogateescape").rstrip("\r\n"))
        if is_last(lines[-1]):
            break
    return lines


def whole_numbers(path: Path, field: str, text: str) -> list[int]:
    """Numbers that count something."""
    try:
        return [int(word) for word in text.split()]
    except ValueError as error:
        raise VolumeError(f"{path}: '{field}' is '{text}', where whole numbers belong; export it again") from error


def whole_number(path: Path, field: str, text: str) -> int:
    """One of them."""
    numbers = whole_numbers(path, field, text)
    if len(numbers) != 1:
        raise VolumeError(f"{path}: '{field}' is '{text}', where one number belongs; export it again")
    return numbers[0]


def real_numbers(path: Path, field: str, text: str, count: int) -> Array:
    """So many finite numbers."""
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise VolumeError(f"{path}: '{field}' is '{text}', where {count} finite numbers belong; export it again")
    return np.array(numbers)


def require_sizes(path: Path, sizes: list[int]) -> None:
    """Hold that every axis has voxels."""
    if min(sizes) < 1:
        raise VolumeError(f"{path}: the header's dimensions {sizes} are impossible; export it again")


def beside(path: Path, name: str) -> Path:
    """The file of voxels that a header names, which must lie where the header does, or below."""
    if suffix(path) not in DETACHED:
        raise VolumeError(
            f"{path}: its voxels are in another file, '{name}', which only {listed(DETACHED)} may name; rename it, or "
            "write it again as one file"
        )
    if name.split()[:1] == ["LIST"] or "%" in name:
        raise VolumeError(f"{path}: its voxels are in several files ('{name}'), which is not supported; write one file")
    relative = PurePosixPath(name.replace("\\", "/"))
    has_drive = len(name) > 1 and name[1] == ":"
    if relative.is_absolute() or has_drive or ".." in relative.parts or "\0" in name or not relative.parts:
        raise VolumeError(f"{path}: its voxels are said to be in '{name}'; they must lie in the folder of the header")
    target = path.parent.joinpath(*relative.parts)
    if not target.resolve().is_relative_to(path.parent.resolve()):
        raise VolumeError(f"{path}: {target} is a link that leaves the folder; put the file itself there")
    if not target.is_file():
        raise VolumeError(f"{path}: its voxels are said to be in {target}, which is not there; copy that file too")
    return target


def as_text(numbers: Affine) -> list[str]:
    """Numbers as text that reads back as exactly these."""
    return [repr(float(number) + 0.0) for number in numbers.ravel()]  # + 0.0: no -0.0
