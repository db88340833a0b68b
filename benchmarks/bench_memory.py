"""What a training step and a prediction take in patches and in whole volumes, for every network, on this machine.

`torchio-seg benchmark memory` with a fixed selection: BraTS's size in 4 channels and 4 classes, patches of 64 to 160
and the whole volume, fp32 and bf16, with and without activation checkpointing. A point that does not fit into the
memory limit, or takes longer than the time limit, is marked and the rest goes on. Run again, it goes on where it was.

    python benchmarks/bench_memory.py [--memory-limit 20GiB] [--quick]
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULT = HERE / "results" / "memory.json"
WORK = HERE.parent / "build" / "benchmarks"
FULL = (
    "--all --shape 240,240,155 --patches 64,96,128,160 --precisions fp32,bf16 --time-limit 600 "
    "--set prediction.overlap=0.25"
)
QUICK = (
    "--network unet --shape 96,96,64 --patches 32,48,64 --precisions fp32 --checkpointing off --work training "
    "--memory-limit 2GiB"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one network, a small volume: whether everything works")
    parser.add_argument("--memory-limit", help="what a point may take; else 90 percent of what is free")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, help="default results/memory.json; --quick writes none")
    given = parser.parse_args()
    output = given.output or (None if given.quick else RESULT)
    words = [*shlex.split(QUICK if given.quick else FULL), "--device", given.device]
    if given.memory_limit is not None:
        words += ["--memory-limit", given.memory_limit]
    folder = WORK / ("memory_quick" if given.quick else "memory")
    folder.mkdir(parents=True, exist_ok=True)
    command = ["benchmark", "memory", *words, "-o", str(folder)]
    try:
        subprocess.run([sys.executable, "-m", "torchio_seg", *command], check=True)
    finally:
        if output is not None:
            keep(folder / "points.json", output, f"torchio-seg {shlex.join(command[:-2])}")


def keep(points: Path, result: Path, command: str) -> None:
    """Copy what was measured, the command on top."""
    if points.exists():
        found = json.loads(points.read_text())
        result.write_text(json.dumps({"command": command, **found}, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
