"""From a mask to closed contours that run along the edges of its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Vertex = tuple[int, int]


def trace(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Contours (points x 2, in pixels along both axes) around every component of a flat mask and every hole.

    Pixel centres are whole numbers, so the contours run half-way between them; filled by the even-odd rule they give
    the mask back exactly.
    """
    following: dict[Vertex, list[Vertex]] = {}
    for start, end in _edges(mask):
        following.setdefault(start, []).append(end)
    loops = []
    while following:
        start = next(iter(following))
        loop = [start]
        while (vertex := _step(following, loop[-1])) != start:
            loop.append(vertex)
        loops.append(_corners(loop) - 0.5)
    return loops


def _edges(mask: NDArray[np.bool_]) -> list[tuple[Vertex, Vertex]]:
    """Pixel edges with the mask on one side, directed so that it always lies to the same one."""
    padded = np.pad(mask, 1).astype(np.int8)
    edges: list[tuple[Vertex, Vertex]] = []
    for first, second in np.argwhere(np.diff(padded, axis=0)[:, 1:-1]):
        before, after = (int(first), int(second)), (int(first), int(second) + 1)
        edges.append((before, after) if padded[first, second + 1] else (after, before))
    for first, second in np.argwhere(np.diff(padded, axis=1)[1:-1]):
        before, after = (int(first), int(second)), (int(first) + 1, int(second))
        edges.append((after, before) if padded[first + 1, second] else (before, after))
    return edges


def _step(following: dict[Vertex, list[Vertex]], vertex: Vertex) -> Vertex:
    """Take one edge that leaves a vertex; where two do, either gives closed loops."""
    ends = following[vertex]
    end = ends.pop()
    if not ends:
        del following[vertex]
    return end


def _corners(loop: list[Vertex]) -> NDArray[np.float64]:
    """The vertices of a loop at which it turns."""
    points = np.array(loop, dtype=np.float64)
    turns = np.any(np.roll(points, 1, axis=0) + np.roll(points, -1, axis=0) != 2 * points, axis=1)
    corners: NDArray[np.float64] = points[turns]
    return corners
