"""Which pixels lie inside polygons: those whose centre does, by the even-odd rule over all polygons at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from torchio_seg.volumes.geometry import Array


def fill(polygons: Sequence[Array], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The mask (I J) of closed polygons (points x 2); pixel centres are whole numbers along both axes.

    Every line of centres along I is cut by the edges; a centre is inside where an odd number of cuts lie before it.
    An edge owns the end with the lower J, and a cut that meets a centre lies before it, so that polygons that share
    an edge share no pixel.
    """
    low, high = _edges(polygons)
    first = np.clip(np.ceil(low[:, 1]), 0, shape[1]).astype(np.int64)
    last = np.clip(np.ceil(high[:, 1]), 0, shape[1]).astype(np.int64)
    counts = last - first
    edge = np.repeat(np.arange(len(low)), counts)
    line = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    slope = (high[edge, 0] - low[edge, 0]) / (high[edge, 1] - low[edge, 1])
    cut = low[edge, 0] + slope * (line - low[edge, 1])
    place = np.clip(np.ceil(cut), 0, shape[0]).astype(np.int64)
    top, bottom = first.min(), last.max()
    width = shape[0] + 1
    cuts = np.bincount((line - top) * width + place, minlength=(bottom - top) * width)
    inside = np.zeros(shape, bool)
    inside[:, top:bottom] = (cuts.reshape(bottom - top, width)[:, :-1].cumsum(axis=1) % 2 == 1).T
    return inside


def _edges(polygons: Sequence[Array]) -> tuple[Array, Array]:
    """Both ends of every edge, the lower along J first: an edge that is walked both ways cuts at the same place."""
    starts = np.concatenate(list(polygons)).astype(np.float64)
    ends = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons]).astype(np.float64)
    upwards = (starts[:, 1] <= ends[:, 1])[:, None]
    return np.where(upwards, starts, ends), np.where(upwards, ends, starts)
