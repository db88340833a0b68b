"""What the three surface metrics cost beside MONAI's, on masks of BraTS's size.

HD95, average surface distance and surface Dice of three nested regions in 240 x 240 x 155 voxels are measured by
    torchio-seg  `torchio_seg.metrics.score_case`, all three at once
    monai        HausdorffDistanceMetric, SurfaceDistanceMetric and SurfaceDiceMetric, one after another
    transform    the same from scipy's exact distance transform of each region's box, all three at once
in turn, several times, on one processor. Two predictions: one about as good as trained networks give, and the same with
400 scattered false positives for each region, which stretch the box around it over the image. All must agree.

    python benchmarks/bench_metrics.py [--quick]
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import common
import numpy as np
import numpy.typing as npt
import torch
from monai.metrics import HausdorffDistanceMetric, SurfaceDiceMetric, SurfaceDistanceMetric
from scipy import ndimage

from torchio_seg.metrics import METRICS, Measures, score_case

Mask = npt.NDArray[np.bool_]
Found = list[dict[str, float]]

Shape = tuple[int, int, int]
SHAPE, QUICK_SHAPE = (240, 240, 155), (96, 96, 64)
SPACING, TOLERANCE = (1.0, 1.0, 1.0), 1.0
REGIONS, RADII = ("whole", "core", "enhancing"), (45, 30, 22)
"""In the full size; smaller ones shrink with it."""
FALSE_POSITIVES = 400
THREE = ("hd95", "assd", "surface_dice")
MEASURED = ("wall_s", "cpu_s", "peak_mib")


def bumps(seed: int, shape: Shape) -> npt.NDArray[np.float64]:
    """A smooth field that dents spheres, the same for the same seed."""
    coarse = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(30, 30, 20)), 1.5)
    zoomed: npt.NDArray[np.float64] = ndimage.zoom(coarse, [size / 30 for size in shape[:2]] + [shape[2] / 20], order=1)
    return zoomed


def make_masks(shape: Shape) -> tuple[Mask, dict[str, Mask]]:
    """The truth, and two predictions of it, R I J K each."""
    scale = shape[0] / SHAPE[0]
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    middle = scale * np.array([140, 110, 80])[:, None, None, None]
    distance = np.sqrt(np.square(grid - middle).sum(0)) + scale * 80 * bumps(0, shape)
    fields = distance, distance + scale * 20 * bumps(1, shape)
    truth, near = (np.stack([field < scale * radius for radius in RADII]) for field in fields)
    scattered, rng = near.copy(), np.random.default_rng(3)
    for region in scattered:
        for place in rng.integers(2, [size - 3 for size in shape], size=(FALSE_POSITIVES, 3)):
            region[tuple(slice(start, start + rng.integers(1, 4)) for start in place)] = True
    return truth, {"near": near, "scattered": scattered}


def ours(predicted: Mask, truth: Mask) -> Found:
    measures = Measures(THREE, TOLERANCE)
    scores = score_case("case", predicted, truth, REGIONS, measures=measures, spacing=SPACING)
    return [dict(score.more) for score in scores]  # type: ignore[arg-type]


def monai(predicted: Mask, truth: Mask) -> Found:
    pair = {"y_pred": torch.from_numpy(predicted[None]), "y": torch.from_numpy(truth[None])}
    metrics = (
        HausdorffDistanceMetric(include_background=True, percentile=95),
        SurfaceDistanceMetric(include_background=True, symmetric=True),
        SurfaceDiceMetric([TOLERANCE] * len(REGIONS), include_background=True),
    )
    columns = [metric(**pair, spacing=SPACING)[0].tolist() for metric in metrics]
    return [dict(zip(THREE, row, strict=True)) for row in zip(*columns, strict=True)]


def transform(predicted: Mask, truth: Mask) -> Found:
    found = []
    for guess, fact in zip(predicted, truth, strict=True):
        box = ndimage.find_objects((guess | fact).astype(np.uint8))[0]
        edges = [mask & ~ndimage.binary_erosion(mask) for mask in (guess[box], fact[box])]
        to_other = [ndimage.distance_transform_edt(~edge, sampling=SPACING) for edge in reversed(edges)]
        first, second = (field[edge] for field, edge in zip(to_other, edges, strict=True))
        both = np.concatenate([first, second])
        hd95 = max(np.percentile(first, 95), np.percentile(second, 95))
        found.append(dict(zip(THREE, map(float, (hd95, both.mean(), (both <= TOLERANCE).mean())), strict=True)))
    return found


def every_metric(predicted: Mask, truth: Mask) -> Found:
    measures = Measures(tuple(METRICS), TOLERANCE)
    scores = score_case("case", predicted, truth, REGIONS, measures=measures, spacing=SPACING)
    return [dict(score.more) for score in scores]  # type: ignore[arg-type]


PEERS: dict[str, Callable[[Mask, Mask], Found]] = {
    "torchio-seg": ours,
    "monai": monai,
    "transform": transform,
    "torchio-seg, every metric": every_metric,
}


def compare(name: str, predicted: Mask, truth: Mask, rounds: int) -> list[dict[str, Any]]:
    """What each takes, once it is held that they agree."""
    values: dict[str, Found] = {}

    def run(peer: str, _: int) -> dict[str, float]:
        def work() -> None:
            values[peer] = PEERS[peer](predicted, truth)

        return common.measured(work)

    rows = common.rows("by", common.in_turn(tuple(PEERS), rounds, run), MEASURED)
    for peer, found in values.items():
        for theirs, own in zip(found, values["torchio-seg"], strict=True):
            np.testing.assert_allclose(
                [theirs[each] for each in THREE], [own[each] for each in THREE], rtol=1e-5, err_msg=peer
            )
    for row in rows:
        row["of_ours"] = common.ratios(row, rows[0], MEASURED[:2])
    return [{"prediction": name, **row} for row in rows]


def main() -> None:
    given = common.parser(__doc__, rounds=5).parse_args()
    shape, rounds = (QUICK_SHAPE, 1) if given.quick else (SHAPE, given.rounds)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*always_return_as_numpy", category=FutureWarning)
    truth, predictions = make_masks(shape)
    rows = [row for name, mask in predictions.items() for row in compare(name, mask, truth, rounds)]
    common.print_table(rows, ("prediction", "by", *MEASURED, "of_ours.wall_s", "of_ours.cpu_s"))
    what = "HD95, average surface distance and surface Dice of three regions of one case, one processor"
    packages = ("torch", "monai", "scipy", "numpy")
    common.keep(common.output_of(given, "metrics"), what, packages, {"shape": shape, "results": rows})


if __name__ == "__main__":
    main()
