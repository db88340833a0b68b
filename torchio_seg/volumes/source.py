"""Voxels that are read a slab at a time: from memory, from a file, or from several as channels of one volume."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.reading import convert

if TYPE_CHECKING:
    from torchio_seg.volumes.geometry import Array, Orientation
    from torchio_seg.volumes.header import Layout

SLAB_BYTES = 8 * 2**20
"""Read at a time."""


class Source(Protocol):
    """A volume C I J K, in memory or not."""

    @property
    def shape(self) -> tuple[int, ...]:
        """C I J K."""

    def read(self, axis: int, first: int, end: int) -> Array:
        """C I J K, whole but along one axis of I J K."""


@dataclass(frozen=True)
class InMemory:
    """An array C I J K."""

    array: Array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def read(self, axis: int, first: int, end: int) -> Array:
        """A view."""
        view: Array = self.array[(slice(None),) * (1 + axis) + (slice(first, end),)]
        return view


@dataclass(frozen=True)
class Joined:
    """The channels of several sources of one shape."""

    parts: tuple[Source, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(part.shape[0] for part in self.parts), *self.parts[0].shape[1:])

    def read(self, axis: int, first: int, end: int) -> Array:
        """Of all parts."""
        return np.concatenate([part.read(axis, first, end) for part in self.parts])


class Plain(Protocol):
    """Bytes of which any can be read."""

    def fill(self, view: memoryview, start: int) -> int:
        """As many bytes from `start` on as there are, and how many these were."""


@dataclass(frozen=True)
class Bytes:
    """In memory."""

    content: memoryview

    def fill(self, view: memoryview, start: int) -> int:
        """Copied."""
        piece = self.content[start : start + len(view)]
        view[: len(piece)] = piece
        return len(piece)


@dataclass(frozen=True)
class OpenFile:
    """On the disk. They are read, not mapped: what is mapped counts as memory of the process."""

    file: BinaryIO

    def fill(self, view: memoryview, start: int) -> int:
        """By as many calls as the system wants."""
        done = 0
        while done < len(view) and (count := os.preadv(self.file.fileno(), [view[done:]], start + done)):
            done += count
        return done


@dataclass(frozen=True)
class Stored:
    """The voxels of a file, as `read` has them, of which a slab is in memory at a time."""

    plain: Plain
    layout: Layout
    start: int
    """Of the first voxel among the bytes."""

    @property
    def shape(self) -> tuple[int, ...]:
        geometry = self.layout.geometry
        return (geometry.num_channels, *geometry.shape)

    def read(self, axis: int, first: int, end: int) -> Array:
        """Voxels that are NaN or infinite are 0."""
        return self.counted(axis, first, end)[0]

    def counted(self, axis: int, first: int, end: int) -> tuple[Array, int]:
        """The slab, and how many voxels of it were NaN or infinite and are 0."""
        channels, i, j, k = self.shape
        sizes = [i, j, k]
        sizes[axis] = end - first
        result = np.empty((channels, *sizes[::-1]), self.layout.dtype).transpose(0, 3, 2, 1)  # as it lies in the file
        low, high = (first, end) if axis == 2 else (0, k)
        together, times = (channels, 1) if self.layout.channels_first else (1, channels)
        step = max(1, SLAB_BYTES // (together * i * j * self.layout.stored.itemsize))
        num_bad = 0
        for channel in range(times):
            targets = result if times == 1 else result[channel : channel + 1]
            for plane in range(low, high, step):
                last = min(plane + step, high)
                raw = self._planes(channel, plane, last)
                raw = raw if axis == 2 else raw.swapaxes(0, 1 + axis)[first:end].swapaxes(0, 1 + axis)
                num_bad += convert(raw, targets[..., plane - low : last - low], self.layout)
        return result, num_bad

    def _planes(self, channel: int, first: int, end: int) -> Array:
        """C I J k as stored: one channel, or all where they stand side by side."""
        i, j, k = self.layout.geometry.shape
        together = self.layout.geometry.num_channels if self.layout.channels_first else 1
        raw = np.empty((end - first, j, i, together), self.layout.stored)
        view = raw.reshape(-1).view(np.uint8).data
        start = self.start + ((channel * k) + first) * together * i * j * self.layout.stored.itemsize
        if self.plain.fill(view, start) < len(view):
            raise VolumeError(f"{self.layout.geometry.path}: became shorter while it was read; copy it again")
        return raw.T


@dataclass(frozen=True)
class Turned:
    """A source on other axes."""

    source: Source
    orientation: Orientation

    @property
    def shape(self) -> tuple[int, ...]:
        channels, i, j, k = self.source.shape
        return (channels, *self.orientation.apply_shape((i, j, k)))

    def read(self, axis: int, first: int, end: int) -> Array:
        """From the stored axis that has become this one."""
        stored = self.orientation.axes[axis]
        if self.orientation.flips[stored]:
            size = self.source.shape[1 + stored]
            first, end = size - end, size - first
        return self.orientation.view(self.source.read(stored, first, end))


def as_source(image: Source | Array) -> Source:
    """An array C I J K as what is read a slab at a time."""
    return InMemory(image) if isinstance(image, np.ndarray) else image
