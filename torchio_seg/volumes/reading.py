"""Read one volume so that what is returned is what was stored, or say why not.

Common readers fill what is missing with zeros, turn NaN into 0 and disagree about damaged headers. Here the whole
stream is read with its checksum, its length must be the described one, every voxel must be finite, and sform, qform
and pixdim must agree. Voxels are converted piece by piece: memory is one copy of the result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.geometry import is_sheared, spacing_of
from torchio_seg.volumes.opening import open_volume

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from torchio_seg.volumes.geometry import Affine, Array, Shape
    from torchio_seg.volumes.header import Geometry, Layout
    from torchio_seg.volumes.stream import ByteStream

_MAX_BYTES = 8 * 2**30
_ROUNDING = 0.01  # how far from an integer a label may lie
_MAX_ROUNDING = 0.05  # the same where the step of the scale factor is coarser
_NUM_EXAMPLES = 5
_MAX_LISTED = 20
_MOST_LABELS = 1000
_MOST_BINS = 1 << 16
_SAMPLE = 1 << 18
_PIECE_VOXELS = 1 << 18  # few enough to stay in the processor's cache


@dataclass(frozen=True)
class Volume:
    """One file's voxels and where they are."""

    path: Path
    array: Array
    """C I J K."""
    affine: Affine
    header: Any
    """What its format's header says, unrepaired; None for what came from no file."""
    num_zeroed: int = 0
    """Voxels that were NaN or infinite and were read as 0, because the reader was told so."""
    slope: float = 1.0
    """What stored numbers were multiplied by."""

    @property
    def shape(self) -> Shape:
        """Voxels along I J K."""
        _, first, second, third = self.array.shape
        return first, second, third

    @property
    def num_channels(self) -> int:
        return int(self.array.shape[0])

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """The lowest and the highest value of each channel."""
        return tuple((float(channel.min()), float(channel.max())) for channel in self.array)

    @property
    def samples(self) -> tuple[Array, ...]:
        """Of each channel some of its voxels, at equal distances in the order of the file."""
        return tuple(channel.ravel(order="K")[:: sample_every(channel.size)] for channel in self.array)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The voxel edges in millimetres."""
        return spacing_of(self.affine)

    @property
    def is_sheared(self) -> bool:
        """Whether the axes are not perpendicular, so that the volume has no voxel size to resample to."""
        return is_sheared(self.affine)


def sample_every(num_voxels: int) -> int:
    """The distance of voxels in a sample of so many."""
    return max(1, num_voxels // _SAMPLE)


def read_geometry(path: Path) -> Geometry:
    """What a volume is, from its header alone, held to the same rules as by `read`."""
    with open_volume(path) as (_, layout):
        return layout.geometry


def read(path: Path, *, max_bytes: int = _MAX_BYTES, nonfinite: Literal["refuse", "zero"] = "refuse") -> Volume:
    """Read an image: integers as stored, anything scaled or real as float32.

    A sheared volume is read; preprocessing refuses to resample it. Voxels that are NaN or infinite are an error, or
    become 0 and are counted.
    """
    with open_volume(path) as (stream, layout):
        _require_budget(stream, layout, max_bytes)
        skip_to_voxels(stream, layout)
        voxels, num_bad = _read_voxels(stream, layout)
        stream.finish(layout.content_size)
    if nonfinite == "refuse":
        require_finite(layout, num_bad)
    geometry = layout.geometry
    array = layout.arranged(voxels)
    return Volume(geometry.path, array, geometry.affine, layout.header, num_bad, layout.slope)


def read_label(path: Path, allowed: Collection[int], *, max_bytes: int = _MAX_BYTES) -> Volume:
    """Read a label map into the smallest unsigned type that holds every allowed value."""
    volume = read(path, max_bytes=max_bytes, nonfinite="zero")
    found = whole_values(volume)  # refuses what had to be read as 0
    if unknown := found.keys() - set(allowed):
        raise VolumeError(
            f"{volume.path}: holds the values {_some(found)}, but the labels are {sorted(allowed)}; "
            f"correct the file, or declare {_some(unknown)} as labels"
        )
    voxels = volume.array.ravel(order="K")  # a view: the file's own order
    labels = np.empty(voxels.size, np.min_scalar_type(max(allowed)))
    for piece, target in zip(_pieces(voxels), _pieces(labels), strict=True):
        target[...] = np.rint(piece) if piece.dtype.kind == "f" else piece
    return replace(volume, array=labels.reshape(volume.array.shape, order="F"))


def whole_values(volume: Volume) -> dict[int, int]:
    """How many voxels of a label map hold each value; an error where it is none: not whole numbers, or too many."""
    if volume.num_channels != 1:
        raise VolumeError(
            f"{volume.path}: {volume.num_channels} channels; a label map has one. Merge or pick before use"
        )
    voxels = volume.array.ravel(order="K")
    if volume.num_zeroed:
        raise VolumeError(
            f"{volume.path}: {not_finite(volume.num_zeroed, voxels.size)}; a label map holds whole numbers. Write 0 "
            "there, or a value to ignore"
        )
    _require_whole(volume, voxels)
    counts: dict[int, int] = {}
    for piece in _pieces(voxels):
        for value, count in counted(np.rint(piece) if piece.dtype.kind == "f" else piece):
            counts[value] = counts.get(value, 0) + count
        if len(counts) > _MOST_LABELS:
            raise VolumeError(
                f"{volume.path}: holds more than {_MOST_LABELS} different values; this is an image, not a label map"
            )
    return dict(sorted(counts.items()))


def counted(piece: Array) -> Iterator[tuple[int, int]]:
    """The values of a piece of whole numbers and how often each stands in it; near ones count fastest in bins."""
    low, high = int(piece.min()), int(piece.max())
    if low == high:
        return iter([(low, piece.size)])
    if high - low < _MOST_BINS:
        repeats = np.bincount((piece.astype(np.int64) - low) if low else piece.astype(np.int64, copy=False))
        return ((int(value) + low, int(repeats[value])) for value in np.flatnonzero(repeats))
    values, repeats = np.unique(piece, return_counts=True)
    return ((int(value), int(count)) for value, count in zip(values, repeats, strict=True))


def _require_budget(stream: ByteStream, layout: Layout, max_bytes: int) -> None:
    needed = layout.num_voxels * layout.dtype.itemsize
    if needed > max_bytes:
        raise VolumeError(
            f"{stream.path}: {layout.geometry.shape} voxels in {layout.geometry.num_channels} channels need "
            f"{needed / 2**30:.2f} GiB, the budget is {max_bytes / 2**30:.2f} GiB; crop the scan or raise the budget"
        )


def skip_to_voxels(stream: ByteStream, layout: Layout) -> None:
    """Pass over header extensions."""
    gap = bytearray(layout.offset - stream.position)
    stream.fill(memoryview(gap), layout.content_size)


def _read_voxels(stream: ByteStream, layout: Layout) -> tuple[Array, int]:
    """All voxels in file order, each piece converted and checked while it is in the cache; how many became 0."""
    try:
        voxels = np.empty(layout.num_voxels, layout.dtype)
    except MemoryError as error:
        raise VolumeError(f"{stream.path}: no memory for {layout.num_voxels} voxels; lower the budget") from error
    is_direct = layout.dtype == layout.stored and not layout.is_scaled
    num_bad = 0
    for piece in _pieces(voxels):
        raw = piece if is_direct else np.empty(piece.size, layout.stored)
        stream.fill(raw.view(np.uint8).data, layout.content_size)
        num_bad += convert(raw, piece, layout)
    return voxels, num_bad


def convert(raw: Array, target: Array, layout: Layout) -> int:
    """What is stored as values: scaled in double precision, rounded once; how many are not finite and became 0."""
    if raw is not target:
        with np.errstate(over="ignore", invalid="ignore"):
            target[...] = raw * np.float64(layout.slope) + layout.intercept if layout.is_scaled else raw
    if target.dtype.kind != "f" or (finite := np.isfinite(target)).all():
        return 0
    target[~finite] = 0
    return int(target.size - np.count_nonzero(finite))


def require_finite(layout: Layout, num_bad: int) -> None:
    """Refuse voxels that are no number."""
    if num_bad:
        raise VolumeError(
            f"{layout.geometry.path}: {not_finite(num_bad, layout.num_voxels)}; find out where they come from and "
            "replace them by a value that you choose, or read them as 0 (train: --set preprocessing.nonfinite=zero, "
            "predict: --nonfinite zero)"
        )


def not_finite(num_bad: int, num_voxels: int) -> str:
    """How many voxels are no number, in words."""
    return f"{num_bad} of {num_voxels} voxels {'is' if num_bad == 1 else 'are'} NaN, infinite or beyond float32"


def _require_whole(volume: Volume, voxels: Array) -> None:
    """Hold that every label is an integer, but for what a scale factor costs: labels 0..7 in 8 bits come as 0.988."""
    if voxels.dtype.kind != "f":
        return
    half_step = 0.51 * abs(volume.slope)
    rounding = half_step if _ROUNDING < half_step < _MAX_ROUNDING else _ROUNDING
    broken = [piece[np.abs(piece - np.rint(piece)) > rounding] for piece in _pieces(voxels)]
    if num_broken := sum(values.size for values in broken):
        examples = [round(float(value), 4) for value in np.unique(np.concatenate(broken))[:_NUM_EXAMPLES]]
        raise VolumeError(
            f"{volume.path}: {num_broken} of {voxels.size} voxels are no whole numbers, such as {examples}; this is "
            "an image or an interpolated label map. Give labels, resampled by nearest neighbour"
        )


def _pieces(voxels: Array) -> Iterator[Array]:
    """Views of consecutive voxels."""
    return (voxels[start : start + _PIECE_VOXELS] for start in range(0, voxels.size, _PIECE_VOXELS))


def _some(values: Collection[int]) -> list[int]:
    """The smallest few of many values."""
    return sorted(values)[:_MAX_LISTED]
