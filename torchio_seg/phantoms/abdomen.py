"""A belly in a CT scanner: organs of many shapes and sizes, some of nearly the same attenuation.

Labels follow BTCV's thirteen organs.
"""

from __future__ import annotations

import numpy as np

from torchio_seg.phantoms.scanner import Phantom, place
from torchio_seg.phantoms.shapes import Point, smooth_field
from torchio_seg.phantoms.tomography import AIR, FAT, Canvas, canvas, paint_spine, scanned

LABELS = {
    0: "background",
    1: "spleen",
    2: "right kidney",
    3: "left kidney",
    4: "gallbladder",
    5: "esophagus",
    6: "liver",
    7: "stomach",
    8: "aorta",
    9: "inferior vena cava",
    10: "portal and splenic veins",
    11: "pancreas",
    12: "right adrenal gland",
    13: "left adrenal gland",
}
FILL = (0.94, 0.80, 1.2)
"""Share of the field from left to right and back to front; upwards the body goes on beyond it."""


def synthesize(shape: tuple[int, int, int], rng: np.random.Generator) -> Phantom:
    """Draw a patient; `shape` counts voxels to the right, the front and up, before the storage order is drawn."""
    pose = place(shape, rng, fill=FILL)
    drawn = canvas(pose.body, rng)
    drawn.paint(pose.body.column((0, 0.08), (0.84, 0.76)) < 0, FAT)
    _paint_bowel(drawn)
    paint_spine(drawn)
    _paint_muscles(drawn)
    _paint_vessels(drawn)
    _paint_organs(drawn)
    _paint_small_organs(drawn)
    return scanned(drawn, pose)


def _paint_bowel(drawn: Canvas) -> None:
    """Loops of the gut with their gas, in the lower front."""
    body, rng = drawn.body, drawn.rng
    loops = smooth_field(body.shape, rng, 6.0)
    room = body.ellipsoid((0, 0.22, -0.55), (0.66, 0.48, 0.55)) < 0
    drawn.paint(room & (loops > -0.1), 40.0)
    drawn.paint(room & (loops > 1.5), AIR)


def _paint_muscles(drawn: Canvas) -> None:
    """The psoas on both sides of the spine, and the ribs."""
    body = drawn.body
    drawn.paint((body.ellipsoid(_near(drawn, (0.27, -0.46, -0.6)), (0.12, 0.15, 0.7))) < 0, 58.0)
    drawn.paint((body.ellipsoid(_near(drawn, (-0.27, -0.46, -0.6)), (0.12, 0.15, 0.7))) < 0, 58.0)
    right, front, up = body.coordinates
    coat = np.abs(np.hypot(right / 0.885, front / 0.86) - 1) < 0.045
    drawn.paint(coat & (np.sin(up * 22 + front * 4) > 0.55) & (up > -0.2) & (front < 0.75), 500.0)


def _paint_vessels(drawn: Canvas) -> None:
    body = drawn.body
    drawn.paint(body.column((-0.06 + drawn.rng.uniform(-0.02, 0.02), -0.25), (0.075, 0.085)) < 0, 165.0, label=8)
    drawn.paint(body.column((0.12, -0.22), (0.08, 0.07)) < 0, 125.0, label=9)


def _paint_organs(drawn: Canvas) -> None:
    """Outlines are rough level sets, each somewhere near its usual place."""
    body, rng = drawn.body, drawn.rng
    rough = np.float32(0.10) * smooth_field(body.shape, rng, 5.0)
    stomach = body.ellipsoid(_near(drawn, (-0.33, 0.30, 0.30)), (0.33, 0.27, 0.32)) + rough
    drawn.paint(stomach < 0, 35.0, label=7)
    gas = (body.coordinates[1] > 0.42) & (stomach < -0.2)
    drawn.paint(gas, AIR, label=7)
    drawn.paint(body.ellipsoid(_near(drawn, (-0.60, -0.22, 0.30)), (0.17, 0.30, 0.30)) + rough < 0, 115.0, label=1)
    liver = body.ellipsoid(_near(drawn, (0.42, 0.10, 0.32)), (0.42, 0.56, 0.46))
    lobe = body.ellipsoid(_near(drawn, (0.02, 0.40, 0.42)), (0.42, 0.24, 0.26))
    inside = np.hypot(body.coordinates[0] / 0.84, (body.coordinates[1] - 0.08) / 0.76) < 1
    away = (body.column((0, -0.4), (0.25, 0.33)) > 0) & inside
    drawn.paint((np.minimum(liver, lobe) + rough < 0) & away, 105.0, label=6)
    drawn.paint(body.ellipsoid(_near(drawn, (0.30, 0.32, -0.08)), (0.13, 0.16, 0.19)) + rough < 0, 12.0, label=4)
    _paint_kidney(drawn, side=1.0, label=2)
    _paint_kidney(drawn, side=-1.0, label=3)


def _paint_small_organs(drawn: Canvas) -> None:
    """What lies between the large ones: gullet, pancreas, the veins behind it, the glands above the kidneys."""
    body = drawn.body
    gullet = (body.column((-0.10, -0.06), (0.075, 0.075)) < 0) & (body.coordinates[2] > 0.32)
    drawn.paint(gullet, 45.0, label=5)
    tail = body.ellipsoid(_near(drawn, (-0.14, 0.06, 0.04)), (0.34, 0.09, 0.10))
    head = body.ellipsoid(_near(drawn, (0.16, 0.02, -0.10)), (0.13, 0.12, 0.16))
    drawn.paint(np.minimum(tail, head) < 0, 85.0, label=11)
    splenic = body.ellipsoid(_near(drawn, (-0.20, -0.06, 0.12)), (0.32, 0.055, 0.055))
    portal = body.ellipsoid(_near(drawn, (0.18, -0.02, 0.17)), (0.16, 0.06, 0.07))
    drawn.paint(np.minimum(splenic, portal) < 0, 160.0, label=10)
    for side, label in ((1.0, 12), (-1.0, 13)):
        gland = body.ellipsoid(_near(drawn, (side * 0.32, -0.32, 0.18)), (0.07, 0.09, 0.12))
        drawn.paint(gland < 0.35, FAT)
        drawn.paint(gland < 0, 70.0, label=label)


def _paint_kidney(drawn: Canvas, *, side: float, label: int) -> None:
    """A bean: an ellipsoid with its pelvis of fat on the side of the spine."""
    centre = _near(drawn, (side * 0.47, -0.36, -0.25))
    bean = drawn.body.ellipsoid(centre, (0.17, 0.20, 0.36))
    pelvis = drawn.body.ellipsoid((centre[0] - side * 0.15, centre[1] + 0.05, centre[2]), (0.13, 0.09, 0.13))
    drawn.paint(bean < 0.22, FAT)
    drawn.paint((bean < 0) & (pelvis > 0), 150.0, label=label)


def _near(drawn: Canvas, centre: Point) -> Point:
    moved = drawn.rng.normal(0.0, 0.025, 3)
    return (centre[0] + float(moved[0]), centre[1] + float(moved[1]), centre[2] + float(moved[2]))
