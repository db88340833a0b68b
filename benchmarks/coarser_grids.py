"""What is left of noisy balls on a coarser grid: linear interpolation, the mean of what becomes one voxel, a Gaussian.

    python benchmarks/coarser_grids.py [--quick]

For each factor: the standard deviation of noise that was 1, and the Dice of the best threshold on the coarse image,
once smoothed there as a network's first layers would, against the balls in the coarse voxels. Takes a minute.
"""

from __future__ import annotations

from typing import Any

import common
import numpy as np
import torch
from scipy import ndimage

from torchio_seg.transforms.preprocessing import labels_to_model_grid, to_model_grid
from torchio_seg.transforms.recipe import Recipe

SIDE, NUM_BALLS, NUM_VOLUMES = 96, 6, 2
FACTORS = (1.5, 2.0, 2.5, 3.0, 3.84)
NOISE = 1.0
"""Of a contrast of 1."""
SMOOTHED = 0.7
"""Coarse voxels."""


def balls(rng: np.random.Generator, radius: float) -> np.ndarray:
    places = np.indices((SIDE,) * 3, dtype=np.float32)
    centres = rng.uniform(radius, SIDE - radius, (NUM_BALLS, 3, 1, 1, 1))
    return np.any([((places - centre) ** 2).sum(0) < radius**2 for centre in centres], axis=0)


def ways(image: np.ndarray, factor: float) -> dict[str, np.ndarray]:
    """The image on the coarse grid, by each way to it."""
    plain, mean = (Recipe((factor,) * 3, None, "none", antialias=flag) for flag in (False, True))
    smooth = ndimage.gaussian_filter(image, (factor - 1) / 2, mode="nearest")  # scikit-image's width
    made = {"linear": (image, plain), "mean": (image, mean), "gauss": (smooth, plain)}
    return {name: to_model_grid(each[None], np.eye(4), recipe)[0][0].numpy() for name, (each, recipe) in made.items()}


def best_dice(image: np.ndarray, label: np.ndarray) -> float:
    found = (image > threshold for threshold in np.quantile(image, np.linspace(0.5, 0.9995, 80)))
    return float(max(2 * (each & label).sum() / (each.sum() + label.sum()) for each in found))


def main() -> None:
    given = common.parser(__doc__).parse_args()
    torch.set_num_threads(1)
    found = [measured(factor, times) for factor in (FACTORS[:1] if given.quick else FACTORS) for times in (1.5, 3.0)]
    what = "noise that was 1 and Dice of balls on a coarser grid, by the way there"
    common.print_table(found, list(found[0]))
    common.keep(common.output_of(given, "coarser_grids"), what, ("numpy", "scipy", "torch"), {"results": found})


def measured(factor: float, times: float) -> dict[str, Any]:
    """Means over volumes of balls with a radius of so many coarse voxels."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(NUM_VOLUMES):
        label = balls(rng, times * factor)
        noise = rng.normal(0, NOISE, label.shape).astype(np.float32)
        _, grids = to_model_grid(noise[None], np.eye(4), Recipe((factor,) * 3, None, "none"))
        coarse = labels_to_model_grid(label[None].astype(np.uint8), grids)[0].numpy() == 1
        left = {f"noise_{way}": float(each.std()) for way, each in ways(noise, factor).items()}
        seen = {way: ndimage.gaussian_filter(each, SMOOTHED) for way, each in ways(label + noise, factor).items()}
        rows.append(left | {f"dice_{way}": best_dice(each, coarse) for way, each in seen.items()})
    means = {name: round(float(np.mean([row[name] for row in rows])), 3) for name in rows[0]}
    return {"factor": factor, "radius": times, **means}


if __name__ == "__main__":
    main()
