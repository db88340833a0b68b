"""A volume's file as strictly as `read` has it, of which no more than a slab is in memory at a time.

A plain file is read where it lies. What is compressed is inflated once, and its checksum and length are held: into
memory as it is stored where that is little, else into a file without a name. One pass over all voxels then tells what
must be known of them before anything is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, Self

import numpy as np

from torchio_seg.volumes.geometry import is_sheared, spacing_of
from torchio_seg.volumes.opening import open_volume
from torchio_seg.volumes.reading import require_finite, sample_every, skip_to_voxels
from torchio_seg.volumes.scratch import HELD_BYTES, room_for, scratch_file
from torchio_seg.volumes.source import SLAB_BYTES, Bytes, InMemory, OpenFile, Stored

if TYPE_CHECKING:
    from torchio_seg.volumes.geometry import Affine, Array, Shape
    from torchio_seg.volumes.header import Layout
    from torchio_seg.volumes.reading import Volume
    from torchio_seg.volumes.source import Plain, Source
    from torchio_seg.volumes.stream import ByteStream

Range = tuple[float, float]
_PIECE_BYTES = 1 << 20


class Image(Protocol):
    """What is known of a volume besides its voxels, whether these are in memory or not."""

    @property
    def path(self) -> Path: ...
    @property
    def shape(self) -> Shape: ...
    @property
    def num_channels(self) -> int: ...
    @property
    def affine(self) -> Affine: ...
    @property
    def spacing(self) -> tuple[float, float, float]: ...
    @property
    def num_zeroed(self) -> int: ...
    @property
    def ranges(self) -> tuple[Range, ...]: ...
    @property
    def samples(self) -> tuple[Array, ...]: ...


@dataclass(frozen=True)
class Scan:
    """A volume whose voxels are read when they are asked for."""

    path: Path
    source: Source
    """C I J K."""
    affine: Affine
    header: Any
    """What its format's header says, unrepaired."""
    ranges: tuple[Range, ...]
    """The lowest and the highest value of each channel."""
    samples: tuple[Array, ...]
    """Of each channel some of its voxels, at equal distances in the order of the file."""
    num_zeroed: int = 0
    """Voxels that are NaN or infinite and are read as 0."""

    @classmethod
    def of(cls, volume: Volume) -> Self:
        """One that is in memory already."""
        source = InMemory(volume.array)
        return cls(volume.path, source, volume.affine, volume.header, volume.ranges, volume.samples, volume.num_zeroed)

    @property
    def shape(self) -> Shape:
        """Voxels along I J K."""
        _, first, second, third = self.source.shape
        return first, second, third

    @property
    def num_channels(self) -> int:
        return self.source.shape[0]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The voxel edges in millimetres."""
        return spacing_of(self.affine)

    @property
    def is_sheared(self) -> bool:
        """Whether the axes are not perpendicular."""
        return is_sheared(self.affine)


@contextmanager
def open_scan(
    path: Path, *, nonfinite: Literal["refuse", "zero"] = "refuse", held_bytes: int = HELD_BYTES
) -> Iterator[Scan]:
    """The scan in a file, which stays open, with what it was inflated into, until the end of the block."""
    with ExitStack() as stack:
        with open_volume(path) as (stream, layout):
            if stream.compressed:
                source = Stored(stack.enter_context(_inflated(stream, layout, held_bytes)), layout, 0)
            else:
                source = Stored(
                    OpenFile(stack.enter_context(stream.path.open("rb"))), layout, stream.start + layout.offset
                )
            ranges, samples, num_bad = _survey(source)
        if nonfinite == "refuse":
            require_finite(layout, num_bad)
        geometry = layout.geometry
        yield Scan(geometry.path, source, geometry.affine, layout.header, ranges, samples, num_bad)


@contextmanager
def spooled(layout: Layout, planes: Iterable[tuple[int, Array]]) -> Iterator[Scan]:
    """A scan of one channel whose planes J I come one by one, in any order, in a file without a name until the end."""
    geometry, num_bytes = layout.geometry, layout.content_size
    with scratch_file(num_bytes, str(geometry.path)) as file:
        for place, plane in planes:
            piece = np.ascontiguousarray(plane, layout.stored).data.cast("B")
            file.seek(place * len(piece))
            with room_for(num_bytes, str(geometry.path)):
                while piece:
                    piece = piece[file.write(piece) :]
        source = Stored(OpenFile(file), layout, 0)
        ranges, samples, _ = _survey(source)
        yield Scan(geometry.path, source, geometry.affine, layout.header, ranges, samples)


@contextmanager
def _inflated(stream: ByteStream, layout: Layout, held_bytes: int) -> Iterator[Plain]:
    """All voxels as they are stored."""
    skip_to_voxels(stream, layout)
    size = layout.content_size - layout.offset
    if size <= held_bytes:
        yield Bytes(_content(stream, layout, size))
        return
    with scratch_file(size, str(stream.path)) as file:
        _copy(stream, layout, size, file)
        yield OpenFile(file)


def _content(stream: ByteStream, layout: Layout, size: int) -> memoryview:
    content = memoryview(bytearray(size))
    for first in range(0, size, _PIECE_BYTES):
        stream.fill(content[first : first + _PIECE_BYTES], layout.content_size)
    stream.finish(layout.content_size)
    return content


def _copy(stream: ByteStream, layout: Layout, size: int, file: BinaryIO) -> None:
    buffer = memoryview(bytearray(_PIECE_BYTES))
    for first in range(0, size, _PIECE_BYTES):
        piece = buffer[: size - first]
        stream.fill(piece, layout.content_size)
        with room_for(size, str(stream.path)):
            while piece:
                piece = piece[file.write(piece) :]
    stream.finish(layout.content_size)


def _survey(source: Stored) -> tuple[tuple[Range, ...], tuple[Array, ...], int]:
    """Ranges and samples of the channels, and how many voxels are not finite."""
    channels, i, j, k = source.shape
    every = sample_every(i * j * k)
    step = max(1, SLAB_BYTES // (4 * i * j * channels))
    ranges = [(np.inf, -np.inf)] * channels
    samples: list[list[Array]] = [[] for _ in range(channels)]
    num_bad = 0
    for first in range(0, k, step):
        slab, bad = source.counted(2, first, min(first + step, k))
        num_bad += bad
        for channel, planes in enumerate(slab):
            low, high = ranges[channel]
            ranges[channel] = min(low, float(planes.min())), max(high, float(planes.max()))
            part = planes.ravel(order="F")[-first * i * j % every :: every]
            samples[channel].append(part.copy())  # a view would keep all of the slab
    return tuple(ranges), tuple(np.concatenate(parts) for parts in samples), num_bad
