"""NRRD files: .nrrd with its voxels, or .nhdr with them in another file.

http://teem.sourceforge.net/nrrd/format.html describes the format. What is read: raw and gzip, three axes in space and
at most one axis of channels, before or after them. What is written: .nrrd, gzip, channels first.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from torchio_seg.volumes.form import Form
from torchio_seg.volumes.nrrd_header import SPACES, TYPES, NrrdHeader, is_compressed, layout_of, read_fields
from torchio_seg.volumes.stream import GZIP, ByteStream, open_file
from torchio_seg.volumes.text_header import as_text, beside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torchio_seg.volumes.geometry import Affine
    from torchio_seg.volumes.header import Layout


@contextmanager
def open_nrrd(path: Path) -> Iterator[tuple[ByteStream, Layout]]:
    """The voxels of a file as they come, and what its header says of them."""
    with ExitStack() as stack:
        file = stack.enter_context(open_file(path))
        fields = read_fields(file, path)
        compressed = is_compressed(path, fields)
        source = path
        if (name := fields.get("data file")) is not None:
            source = beside(path, name)
            file = stack.enter_context(open_file(source))
        stream = ByteStream(file, source, compressed=compressed, start=file.tell(), wbits=GZIP)
        layout = layout_of(path, fields, stream)
        stream.require_size(layout.content_size)
        yield stream, layout


def form_at(shape: Sequence[int], dtype: np.dtype[Any], affine: Affine) -> Form:
    """A new file, in the directions that most programs write."""
    return form_like(shape, dtype, NrrdHeader("left-posterior-superior", affine))


def form_like(shape: Sequence[int], dtype: np.dtype[Any], header: NrrdHeader) -> Form:
    """A file of I J K or I J K C where another lies."""
    signs = np.array(SPACES[header.space])[:, None]
    *directions, origin = (f"({','.join(as_text(column))})" for column in (signs * header.affine[:3]).T)
    channels = shape[3:]
    fields = {
        "type": TYPES[dtype.str[1:]][-1],
        "dimension": str(len(shape)),
        "space": header.space,
        "sizes": " ".join(map(str, (*channels, *shape[:3]))),
        "space directions": " ".join((*("none" for _ in channels), *directions)),
        "kinds": " ".join((*("list" for _ in channels), "domain", "domain", "domain")),
        "endian": "little",
        "encoding": "gzip",
        "space origin": origin,
    }
    lines = ["NRRD0004", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    plain = "\n".join(lines).encode("ascii")
    return Form(tuple(shape), dtype, header.affine, plain, wbits=GZIP, channels_first=True)
