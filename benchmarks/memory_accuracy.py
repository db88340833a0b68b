"""What patches cost in accuracy, beside what they save in memory: each trained for the same time, and whole volumes.

`torchio-seg benchmark memory --with-accuracy` on phantom brains of 128^3 voxels and, where its folder is given, on the
hippocampus of the Decathlon, where a whole volume is 48 x 64 x 48 voxels. The Dice is of the cases that are kept for
the end, or of those that validate where the data keep none. Run again, it goes on where it was.

    python benchmarks/memory_accuracy.py --root Task04_Hippocampus [--accuracy-time 6m] [--quick]
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import common

from torchio_seg.planning.telling import size_text
from torchio_seg.workflows.memory_benchmark import POINTS, read
from torchio_seg.workflows.memory_output import rows
from torchio_seg.workflows.memory_points import PACKAGES

WHAT = "memory of a training step, and Dice after the same time of training, in patches and in the whole volume"
FIXED = "--with-accuracy --network unet --work training --checkpointing off --precisions fp32"
PHANTOM = "--shape 128,128,128 --patches 64,96"
HIPPOCAMPUS = "--dataset decathlon --patches 24 --set network.channels=[16,32,64,128]"
QUICK = "--shape 32,32,32 --patches 16 --set network.channels=[4,8] --overwrite"


def main() -> None:
    given = arguments()
    data = {"phantom brains": QUICK if given.quick else PHANTOM}
    if given.root is not None:
        data["hippocampus"] = f"{HIPPOCAMPUS} --root {shlex.quote(str(given.root))}"
    found: list[dict[str, Any]] = []
    for name, options in data.items():
        folder = common.BUILD / ("memory_accuracy_quick" if given.quick else "memory_accuracy") / name.split()[0]
        folder.parent.mkdir(parents=True, exist_ok=True)
        words = ["benchmark", "memory", *shlex.split(f"{FIXED} {options}"), "--accuracy-time", given.accuracy_time]
        subprocess.run([sys.executable, "-m", "torchio_seg", *words, "-o", str(folder)], check=True)
        found += rows_of(name, folder / POINTS, given.accuracy_time)
        common.keep(common.output_of(given, "memory_accuracy"), WHAT, PACKAGES, {"results": found})


def arguments() -> argparse.Namespace:
    parser = common.parser(__doc__)
    parser.add_argument("--root", type=Path, help="folder of Task04_Hippocampus; without it phantoms alone")
    parser.add_argument("--accuracy-time", default="6m", help="of each training")
    given = parser.parse_args()
    if given.quick:
        given.root, given.accuracy_time = None, "10s"
    return given


def rows_of(data: str, path: Path, time: str) -> list[dict[str, Any]]:
    """A row for each size: what a step takes, and how well it segments after that time."""
    kept = read(path)
    steps = {each["patch"]: each["steps"] for each in kept["accuracy"] if each["max_time"] == time}
    table = rows({found.point: found for found in kept["points"]}, kept["accuracy"], time)
    return [
        {
            "data": data,
            "voxels": ("whole " if row["patch"] is None else "") + size_text(row["size"]),
            "memory_mib": round(row["memory_bytes"] / common.MIB),
            "of_whole": row["of_whole"],
            "step_s": row["seconds"],
            "trained_for": time,
            "steps": steps[row["patch"]],
            "dice": row["dice"],
        }
        for row in table
        if row["dice"] is not None
    ]


if __name__ == "__main__":
    main()
