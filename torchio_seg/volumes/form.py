"""The bytes of a file around its voxels, of whatever format."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from torchio_seg.volumes.geometry import Affine

SIZE_DIGITS = 16
"""Room in a header for a size that is known when all is written."""


@dataclass(frozen=True)
class Form:
    """What a file will be besides its voxels."""

    shape: tuple[int, ...]
    """I J K, or I J K C."""
    dtype: np.dtype[Any]
    affine: Affine
    """As the header says it."""
    plain: bytes
    """What comes first, as it is."""
    begin: bytes = b""
    """What comes before the voxels and is wrapped with them."""
    wbits: int | None = None
    """How zlib wraps them; None: as they are."""
    channels_first: bool = False
    """Whether a voxel's channels stand side by side, instead of one whole channel after the other."""
    size_at: int | None = None
    """Where the header says how many bytes are wrapped, if it does."""

    @property
    def voxels_size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def content_size(self) -> int:
        """Of what is wrapped, before it is."""
        return len(self.begin) + self.voxels_size

    def plain_for(self, num_wrapped: int) -> bytes:
        """What comes first, once it is known how much follows."""
        if self.size_at is None:
            return self.plain
        size = f"{num_wrapped:{SIZE_DIGITS}d}".encode("ascii")
        return self.plain[: self.size_at] + size + self.plain[self.size_at + SIZE_DIGITS :]
