"""Whether training learns as much from fused augmentation as from TorchIO's own transforms.

The same experiment (the Decathlon's hippocampus, or as many of its cases as are at hand) is trained with
    stock  TorchIO's RandomFlip, RandomAffine, RandomBiasField, RandomBlur, RandomNoise, RandomGamma
    fused  the steps of torchio_seg of the same names, probabilities and ranges
for several seeds in turn, with the same split and number of steps, and each best model is scored on the test cases.

    python benchmarks/augmentation_accuracy.py --root Task04_Hippocampus

With --quick, made-up scans take the place of the data.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

import common

from torchio_seg import devices
from torchio_seg.config.resolve import choose
from torchio_seg.machine import num_processors
from torchio_seg.workflows.train import Trained, start

NAME = "augmentation_accuracy"
FUSED: dict[str, list[dict[str, Any]]] = {
    "spatial": [
        {"name": "flip", "probability": 0.5, "axes": [0, 1, 2]},
        {"name": "affine", "probability": 0.5, "degrees": 15.0, "scale": 0.15},
    ],
    "intensity": [
        {"name": "bias_field", "probability": 0.3, "coefficients": 0.5, "order": 3},
        {"name": "blur", "probability": 0.2, "std_mm": [0.5, 1.0]},
        {"name": "noise", "probability": 0.3, "std": [0.0, 0.2]},
        {"name": "gamma", "probability": 0.3, "log_gamma": 0.3},
    ],
}
STOCK: dict[str, list[dict[str, Any]]] = {
    "spatial": [
        {"name": "torchio.RandomFlip", "axes": [0, 1, 2], "flip_probability": 0.5},
        {"name": "torchio.RandomAffine", "p": 0.5, "degrees": 15.0, "scales": 0.15},
    ],
    "intensity": [
        {"name": "torchio.RandomBiasField", "p": 0.3, "coefficients": 0.5, "order": 3},
        {"name": "torchio.RandomBlur", "p": 0.2, "std": [0.5, 1.0]},
        {"name": "torchio.RandomNoise", "p": 0.3, "std": [0.0, 0.2]},
        {"name": "torchio.RandomGamma", "p": 0.3, "log_gamma": 0.3},
    ],
}


def train(root: Path, steps: dict[str, list[dict[str, Any]]], *, seed: int, epochs: int, runs: Path) -> dict[str, Any]:
    """Mean Dice of the test cases, and how long it took."""
    changes = {
        "dataset.root": str(root),
        "seed": seed,
        "training.epochs": epochs,
        "training.validation_every": 5,
        "sampling.num_workers": max(1, num_processors() - 1),
        "augmentation.spatial": steps["spatial"],
        "augmentation.intensity": steps["intensity"],
    }
    trainings: list[Trained] = []
    taken = common.measured(lambda: trainings.append(start(choose("decathlon", None, changes), runs)))
    evaluation = trainings[0].evaluation
    assert evaluation is not None
    found = {summary.region: summary.mean_dice for summary in evaluation.summaries}
    return {"seed": seed, "dice": evaluation.mean_dice, "regions": found, "seconds": taken["wall_s"], **taken}


def main() -> None:
    given = arguments()
    logging.basicConfig(level=logging.INFO, format="  %(message)s")
    results = earlier(given)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = given.root or common.make_task(folder, cases=10, shape=32)
        for seed in range(given.seeds):
            for kind, steps in (("stock", STOCK), ("fused", FUSED)):
                if seed in {run["seed"] for run in results[kind]}:
                    continue
                results[kind].append(train(root, steps, seed=seed, epochs=given.epochs, runs=folder / "runs"))
                print(kind, results[kind][-1], flush=True)
                keep(given, results)


def arguments() -> argparse.Namespace:
    parser = common.parser(__doc__)
    parser.add_argument("--root", type=Path, help="a Decathlon task")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    if given.root is None and not given.quick:
        parser.error("--root names the folder of a Decathlon task; --quick needs none")
    if given.quick:
        given.seeds, given.epochs = 1, 1
    return given


def earlier(given: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """The runs that the output holds already, if they are as long and from a machine of the same kind."""
    empty: dict[str, list[dict[str, Any]]] = {"stock": [], "fused": []}
    path = common.output_of(given, NAME)
    if given.quick or not path.exists():
        return empty
    found = common.read(path)
    same = found["epochs"] == given.epochs and found["device"] == devices.describe(devices.choose("auto"))
    return dict(found["runs"]) if same else empty


def keep(given: argparse.Namespace, results: dict[str, list[dict[str, Any]]]) -> None:
    """Write what is known after each run."""
    summary = {
        name: {"mean": round(fmean(run["dice"] for run in found), 4)}
        | {"spread": round(max(run["dice"] for run in found) - min(run["dice"] for run in found), 4)}
        | common.medians(found, ("seconds",))
        for name, found in results.items()
        if found
    }
    device = devices.describe(devices.choose("auto"))
    content = {"epochs": given.epochs, "device": device, "summary": summary, "runs": results}
    what = "mean Dice of the test cases, same steps, seeds and split"
    common.keep(common.output_of(given, NAME), what, ("torch", "torchio", "torchio-seg"), content)


if __name__ == "__main__":
    main()
