"""Whether training learns as much from fused augmentation as from TorchIO's own transforms.

The same experiment (the Decathlon's hippocampus, or as many of its cases as are at hand) is trained with
    stock  TorchIO's RandomFlip, RandomAffine, RandomBiasField, RandomBlur, RandomNoise, RandomGamma
    fused  the steps of torchio_seg of the same names, probabilities and ranges
for several seeds in turn, with the same split and number of steps, and each best model is scored on the test cases.

    python benchmarks/augmentation_accuracy.py --root Task04_Hippocampus
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from common import machine

from torchio_seg import devices
from torchio_seg.config.resolve import choose
from torchio_seg.machine import num_processors
from torchio_seg.workflows.train import start

RESULT = Path(__file__).parent / "results" / "augmentation_accuracy.json"
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
    begun = time.perf_counter()
    trained = start(choose("decathlon", None, changes), runs)
    assert trained.evaluation is not None
    found = {summary.region: summary.mean_dice for summary in trained.evaluation.summaries}
    seconds = time.perf_counter() - begun
    return {"seed": seed, "dice": trained.evaluation.mean_dice, "regions": found, "seconds": round(seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="  %(message)s")
    results = earlier(arguments)
    with tempfile.TemporaryDirectory() as runs:
        for seed in range(arguments.seeds):
            for name, steps in (("stock", STOCK), ("fused", FUSED)):
                if seed in {run["seed"] for run in results[name]}:
                    continue
                results[name].append(train(arguments.root, steps, seed=seed, epochs=arguments.epochs, runs=Path(runs)))
                print(name, results[name][-1], flush=True)
                keep(arguments, results)


def earlier(arguments: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """The runs that the output holds already, if they are as long and from a machine of the same kind."""
    empty: dict[str, list[dict[str, Any]]] = {"stock": [], "fused": []}
    if not arguments.output.exists():
        return empty
    found = json.loads(arguments.output.read_text())
    same = found["epochs"] == arguments.epochs and found["device"] == devices.describe(devices.choose("auto"))
    return found["runs"] if same else empty


def keep(arguments: argparse.Namespace, results: dict[str, list[dict[str, Any]]]) -> None:
    """Write what is known after each run."""
    summary = {
        name: {
            "mean": round(statistics.mean(run["dice"] for run in found), 4),
            "spread": round(max(run["dice"] for run in found) - min(run["dice"] for run in found), 4),
            "seconds": round(statistics.median(run["seconds"] for run in found), 1),
        }
        for name, found in results.items()
        if found
    }
    print(summary, flush=True)
    about = {
        "what": "mean Dice of the hippocampus's test cases, same steps, seeds and split",
        "epochs": arguments.epochs,
        "device": devices.describe(devices.choose("auto")),
        "machine": machine(("torch", "torchio", "torchio-seg")),
        "summary": summary,
        "runs": results,
    }
    arguments.output.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
