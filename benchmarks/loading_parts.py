"""Where the time of a patch goes: the loader of bench_loading.py with ever more of what it does, one thread.

read       the box of a patch without augmentation, normalised
+ move     flips and affine maps: a larger box, and its interpolation
+ change   bias field, noise and gamma
+ queue    handed over by two workers and made a batch of (the work of all processes)

python benchmarks/loading_parts.py
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from common import cpu_seconds, machine
from loaders import ours
from loaders.cases import BATCH_SIZE, make_cases

RESULT = Path(__file__).parent / "results" / "loading_parts.json"
ROUNDS, BATCHES, WARM_UP = 5, 24, 4
NOTHING: list[Any] = []
PARTS = {
    "read": (0, {"spatial": NOTHING, "intensity": NOTHING}),
    "+ move": (0, {"spatial": ours.AUGMENTATION["spatial"], "intensity": NOTHING}),
    "+ change": (0, ours.AUGMENTATION),
    "+ queue": (2, ours.AUGMENTATION),
}


def measure(folder: Path, num_workers: int, steps: ours.Steps, seed: int) -> float:
    """Milliseconds of work for a patch."""
    stream = ours.batches(folder, num_workers, seed, augmentation=steps)
    for _ in range(WARM_UP):
        next(stream)
    begun = cpu_seconds(os.getpid())
    for _ in range(BATCHES):
        next(stream)
    taken = cpu_seconds(os.getpid()) - begun
    stream.close()  # type: ignore[attr-defined]
    return 1000 * taken / (BATCHES * BATCH_SIZE)


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_cases(folder, 6, (240, 240, 155))
        ours.prepare(folder)
        runs: dict[str, list[float]] = {part: [] for part in PARTS}
        for seed in range(ROUNDS):
            for part, (num_workers, steps) in PARTS.items():
                runs[part].append(measure(folder, num_workers, steps, seed))
    medians = {part: round(statistics.median(found), 1) for part, found in runs.items()}
    print("CPU milliseconds a patch, up to and with each part:", medians)
    about = {"machine": machine(("torch", "numpy")), "cpu_ms_per_patch": medians, "runs": runs}
    RESULT.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
