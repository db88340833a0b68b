"""What the two bodies in a CT scanner share: painting in Hounsfield units, the table, blur and noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from torchio_seg.phantoms.scanner import Phantom, Pose, stored
from torchio_seg.phantoms.shapes import Array, Body, Mask, smooth_field

if TYPE_CHECKING:
    from numpy.typing import NDArray

AIR, FAT, MUSCLE, MARROW, CORTEX = -1000.0, -100.0, 55.0, 180.0, 600.0
"""Hounsfield units."""
NOISE = 18.0
"""Deviation in Hounsfield units after the blur."""
BLUR = 0.45
"""Deviation in voxels of the scanner's point spread, which mixes neighbouring tissues."""
SPREAD = 6.0
"""How far, in Hounsfield units, an organ's attenuation strays from case to case."""


@dataclass(frozen=True)
class Canvas:
    """A body being painted: later organs cover earlier ones."""

    body: Body
    attenuation: Array
    label: NDArray[np.uint8]
    rng: np.random.Generator

    def paint(self, where: Mask, units: float, *, label: int = 0) -> None:
        """Fill an organ; 0 leaves it background."""
        self.attenuation[where] = units + (self.rng.normal(0.0, SPREAD) if units > AIR else 0.0)
        self.label[where] = label


def canvas(body: Body, rng: np.random.Generator) -> Canvas:
    """Air, a body of fat, a coat of muscle around the cavity."""
    drawn = Canvas(body, np.full(body.shape, AIR, np.float32), np.zeros(body.shape, np.uint8), rng)
    drawn.paint(body.column((0, 0), (1, 1)) < 0, FAT)
    drawn.paint(body.column((0, 0), (0.93, 0.92)) < 0, MUSCLE)
    return drawn


def paint_spine(drawn: Canvas, *, canal_label: int = 0) -> None:
    """Vertebral bodies with their discs, the arch behind them, and the canal with its cord."""
    body = drawn.body
    discs = np.sin(body.coordinates[2] * np.float32(16)) < -0.75
    vertebra = body.column((0, -0.52), (0.17, 0.19))
    drawn.paint(body.column((0, -0.74), (0.15, 0.18)) < 0, CORTEX)
    drawn.paint(vertebra < 0, CORTEX)
    drawn.paint(vertebra < -0.25, MARROW)
    drawn.paint((vertebra < 0) & discs, MUSCLE + 20)
    drawn.paint(body.column((0, -0.76), (0.085, 0.10)) < 0, 35.0, label=canal_label)


def scanned(drawn: Canvas, pose: Pose) -> Phantom:
    """Texture, blur, noise, and the table below the patient."""
    rng = drawn.rng
    attenuation = drawn.attenuation + 8 * smooth_field(drawn.body.shape, rng, 9.0) * (drawn.attenuation > AIR)
    _, front, _ = drawn.body.coordinates
    attenuation[(front < -1.12) & (front > -1.18)] = 100.0
    blurred = ndimage.gaussian_filter(attenuation, BLUR)
    noisy = blurred + rng.normal(0.0, NOISE, blurred.shape).astype(np.float32)
    return stored(np.clip(noisy, -1024, 3071)[None], drawn.label, pose.affine, rng)
