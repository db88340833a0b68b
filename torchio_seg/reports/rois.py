"""One picture of a patient's regions of interest: as few slices as show each of them well, names in their colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from torchio_seg.reports.sheet import BETWEEN_BLOCKS, MARGIN, WIDTH, Block, Panel, Section, compose, to_png
from torchio_seg.reports.slices import Paint, Plane, Window, color_of, draw, find_window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Masks = Mapping[str, NDArray[np.bool_]]

_MOST_SLICES = 6
_MANY_SLICES = 3
"""From here on, three stand side by side; fewer stand beside the same slice without regions."""
_WELL_SHOWN = 0.4
"""Of the largest area that a region has in any slice."""
_MOST_NAMES = 62
"""As many as a whole number has bits."""
_PERCENTILES = (0.5, 99.5)
_AIR, _CT_WINDOW = -500.0, (-450.0, 350.0)
"""Hounsfield units: darker than any MR, and a window in which lung, soft tissue and bone can be told apart."""
_TALLEST = 900
_BEFORE_AND_BEHIND = (("L", "R"), ("P", "A"), ("I", "S"))
"""Where an axis that runs to the right, the front or the head comes from, and goes to."""


def draw_rois(image: NDArray[Any], affine: NDArray[np.float64], masks: Masks, *, title: str) -> bytes:
    """A PNG of slices of an image I J K, as they are stored, with outlines of masks that may overlap."""
    kept = dict(list(masks.items())[:_MOST_NAMES])
    areas = {name: np.count_nonzero(mask, axis=(0, 1)) for name, mask in kept.items()}
    indices = choose_slices(list(areas.values()))
    window = _CT_WINDOW if image.min() < _AIR else find_window(image, _PERCENTILES)
    planes = [_plane(image, affine, index, masks=kept, window=window) for index in indices]
    scale = _scale(planes)
    colors = {name: color_of(number) for number, name in enumerate(kept)}
    blocks = [_block(plane, _paints(plane, colors), scale, beside_plain=len(planes) < _MANY_SLICES) for plane in planes]
    note = "As the images are stored. R and L are the patient's right and left, A front, P back, S head, I feet."
    if beyond := len(masks) - len(kept):
        note += f" {beyond} more regions are not drawn."
    return to_png(compose(title, note, colors, [Section("", "", tuple(blocks))]))


def choose_slices(areas: Sequence[NDArray[np.int64]]) -> list[int]:
    """The few slices in which every region, given by its area in each slice, is seen at nearly its largest."""
    shares = np.array([area / area.max() for area in areas])
    missing = np.ones(len(shares), bool)
    chosen: list[int] = []
    while missing.any() and len(chosen) < _MOST_SLICES:
        gained = (shares[missing] >= _WELL_SHOWN).sum(axis=0)
        best = int(np.argmax(gained + shares.mean(axis=0)))
        chosen.append(best)
        missing &= shares[:, best] < _WELL_SHOWN
    return sorted(chosen)


def _plane(image: NDArray[Any], affine: NDArray[np.float64], index: int, *, masks: Masks, window: Window) -> Plane:
    """One slice, whose labels have a bit for each mask."""
    low, high = window
    grey = np.clip((image[:, :, index].T.astype(np.float32) - low) / (high - low), 0, 1)
    bits = sum(mask[:, :, index].T.astype(np.int64) << number for number, mask in enumerate(masks.values()))
    columns_mm, rows_mm, _ = np.linalg.norm(affine[:3, :3], axis=0) * image.shape
    mm = (float(rows_mm), float(columns_mm))
    return Plane(f"{index + 1}/{image.shape[2]}", grey[None], np.asarray(bits), mm, _sides(affine[:3, 0]))


def _sides(direction: NDArray[np.float64]) -> tuple[str, str]:
    axis = int(np.abs(direction).argmax())
    before, behind = _BEFORE_AND_BEHIND[axis]
    return (before, behind) if direction[axis] > 0 else (behind, before)


def _paints(plane: Plane, colors: Mapping[str, tuple[int, int, int]]) -> list[Paint]:
    """A colour for each region in the slice, large ones first, so that small ones lie over them."""
    values = [int(value) for value in np.unique(plane.labels)]
    paints = [
        Paint(name, tuple(value for value in values if value >> number & 1), color)
        for number, (name, color) in enumerate(colors.items())
    ]
    sizes = {paint.name: np.count_nonzero(np.isin(plane.labels, paint.values)) for paint in paints}
    return sorted((paint for paint in paints if paint.values), key=lambda paint: -sizes[paint.name])


def _block(plane: Plane, paints: list[Paint], scale: float, *, beside_plain: bool) -> Block:
    """A slice with its regions, and without them beside it where there is room."""
    marked = Panel(_mark(plane, paints, scale), "", plane.sides)
    plain = Panel(draw(plane, 0, (), scale=scale), "", plane.sides)
    names = ", ".join(paint.name for paint in paints)
    return Block(f"slice {plane.caption}", names, ((plain, marked) if beside_plain else (marked,),))


def _mark(plane: Plane, paints: list[Paint], scale: float) -> Image.Image:
    """Every region outlined; those that hold no smaller one are filled too."""
    inner = [
        paint
        for number, paint in enumerate(paints)
        if not any(set(paint.values) & set(smaller.values) for smaller in paints[number + 1 :])
    ]
    plain, outlined = (np.asarray(draw(plane, 0, chosen, scale=scale)) for chosen in ((), paints))
    filled = np.asarray(draw(plane, 0, inner, scale=scale, filled=True))
    return Image.fromarray(np.where((outlined != plain).any(axis=-1, keepdims=True), outlined, filled))


def _scale(planes: Sequence[Plane]) -> float:
    """Pixels a millimetre with which the panels of a row fill the sheet's width."""
    columns = 2 if len(planes) < _MANY_SLICES else 3
    height, width = planes[0].mm
    room = (WIDTH - 2 * MARGIN - (columns - 1) * BETWEEN_BLOCKS) // columns
    return min(room / width, _TALLEST / height)
