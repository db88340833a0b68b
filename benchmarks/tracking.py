"""What tracking costs: the same training untracked and tracked offline, in turns, each in a process of its own.

Reported are the medians over epochs and rounds of the CPU time of this process's threads during an epoch's steps, which
other work on the machine does not change as it changes the clock, and of the seconds of a whole training.

python benchmarks/tracking.py
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import machine

RESULT = Path(__file__).parent / "results" / "tracking.json"
ROUNDS = 2
MODES = ("disabled", "offline")
SETTINGS: dict[str, Any] = {
    "dataset.cases": 8,
    "dataset.shape": [64, 64, 48],
    "split.validation": 2,
    "split.test": 0,
    "sampling.patch_size": [32, 32, 32],
    "sampling.patches_per_case": 16,
    "training.epochs": 5,
    "training.validation_every": 1,
    "training.precision": "fp32",
    "network.channels": [8, 16],
    "device": "cpu",
}


def train(mode: str, folder: Path) -> None:
    """One training, whose epochs' and whole CPU seconds are printed."""
    from torchio_seg.config.resolve import load, shipped
    from torchio_seg.progress import Silent
    from torchio_seg.workflows.train import start

    class Clock(Silent):
        """CPU seconds of pieces of work."""

        def __init__(self) -> None:
            self.pieces: list[tuple[str, float]] = []
            self.spent: dict[str, list[float]] = {}

        def start(self, what: str, total: int | None) -> None:  # noqa: ARG002 (the protocol's)
            self.pieces.append((what.split(maxsplit=1)[0], time.process_time()))

        def finish(self) -> None:
            what, begun = self.pieces.pop()
            self.spent.setdefault(what, []).append(time.process_time() - begun)

    os.environ["WANDB_MODE"] = mode
    places = {"dataset.root": str(folder / "data"), "sampling.store": str(folder / "store")}
    clock, begun = Clock(), time.process_time()
    start(load(shipped()["phantom"], SETTINGS | places), folder / "runs", progress=clock)
    whole = time.process_time() - begun
    print(json.dumps({"epochs": clock.spent["epoch"][1:], "validations": clock.spent["cases"], "whole": whole}))


def main() -> None:
    found: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory() as folder:
        train_in_child("disabled", folder)  # makes the data
        for _ in range(ROUNDS):
            for mode in MODES:
                found[mode].append(train_in_child(mode, folder))
    medians = {
        mode: {
            "epoch": statistics.median(each for run in runs for each in run["epochs"]),
            "validation": statistics.median(each for run in runs for each in run["validations"]),
            "whole": statistics.median(run["whole"] for run in runs),
        }
        for mode, runs in found.items()
    }
    for mode, seconds in medians.items():
        print(mode, {name: round(value, 3) for name, value in seconds.items()})
    about = {"machine": machine(("torch", "wandb")), "cpu_seconds": medians, "runs": found}
    RESULT.write_text(json.dumps(about, indent=1) + "\n")


def train_in_child(mode: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, __file__, mode, folder]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        train(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
