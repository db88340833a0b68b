"""What the three surface metrics cost beside MONAI's, on masks of BraTS's size.

HD95, average surface distance and surface Dice of three nested regions in 240 x 240 x 155 voxels are measured by
    torchio-seg  `torchio_seg.metrics.score_case`, all three at once
    monai        HausdorffDistanceMetric, SurfaceDistanceMetric and SurfaceDiceMetric, one after another
    transform    the same from scipy's exact distance transform of each region's box, all three at once
in turn, several times, on one processor. Two predictions: one about as good as trained networks give, and the same with
400 scattered false positives for each region, which stretch the box around it over the image. All must agree.

    python benchmarks/bench_metrics.py
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
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

SHAPE, SPACING, TOLERANCE = (240, 240, 155), (1.0, 1.0, 1.0), 1.0
REGIONS, RADII = ("whole", "core", "enhancing"), (45, 30, 22)
FALSE_POSITIVES = 400
THREE = ("hd95", "assd", "surface_dice")
RESULT = Path(__file__).parent / "results" / "metrics.json"


def bumps(seed: int) -> npt.NDArray[np.float64]:
    """A smooth field that dents spheres, the same for the same seed."""
    coarse = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(30, 30, 20)), 1.5)
    zoomed: npt.NDArray[np.float64] = ndimage.zoom(coarse, [size / 30 for size in SHAPE[:2]] + [SHAPE[2] / 20], order=1)
    return zoomed


def make_masks() -> tuple[Mask, dict[str, Mask]]:
    """The truth, and two predictions of it, R I J K each."""
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"))
    distance = np.sqrt(np.square(grid - np.array([140, 110, 80])[:, None, None, None]).sum(0)) + 80 * bumps(0)
    truth, near = (np.stack([field < radius for radius in RADII]) for field in (distance, distance + 20 * bumps(1)))
    scattered, rng = near.copy(), np.random.default_rng(3)
    for region in scattered:
        for place in rng.integers(2, [size - 3 for size in SHAPE], size=(FALSE_POSITIVES, 3)):
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


PEERS: dict[str, Callable[[Mask, Mask], Found]] = {"torchio-seg": ours, "monai": monai, "transform": transform}


def compare(predicted: Mask, truth: Mask, rounds: int) -> dict[str, Any]:
    """Median seconds of each, and the values they agree on."""
    values: dict[str, Found] = {}

    def run(name: str, _: int) -> float:
        start = time.perf_counter()
        values[name] = PEERS[name](predicted, truth)
        return time.perf_counter() - start

    runs = common.in_turn(tuple(PEERS), rounds, run)
    for name, found in values.items():
        for theirs, own in zip(found, values["torchio-seg"], strict=True):
            np.testing.assert_allclose(
                [theirs[each] for each in THREE], [own[each] for each in THREE], rtol=1e-5, err_msg=name
            )
    medians = {name: statistics.median(seconds) for name, seconds in runs.items()}
    return {
        "seconds": {name: round(value, 3) for name, value in medians.items()},
        "times_faster_than_monai": round(medians["monai"] / medians["torchio-seg"], 1),
        "runs": {name: [round(value, 3) for value in seconds] for name, seconds in runs.items()},
        "values": dict(zip(REGIONS, values["torchio-seg"], strict=True)),
    }


def all_metrics(predicted: Mask, truth: Mask, rounds: int) -> float:
    """Median seconds of every metric there is."""
    measures, seconds = Measures(tuple(METRICS), TOLERANCE), []
    for _ in range(rounds):
        start = time.perf_counter()
        score_case("case", predicted, truth, REGIONS, measures=measures, spacing=SPACING)
        seconds.append(time.perf_counter() - start)
    return round(statistics.median(seconds), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*always_return_as_numpy", category=FutureWarning)
    truth, predictions = make_masks()
    about = {
        "what": "seconds for HD95, average surface distance and surface Dice of three regions, on one processor",
        "shape": SHAPE,
        "machine": common.machine(("torch", "monai", "scipy", "numpy")),
    }
    cases = {}
    for name, predicted in predictions.items():
        cases[name] = compare(predicted, truth, arguments.rounds)
        cases[name]["all_metrics_seconds"] = all_metrics(predicted, truth, arguments.rounds)
        print(f"{name}: {cases[name]['seconds']}, {cases[name]['times_faster_than_monai']} times faster than MONAI")
    arguments.output.write_text(json.dumps({**about, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
