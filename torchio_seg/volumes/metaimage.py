"""MetaImage files: .mha with its voxels, or .mhd with them in another file.

https://docs.itk.org/en/latest/learn/metaio.html describes the format. What is read: raw and zlib, three axes, and
channels side by side in each voxel or as a fourth axis. What is written: .mha, zlib, channels side by side.
"""

from __future__ import annotations

import zlib
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from torchio_seg.volumes.content import LEVELS, planes
from torchio_seg.volumes.geometry import spacing_of
from torchio_seg.volumes.metaimage_header import LAST, LOCAL, NAMES, SIZE, MetaHeader, is_true, layout_of, read_fields
from torchio_seg.volumes.stream import ZLIB, ByteStream, open_file
from torchio_seg.volumes.text_header import LPS, as_text, beside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torchio_seg.volumes.geometry import Affine, Array
    from torchio_seg.volumes.header import Layout

_DIGITS = 16  # room for a size that is known when all is written


def header_at(_: Array, affine: Affine) -> MetaHeader:
    """A new header."""
    spacing = np.array(spacing_of(affine))
    lps = np.array(LPS)[:, None] * affine[:3]
    return MetaHeader(spacing, lps[:, :3] / spacing, lps[:, 3])


@contextmanager
def open_metaimage(path: Path) -> Iterator[tuple[ByteStream, Layout]]:
    """The voxels of a file as they come, and what its header says of them."""
    with ExitStack() as stack:
        file = stack.enter_context(open_file(path))
        fields = read_fields(file, path)
        source = path
        if fields[LAST].upper() != LOCAL:
            source = beside(path, fields[LAST])
            file = stack.enter_context(open_file(source))
        compressed = is_true(path, fields, "CompressedData", default=False)
        stream = ByteStream(file, source, compressed=compressed, start=file.tell(), wbits=ZLIB)
        layout = layout_of(path, fields, stream)
        stream.require_size(layout.content_size)
        yield stream, layout


def write_metaimage(file: BinaryIO, stored: Array, header: MetaHeader) -> None:
    """A whole file of voxels I J K or I J K C; how many bytes they take is filled in at the end."""
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        SIZE: " " * _DIGITS,
        "TransformMatrix": " ".join(as_text(header.directions.T)),
        "Offset": " ".join(as_text(header.offset)),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": " ".join(as_text(header.spacing)),
        "DimSize": " ".join(map(str, stored.shape[:3])),
        "ElementNumberOfChannels": str(stored.shape[3] if stored.ndim == 4 else 1),
        "ElementType": NAMES[stored.dtype.str[1:]],
        LAST: LOCAL,
    }
    head = "".join(f"{name} = {value}\n" for name, value in fields.items())
    file.write(head.encode("ascii"))
    squeeze = zlib.compressobj(LEVELS[stored.itemsize])
    size = sum(file.write(squeeze.compress(plane)) for plane in planes(stored, channels_first=True))
    size += file.write(squeeze.flush())
    file.seek(head.index(SIZE) + len(SIZE) + len(" = "))
    file.write(f"{size:{_DIGITS}d}".encode("ascii"))
