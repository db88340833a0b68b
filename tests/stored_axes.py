"""The way back that prediction takes: what is written into the turned view of an array lies in its stored axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchio_seg.volumes.geometry import Orientation


def undo(orientation: Orientation, turned: NDArray[Any]) -> NDArray[Any]:
    """C I J K from RAS axes back to stored ones."""
    i, j, k = turned.shape[1:]
    stored = np.empty((len(turned), *orientation.undo_shape((i, j, k))), turned.dtype)
    orientation.view(stored)[...] = turned
    return stored
