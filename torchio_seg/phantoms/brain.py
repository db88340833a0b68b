"""A head with four magnetic resonance sequences and, mostly, a tumour of three nested parts.

Labels follow the Decathlon's Task01: 1 oedema, 2 non-enhancing tumour, 3 enhancing tumour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.phantoms.difficulty import Difficulty
from torchio_seg.phantoms.scanner import Phantom, place, rician, shading, stored
from torchio_seg.phantoms.shapes import Array, Body, Mask, smooth_field, threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANNELS = ("FLAIR", "T1w", "T1gd", "T2w")
LABELS = {0: "background", 1: "edema", 2: "non-enhancing tumor", 3: "enhancing tumor"}
REGIONS = {"whole_tumor": (1, 2, 3), "tumor_core": (2, 3), "enhancing_tumor": (3,)}
HEALTHY_EVERY = 6
"""One case in so many has no lesion."""

INTENSITIES = {
    "air": (0.00, 0.00, 0.00, 0.00),
    "fat": (0.80, 0.85, 0.95, 0.75),
    "skull": (0.10, 0.10, 0.12, 0.08),
    "muscle": (0.45, 0.45, 0.60, 0.40),
    "fluid": (0.20, 0.20, 0.22, 0.95),
    "grey": (0.55, 0.50, 0.52, 0.60),
    "white": (0.42, 0.68, 0.70, 0.45),
    "vessel": (0.45, 0.45, 1.00, 0.45),
    "plexus": (0.60, 0.45, 0.95, 0.70),
    "spot": (0.90, 0.58, 0.58, 0.66),
    "edema": (0.90, 0.45, 0.46, 0.82),
    "necrosis": (0.45, 0.25, 0.30, 0.88),
    "enhancing": (0.72, 0.45, 0.98, 0.62),
}
"""Of each tissue in each channel, as a share of the brightest; the order is that of the tissue map's values."""
TISSUES = {name: value for value, name in enumerate(INTENSITIES)}
LESION = {1: "edema", 2: "necrosis", 3: "enhancing"}
BRIGHTEST = 600.0
"""Stored intensity of the brightest tissue, before the gain."""
FILL = (0.82, 0.94, 0.96)
"""Share of the field that the head takes from left to right, back to front, bottom to top."""
BRAIN = 0.82
"""Radius of the brain as a share of the head's."""


@dataclass(frozen=True)
class Head:
    """Tissues before any lesion, and where lesions may lie."""

    tissues: NDArray[np.uint8]
    brain: Mask
    fluid: Mask


def synthesize(
    shape: tuple[int, int, int],
    rng: np.random.Generator,
    *,
    channels: int = len(CHANNELS),
    lesion: bool = True,
    difficulty: Difficulty | None = None,
) -> Phantom:
    """Draw a patient; `shape` counts voxels to the right, the front and up, before the storage order is drawn."""
    difficulty = difficulty or Difficulty()
    pose = place(shape, rng, fill=FILL)
    head = _head(pose.body, rng, difficulty)
    label = _lesion(pose.body, rng, head=head, difficulty=difficulty) if lesion else np.zeros(shape, np.uint8)
    tissues = head.tissues.copy()
    for value, name in LESION.items():
        tissues[label == value] = TISSUES[name]
    image = _scan(tissues, rng, difficulty)
    return stored(image[:channels], label, pose.affine, rng)


def _head(body: Body, rng: np.random.Generator, difficulty: Difficulty) -> Head:
    """Paint from the outside in: later tissues cover earlier ones."""
    tissues = np.full(body.shape, TISSUES["air"], np.uint8)
    folds = smooth_field(body.shape, rng, 11.0)
    depth = body.ellipsoid((0, 0, 0), (1, 1, 1)) + np.float32(1)
    brain = depth < BRAIN
    tissues[depth < 1.0] = TISSUES["fat"]
    tissues[depth < 0.94] = TISSUES["skull"]
    _paint_face(tissues, body)
    tissues[depth < BRAIN + 0.04] = TISSUES["fluid"]
    tissues[brain & ((folds < 0.9) | (depth < 0.68))] = TISSUES["grey"]
    tissues[depth + np.float32(0.10) * folds < 0.68] = TISSUES["white"]
    _paint_deep_parts(tissues, body, folds)
    fluid = _paint_fluid(tissues, body, brain)
    white = tissues == TISSUES["white"]
    tissues[white & (smooth_field(body.shape, rng, 12.0) > difficulty.spots + 0.6)] = TISSUES["spot"]
    _paint_vessels(tissues, body, rng, brain=brain, thickness=difficulty.vessels)
    return Head(tissues, brain, fluid)


def _paint_face(tissues: NDArray[np.uint8], body: Body) -> None:
    """Muscle at the temples and the neck, eyes in their fat."""
    below = (body.coordinates[2] < -0.45) & (tissues == TISSUES["skull"])
    tissues[below] = TISSUES["muscle"]
    inside = tissues != TISSUES["air"]
    tissues[inside & (body.pair((0.36, 0.80, -0.34), (0.24, 0.22, 0.22)) < 0)] = TISSUES["fat"]
    tissues[inside & (body.pair((0.36, 0.82, -0.34), (0.17, 0.15, 0.16)) < 0)] = TISSUES["fluid"]


def _paint_deep_parts(tissues: NDArray[np.uint8], body: Body, folds: Array) -> None:
    """Basal ganglia, cerebellum with its finer folds, brain stem."""
    rough = np.float32(0.15) * folds
    tissues[body.pair((0.25, 0.05, -0.02), (0.12, 0.24, 0.16)) + rough < 0] = TISSUES["grey"]
    tissues[body.ellipsoid((0, -0.42, -0.48), (0.46, 0.28, 0.22)) < 0] = TISSUES["grey"]
    tissues[body.pair((0.2, -0.42, -0.47), (0.17, 0.16, 0.10)) + 2 * rough < 0] = TISSUES["white"]
    tissues[body.ellipsoid((0, -0.12, -0.62), (0.11, 0.12, 0.35)) < 0] = TISSUES["white"]


def _paint_fluid(tissues: NDArray[np.uint8], body: Body, brain: Mask) -> Mask:
    """Ventricles and the fissure between the hemispheres."""
    right, front, up = body.coordinates
    bent = np.minimum(
        body.pair((0.13, 0.08, 0.13), (0.075, 0.38, 0.13)), body.pair((0.24, -0.30, 0.02), (0.09, 0.13, 0.16))
    )
    third = body.ellipsoid((0, 0.02, -0.08), (0.035, 0.16, 0.14))
    fissure = (np.abs(right) < 0.03) & brain & (up > -0.2) & (np.hypot(front, up * 1.3) > 0.58)
    fluid: Mask = (np.minimum(bent, third) < 0) | fissure
    tissues[fluid] = TISSUES["fluid"]
    return fluid


def _paint_vessels(
    tissues: NDArray[np.uint8], body: Body, rng: np.random.Generator, *, brain: Mask, thickness: float
) -> None:
    """What takes up contrast agent without being tumour: arteries, the sagittal sinus, the choroid plexus."""
    right, front, up = body.coordinates
    tissues[brain & threads(body.shape, rng, 7.0, thickness)] = TISSUES["vessel"]
    edge = np.abs(np.sqrt(right**2 + front**2 + up**2) - BRAIN - 0.01)
    sinus = np.hypot(right, edge) < 0.055
    tissues[sinus & (up > 0) & (front < 0.5)] = TISSUES["vessel"]
    tissues[body.pair((0.23, -0.28, 0.03), (0.06, 0.10, 0.10)) < 0] = TISSUES["plexus"]


def _lesion(body: Body, rng: np.random.Generator, *, head: Head, difficulty: Difficulty) -> NDArray[np.uint8]:
    """Oedema around a rim that enhances around a core that does not: level sets of one rugged distance."""
    radius = rng.uniform(*difficulty.radius) * float(np.cbrt(np.prod(body.shape) / (64 * 64 * 48)))
    distance = body.ball(_lesion_centre(rng), rng.uniform(0.85, 1.15, 3)) / np.float32(radius)
    waves = 5.0
    outer = distance + np.float32(difficulty.ruggedness) * smooth_field(body.shape, rng, waves)
    inner = np.float32(0.4 * difficulty.ruggedness) * smooth_field(body.shape, rng, waves)
    whole, core = outer < 1, outer + inner < difficulty.core
    necrosis = (outer - inner < difficulty.necrosis) & (outer + inner < difficulty.core - difficulty.thinnest_rim)
    label = np.zeros(body.shape, np.uint8)
    label[whole & ~head.fluid] = 1
    label[whole & core] = 3
    label[whole & necrosis] = 2
    label[~head.brain] = 0
    return label


def _lesion_centre(rng: np.random.Generator) -> NDArray[np.float64]:
    """In one hemisphere, away from the middle and the surface, above the cerebellum."""
    side = rng.choice([-1.0, 1.0])
    return np.array([side * rng.uniform(0.25, 0.45), rng.uniform(-0.35, 0.45), rng.uniform(-0.15, 0.40)])


def _scan(tissues: NDArray[np.uint8], rng: np.random.Generator, difficulty: Difficulty) -> Array:
    """Every channel is drawn, whatever number is kept, so that the first ones do not depend on it."""
    table = _intensities(rng, difficulty)
    texture = np.float32(difficulty.texture) * smooth_field(tissues.shape, rng, 14.0)
    image = np.empty((len(CHANNELS), *tissues.shape), np.float32)
    for channel in range(len(CHANNELS)):
        signal = table[tissues, channel] * (1 + texture) * shading(tissues.shape, rng, difficulty.shading)
        gain = np.float32(BRIGHTEST * np.exp(rng.uniform(-difficulty.gain, difficulty.gain)))
        image[channel] = gain * rician(signal, rng, difficulty.noise)
    return image


def _intensities(rng: np.random.Generator, difficulty: Difficulty) -> Array:
    """This case's intensities: every tissue strays a little, the lesion pales towards grey matter."""
    table = np.array(list(INTENSITIES.values()), np.float32)
    grey = table[TISSUES["grey"]]
    contrast = rng.uniform(*difficulty.contrast)
    for name in LESION.values():
        table[TISSUES[name]] = grey + np.float32(contrast) * (table[TISSUES[name]] - grey)
    strayed = table + np.float32(difficulty.tissue_spread) * rng.standard_normal(table.shape, dtype=np.float32)
    strayed[TISSUES["air"]] = 0
    return np.maximum(strayed, 0)
