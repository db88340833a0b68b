"""MetaImage files: .mha with its voxels, or .mhd with them in another file.

https://docs.itk.org/en/latest/learn/metaio.html describes the format. What is read: raw and zlib, three axes, and
channels side by side in each voxel or as a fourth axis. What is written: .mha, zlib, channels side by side.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from torchio_seg.volumes.form import SIZE_DIGITS, Form
from torchio_seg.volumes.geometry import spacing_of
from torchio_seg.volumes.metaimage_header import LAST, LOCAL, NAMES, SIZE, MetaHeader, is_true, layout_of, read_fields
from torchio_seg.volumes.stream import ZLIB, ByteStream, open_file
from torchio_seg.volumes.text_header import LPS, as_text, beside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torchio_seg.volumes.geometry import Affine
    from torchio_seg.volumes.header import Layout


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


def form_at(shape: Sequence[int], dtype: np.dtype[Any], affine: Affine) -> Form:
    """A new file."""
    spacing = np.array(spacing_of(affine))
    lps = np.array(LPS)[:, None] * affine[:3]
    return form_like(shape, dtype, MetaHeader(spacing, lps[:, :3] / spacing, lps[:, 3]))


def form_like(shape: Sequence[int], dtype: np.dtype[Any], header: MetaHeader) -> Form:
    """A file of I J K or I J K C where another lies."""
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        SIZE: " " * SIZE_DIGITS,
        "TransformMatrix": " ".join(as_text(header.directions.T)),
        "Offset": " ".join(as_text(header.offset)),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": " ".join(as_text(header.spacing)),
        "DimSize": " ".join(map(str, shape[:3])),
        "ElementNumberOfChannels": str(shape[3] if len(shape) == 4 else 1),
        "ElementType": NAMES[dtype.str[1:]],
        LAST: LOCAL,
    }
    plain = "".join(f"{name} = {value}\n" for name, value in fields.items()).encode("ascii")
    size_at = plain.index(SIZE.encode("ascii")) + len(SIZE) + len(" = ")
    return Form(tuple(shape), dtype, header.affine, plain, wbits=ZLIB, channels_first=True, size_at=size_at)
