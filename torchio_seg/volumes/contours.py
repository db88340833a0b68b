"""From a flat mask to closed contours that run along the edges of its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

Vertex = tuple[int, int]
"""A corner of pixels: pixel (i, j) has those from (i, j) to (i + 1, j + 1)."""
Edge = tuple[Vertex, Vertex]
Loop = list[Vertex]


def trace(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Contours (points x 2, in pixels along both axes) around every part of a flat mask and every hole.

    Parts are pixels that share edges. Pixel centres are whole numbers, so the contours run half-way between them;
    filled by the even-odd rule they give the mask back exactly.
    """
    return [_corners(loop) for loop in _loops(mask)]


def trace_keyholed(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """One contour for each part of a flat mask, its holes cut out of it.

    A channel without width leads from the contour to each hole, walked there and back, so that one contour encloses
    what it should by the even-odd rule and by that of winding numbers alike.
    """
    loops = _loops(mask)
    outer, holes = [loop for loop in loops if _area(loop) > 0], [loop for loop in loops if _area(loop) < 0]
    owner = {vertex: number for number, loop in enumerate(outer) for vertex in loop}
    doors: set[Vertex] = set()
    for hole in sorted(map(_from_lowest, holes)):  # what the channel meets, another hole perhaps, has its own already
        door = hole[0]
        wall = next((i, door[1]) for i in range(door[0] - 1, -1, -1) if (i, door[1]) in owner)
        loop = outer[owner[wall]]
        at = loop.index(wall)
        loop[at:at] = [wall, *hole, door]
        owner |= dict.fromkeys(hole, owner[wall])
        doors |= {wall, door}
    return [_corners(loop, doors) for loop in outer]


def _loops(mask: NDArray[np.bool_]) -> list[Loop]:
    """All vertices of every contour in turn: outer ones have a positive area, holes a negative one."""
    edges = _edges(mask)
    following: dict[Vertex, list[Vertex]] = {}
    for start, end in edges:
        following.setdefault(start, []).append(end)
    left = dict.fromkeys(edges)
    loops = []
    while left:
        edge = next(iter(left))
        loop = []
        while edge in left:
            del left[edge]
            loop.append(edge[0])
            edge = edge[1], _next(edge, following[edge[1]])
        loops.append(loop)
    return loops


def _edges(mask: NDArray[np.bool_]) -> list[Edge]:
    """Pixel edges with the mask on one side, directed so that it always lies to the left, I to the right and J up."""
    padded = np.pad(mask, 1).astype(np.int8)
    edges: list[Edge] = []
    for first, second in np.argwhere(np.diff(padded, axis=0)[:, 1:-1]).tolist():
        before, after = (first, second), (first, second + 1)
        edges.append((before, after) if padded[first, second + 1] else (after, before))
    for first, second in np.argwhere(np.diff(padded, axis=1)[1:-1]).tolist():
        before, after = (first, second), (first + 1, second)
        edges.append((after, before) if padded[first + 1, second] else (before, after))
    return edges


def _next(edge: Edge, ends: Collection[Vertex]) -> Vertex:
    """Where a contour goes on after an edge: where two pixels meet in a corner alone, it stays with its own."""
    if len(ends) == 1:
        return next(iter(ends))
    (i, j), (next_i, next_j) = edge
    return next_i - (next_j - j), next_j + (next_i - i)


def _area(loop: Loop) -> float:
    points = np.array(loop, np.float64)
    following = np.roll(points, -1, axis=0)
    return float((points[:, 0] * following[:, 1] - points[:, 1] * following[:, 0]).sum()) / 2


def _from_lowest(loop: Loop) -> Loop:
    """The same loop, from its lowest vertex on."""
    start = loop.index(min(loop))
    return loop[start:] + loop[:start]


def _corners(loop: Loop, kept: Collection[Vertex] = ()) -> NDArray[np.float64]:
    """The vertices of a loop at which it turns, and those that are to be kept, in pixels."""
    points = np.array(loop, dtype=np.float64)
    turns = np.any(np.roll(points, 1, axis=0) + np.roll(points, -1, axis=0) != 2 * points, axis=1)
    corners: NDArray[np.float64] = points[turns | [vertex in kept for vertex in loop]] - 0.5
    return corners
