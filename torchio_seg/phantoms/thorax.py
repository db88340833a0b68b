"""A chest in a CT scanner, with the five organs at risk of radiotherapy planning."""

from __future__ import annotations

import numpy as np

from torchio_seg.phantoms.scanner import Phantom, place
from torchio_seg.phantoms.shapes import smooth_field, threads
from torchio_seg.phantoms.tomography import AIR, FAT, Canvas, canvas, paint_spine, scanned

LABELS = {
    0: "background",
    1: "right lung",
    2: "left lung",
    3: "heart",
    4: "esophagus",
    5: "spinal cord",
}
FILL = (0.96, 0.78, 1.15)
"""Share of the field from left to right and back to front; upwards the body goes on beyond it."""
LUNG = -820.0


def synthesize(shape: tuple[int, int, int], rng: np.random.Generator) -> Phantom:
    """Draw a patient; `shape` counts voxels to the right, the front and up, before the storage order is drawn."""
    pose = place(shape, rng, fill=FILL)
    drawn = canvas(pose.body, rng)
    drawn.paint(pose.body.ellipsoid((0, 0.08, -0.1), (0.30, 0.66, 1.3)) < 0, FAT)
    _paint_ribs(drawn)
    _paint_lungs(drawn)
    _paint_liver(drawn)
    _paint_heart(drawn)
    paint_spine(drawn, canal_label=5)
    _paint_mediastinum(drawn)
    return scanned(drawn, pose)


def _paint_ribs(drawn: Canvas) -> None:
    right, front, up = drawn.body.coordinates
    coat = np.abs(np.hypot(right / 0.83, front / 0.82) - 1) < 0.05
    drawn.paint(coat & (np.sin(up * 20 + front * 5) > 0.35), 480.0)
    drawn.paint(drawn.body.column((0, 0.83), (0.13, 0.06)) < 0, 300.0)


def _paint_lungs(drawn: Canvas) -> None:
    """Air with vessels that branch through it; the left one makes room for the heart."""
    body, rng = drawn.body, drawn.rng
    vessels = threads(body.shape, rng, 8.0, 0.22)
    rough = np.float32(0.04) * smooth_field(body.shape, rng, 4.0)
    for side, label in ((1.0, 1), (-1.0, 2)):
        size = rng.uniform(0.94, 1.04)
        centre = (side * 0.44, 0.02, 0.0)
        lung = body.ellipsoid(centre, (0.33 * size, 0.70 * size, 1.0 * size)) + rough
        drawn.paint(lung < 0, LUNG, label=label)
        drawn.paint((lung < 0) & vessels, 20.0, label=label)


def _paint_liver(drawn: Canvas) -> None:
    """The dome below the right lung."""
    body = drawn.body
    dome = body.ellipsoid((0.30, 0.05, -1.05), (0.52, 0.62, 0.42 + drawn.rng.uniform(-0.05, 0.05)))
    drawn.paint(dome < 0, 105.0)


def _paint_heart(drawn: Canvas) -> None:
    """Muscle around blood, tilted to the left."""
    body, rng = drawn.body, drawn.rng
    moved = rng.normal(0.0, 0.02, 3)
    centre = (-0.15 + float(moved[0]), 0.24 + float(moved[1]), -0.32 + float(moved[2]))
    heart = body.ellipsoid(centre, (0.37, 0.38, 0.46)) + np.float32(0.06) * smooth_field(body.shape, rng, 4.0)
    drawn.paint(heart < 0.10, FAT)
    drawn.paint(heart < 0, 75.0, label=3)
    drawn.paint(heart < -0.35, 150.0, label=3)


def _paint_mediastinum(drawn: Canvas) -> None:
    """Great vessels, windpipe, and the oesophagus that looks like any other soft tissue."""
    body, rng = drawn.body, drawn.rng
    _, _, up = body.coordinates
    drawn.paint(body.column((-0.20, -0.34), (0.09, 0.10)) < 0, 150.0)
    drawn.paint(body.ellipsoid((0, 0.15, 0.35), (0.24, 0.26, 0.22)) < 0, 150.0)
    drawn.paint((body.column((0.02, -0.02), (0.085, 0.10)) < 0) & (up > 0.05), AIR)
    sway = rng.uniform(-0.03, 0.03)
    drawn.paint(body.column((-0.03 + sway, -0.215), (0.09, 0.095)) < 0.25, FAT)
    drawn.paint(body.column((-0.03 + sway, -0.215), (0.09, 0.095)) < 0, 40.0, label=4)
