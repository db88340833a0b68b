"""Where the time of a patch goes: the loader of bench_loading.py with ever more of what it does, one thread.

read       the box of a patch without augmentation, normalised
+ move     flips and affine maps: a larger box, and its interpolation
+ change   bias field, noise and gamma
+ queue    handed over by two workers and made a batch of (the work of all processes)

    python benchmarks/loading_parts.py [--quick]
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import common
import torch
from loaders import ours
from loaders.cases import BATCH_SIZE, make_cases

BATCHES, WARM_UP = 24, 4
NOTHING: list[Any] = []
PARTS = {
    "read": (0, {"spatial": NOTHING, "intensity": NOTHING}),
    "+ move": (0, {"spatial": ours.AUGMENTATION["spatial"], "intensity": NOTHING}),
    "+ change": (0, ours.AUGMENTATION),
    "+ queue": (2, ours.AUGMENTATION),
}


def measure(folder: Path, part: str, seed: int, batches: int) -> dict[str, float]:
    """Milliseconds of work for a patch."""
    num_workers, steps = PARTS[part]
    stream = ours.batches(folder, num_workers, seed, augmentation=steps)
    for _ in range(WARM_UP):
        next(stream)
    begun = common.cpu_seconds(os.getpid())
    for _ in range(batches):
        next(stream)
    taken = common.cpu_seconds(os.getpid()) - begun
    stream.close()  # type: ignore[attr-defined]
    return {"cpu_ms_per_patch": 1000 * taken / (batches * BATCH_SIZE)}


def main() -> None:
    given = common.parser(__doc__, rounds=5).parse_args()
    rounds, batches = (1, 4) if given.quick else (given.rounds, BATCHES)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_cases(folder, *((3, (128, 128, 112)) if given.quick else (6, (240, 240, 155))))
        ours.prepare(folder)
        runs = common.in_turn(list(PARTS), rounds, lambda part, seed: measure(folder, part, seed, batches))
    rows = common.rows("up to and with", runs, ("cpu_ms_per_patch",))
    common.print_table(rows, ("up to and with", "cpu_ms_per_patch"))
    what = "CPU milliseconds of a patch, up to and with each part of the loader; medians of runs in turn"
    common.keep(common.output_of(given, "loading_parts"), what, ("torch", "numpy"), {"results": rows})


if __name__ == "__main__":
    main()
