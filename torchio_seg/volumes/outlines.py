"""What several outlines on one slice enclose together: one wholly inside another is a hole, one across it a part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.volumes.scanline import fill

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from torchio_seg.volumes.geometry import Array


def enclose(outlines: Sequence[Array], shape: tuple[int, int]) -> tuple[npt.NDArray[np.bool_], int]:
    """The mask (I J) of outlines (points x 2), and in how many pixels the even-odd rule would have erred.

    It errs where outlines cross or repeat each other: it leaves their common part out, which nobody means.
    """
    even_odd = fill(outlines, shape)
    if len(outlines) == 1:
        return even_odd, 0
    alone = (fill([outline], shape) for outline in outlines)
    masks = sorted(alone, key=np.count_nonzero, reverse=True)
    meet = sum(map(np.count_nonzero, masks)) > np.count_nonzero(even_odd)
    mask = _without_holes(masks) if meet else even_odd
    return mask, int(np.count_nonzero(mask != even_odd))


def _without_holes(masks: Sequence[npt.NDArray[np.bool_]]) -> npt.NDArray[np.bool_]:
    """The union of the outermost, each without what lies wholly in it, and that without what lies in that."""
    around = _find_around(masks)
    regions = [mask.copy() for mask in masks]
    for inner in reversed(range(len(masks))):
        for outer in around[inner]:
            if not any(outer in around[between] for between in around[inner]):
                regions[outer] &= ~regions[inner]
    outermost = [region for region, outer in zip(regions, around, strict=True) if not outer]
    union: npt.NDArray[np.bool_] = np.logical_or.reduce(outermost)
    return union


def _find_around(masks: Sequence[npt.NDArray[np.bool_]]) -> list[set[int]]:
    """For each mask, which of those before it are larger and hold all of it."""
    flat = [mask.ravel() for mask in masks]
    pixels = [np.flatnonzero(mask) for mask in flat]
    return [
        {
            outer
            for outer in range(inner)
            if 0 < own.size < pixels[outer].size and flat[outer][own[0]] and flat[outer][own].all()
        }
        for inner, own in enumerate(pixels)
    ]
