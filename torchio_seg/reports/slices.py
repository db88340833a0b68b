"""From a scan and its labels to pictures: planes as one looks at a patient, intensities as grey, labels in colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

Color = tuple[int, int, int]
Window = tuple[float, float]
"""The intensities that are black and white."""

OKABE_ITO: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (213, 94, 0),
    (0, 114, 178),
)
"""Told apart by the colour-blind too; without black, which is what scans are drawn on."""
UNLABELLED: Color = (150, 150, 150)
_TINTS = (0.0, 0.55, -0.4)
"""How much lighter or darker the colours are each time that they come round."""
_FILL = 0.5
_MOST_VALUES = 1 << 20
_PLANES = (("axial", 2, ("R", "L")), ("coronal", 1, ("R", "L")), ("sagittal", 0, ("A", "P")))


@dataclass(frozen=True)
class Paint:
    """How the voxels of some label values are shown."""

    name: str
    values: tuple[int, ...]
    color: Color
    is_foreground: bool = True


@dataclass(frozen=True)
class Plane:
    """One slice as one looks at it, the patient's right or front at the left, the front or the head above."""

    caption: str
    images: Array
    """C rows columns, 0 black to 1 white."""
    labels: Array
    """Rows columns, label values."""
    mm: tuple[float, float]
    """Height and width of the whole."""
    sides: tuple[str, str]
    """What lies at its left and at its right edge."""

    @property
    def longest_mm(self) -> float:
        return max(self.mm)


def color_of(number: int) -> Color:
    """A colour for each number, counted from 0; they differ for the first 21."""
    base, tint = OKABE_ITO[number % len(OKABE_ITO)], _TINTS[number // len(OKABE_ITO) % len(_TINTS)]
    goal = 255 if tint > 0 else 0
    red, green, blue = (round(part + (goal - part) * abs(tint)) for part in base)
    return red, green, blue


def find_foreground(labels: Array, paints: Sequence[Paint]) -> Array:
    """Which voxels hold a value that is shown as foreground."""
    mask: Array = np.isin(labels, [value for paint in paints if paint.is_foreground for value in paint.values])
    return mask


def find_window(
    values: Array, percentiles: tuple[float, float], *, margin: float = 0.0, narrowest: float = 0.0
) -> Window:
    """From one percentile to the other and a share of that span more on either side, but no narrower than this."""
    sample = values.ravel(order="K")
    sample = sample[:: max(1, sample.size // _MOST_VALUES)]
    low, high = np.percentile(sample, percentiles).tolist() if sample.size else (0.0, 0.0)
    middle, span = (low + high) / 2, max((high - low) * (1 + 2 * margin), narrowest) or 1.0
    return middle - span / 2, middle + span / 2


def cut(
    volume: Array, labels: Array, spacing: Sequence[float], *, windows: Sequence[Window], paints: Sequence[Paint]
) -> tuple[Plane, ...]:
    """The axial, coronal and sagittal plane of most foreground through a volume C I J K, its axes right, front, up."""
    foreground = find_foreground(labels, paints)
    planes = []
    for name, axis, sides in _PLANES:
        others = [other for other in range(3) if other != axis]
        index = middle_of_largest(np.count_nonzero(foreground, axis=tuple(others)))
        slices = volume.take(index, axis=1 + axis)
        first_mm, second_mm = (labels.shape[other] * spacing[other] for other in others)
        planes.append(
            Plane(
                f"{name} {index + 1}/{labels.shape[axis]}",
                np.stack([as_seen(to_grey(*pair)) for pair in zip(slices, windows, strict=True)]),
                as_seen(labels.take(index, axis=axis)),
                (second_mm, first_mm),
                sides,
            )
        )
    return tuple(planes)


def draw(plane: Plane, channel: int, paints: Sequence[Paint], *, scale: float, filled: bool = False) -> Image.Image:
    """One channel at so many pixels a millimetre; labels outlined, and filled where asked, later over earlier."""
    height, width = (max(1, round(length * scale)) for length in plane.mm)
    grey = Image.fromarray(np.rint(plane.images[channel] * 255).astype(np.uint8))
    plain = np.array(grey.resize((width, height), Image.Resampling.BICUBIC).convert("RGB"))
    pixels = plain.copy()
    masks = [_resized(np.isin(plane.labels, paint.values), (width, height)) for paint in paints]
    if filled:
        for mask, paint in zip(masks, paints, strict=True):
            pixels[mask] = np.rint(plain[mask] * (1 - _FILL) + np.array(paint.color) * _FILL)
    for mask, paint in zip(masks, paints, strict=True):
        pixels[_outline(mask)] = paint.color
    return Image.fromarray(pixels)


def as_seen(slices: Array) -> Array:
    """A slice I J, I K or J K of a volume whose axes are right, front, up, as rows and columns of a picture."""
    return slices.T[::-1, ::-1]


def to_grey(values: Array, window: Window) -> Array:
    """Intensities from 0, black, to 1, white."""
    low, high = window
    grey: Array = np.clip((values.astype(np.float32) - low) / (high - low), 0, 1)
    return grey


def middle_of_largest(areas: Array) -> int:
    """The slice with most foreground, the middle one of several; the middle of all where there is none."""
    largest = np.flatnonzero(areas == areas.max())
    return int(largest[len(largest) // 2])


def _resized(mask: Array, size: tuple[int, int]) -> Array:
    """The mask at another size: a pixel belongs to it where at least half of its area does."""
    shares = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    return np.asarray(shares) >= 128


def _outline(mask: Array) -> Array:
    """The pixels of a mask beside one that is not of it."""
    inner = np.pad(mask, 1, constant_values=False)
    surrounded = inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
    border: Array = mask & ~surrounded
    return border
