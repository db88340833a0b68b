"""What is known of a file once it has been read whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from torchio_seg.volumes.geometry import Affine

Role = Literal["image", "label"]
Row = tuple[float, float, float, float]


@dataclass(frozen=True)
class Facts:
    """What one reading of a file found."""

    problem: str | None = None
    """Why the file cannot be trusted, without its path, of which there are several; then nothing else is known."""
    is_passing: bool = False
    """Whether the problem is the computer's, not the file's, so that it may be gone the next time."""
    shape: tuple[int, int, int] = (0, 0, 0)
    """Voxels along I J K."""
    num_channels: int = 0
    rows: tuple[Row, ...] = ()
    """Of the affine."""
    digest: str = ""
    """Of the shape and a regular sample of the voxels' values: equal volumes have equal digests."""
    lowest: tuple[float, ...] = ()
    """Of each channel."""
    highest: tuple[float, ...] = ()
    num_nonfinite: int = 0
    """Voxels of an image that are NaN or infinite; everything else was found with 0 in their place."""
    values: Mapping[int, int] | None = None
    """How many voxels hold each value, for a label map."""
    num_rounded: int = 0
    """Voxels of a label map that are only near a whole number, as a scale factor leaves them."""

    @property
    def affine(self) -> Affine:
        """From voxels to millimetres."""
        return np.array(self.rows)

    @property
    def num_voxels(self) -> int:
        """In all channels together."""
        i, j, k = self.shape
        return i * j * k * self.num_channels
