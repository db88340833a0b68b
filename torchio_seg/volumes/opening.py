"""Which reader a file is opened with: one table, by suffix."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.header import read_layout
from torchio_seg.volumes.metaimage import open_metaimage
from torchio_seg.volumes.names import METAIMAGE, NIFTI, NRRD, not_read, suffix
from torchio_seg.volumes.nrrd import open_nrrd
from torchio_seg.volumes.stream import open_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from torchio_seg.volumes.header import Layout
    from torchio_seg.volumes.stream import ByteStream

    Opened = tuple[ByteStream, Layout]
    """What is in a file, in order, and what its header says of it; the voxels begin at the layout's offset."""


@contextmanager
def _open_nifti(path: Path) -> Iterator[Opened]:
    with open_stream(path) as stream:
        yield stream, read_layout(stream)


_OPENERS: Mapping[str, Callable[[Path], AbstractContextManager[Opened]]] = {
    **dict.fromkeys(NIFTI, _open_nifti),
    **dict.fromkeys(NRRD, open_nrrd),
    **dict.fromkeys(METAIMAGE, open_metaimage),
}


def open_volume(path: Path) -> AbstractContextManager[Opened]:
    """A volume's file with its header checked, before any voxel is read."""
    path = Path(path)
    ending = suffix(path)
    if ending is None:
        raise VolumeError(not_read(path))
    return _OPENERS[ending](path)
