"""What tracking costs: the same training untracked and tracked offline, in turns, each in a process of its own.

What counts is the CPU time of this process's threads during an epoch's steps, during a validation and in all, which
other work on the machine does not change as it changes the clock.

    python benchmarks/tracking.py [--quick]
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

import common

MEASURED = ("epoch_cpu_s", "validation_cpu_s", "whole_cpu_s")
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


QUICK: dict[str, Any] = {"dataset.cases": 4, "dataset.shape": [32, 32, 32], "training.epochs": 2}


def train(mode: str, folder: Path, *, quick: bool) -> None:
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
    settings = SETTINGS | (QUICK if quick else {}) | places
    start(load(shipped()["phantom"], settings), folder / "runs", progress=clock)
    whole = time.process_time() - begun
    print(json.dumps({"epochs": clock.spent["epoch"][1:], "validations": clock.spent["cases"], "whole": whole}))


def train_in_child(mode: str, folder: str, *, quick: bool) -> dict[str, float]:
    """The medians of one training's pieces."""
    words = [sys.executable, __file__, "--child", mode, folder, *(["--quick"] if quick else [])]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    told = json.loads(done.stdout.splitlines()[-1])
    epoch, validation = (statistics.median(told[what]) for what in ("epochs", "validations"))
    return {key: round(value, 4) for key, value in zip(MEASURED, (epoch, validation, told["whole"]), strict=True)}


def main() -> None:
    parser = common.parser(__doc__, rounds=2)
    parser.add_argument("--child", nargs=2, metavar=("MODE", "FOLDER"), help="train once; for this program itself")
    given = parser.parse_args()
    if given.child is not None:
        train(given.child[0], Path(given.child[1]), quick=given.quick)
        return
    rounds = 1 if given.quick else given.rounds
    with tempfile.TemporaryDirectory() as folder:
        train_in_child("disabled", folder, quick=given.quick)  # makes the data
        runs = common.in_turn(MODES, rounds, lambda mode, _: train_in_child(mode, folder, quick=given.quick))
    rows = common.rows("mode", runs, MEASURED)
    for row in rows[1:]:
        row["of_disabled"] = common.ratios(row, rows[0], MEASURED)
    common.print_table(rows, ("mode", *MEASURED))
    what = "CPU seconds of a training untracked and tracked offline by W&B; medians of trainings in turn"
    common.keep(common.output_of(given, "tracking"), what, ("torch", "wandb"), {"settings": SETTINGS, "results": rows})


if __name__ == "__main__":
    main()
