"""What a training step and a prediction take in patches and in whole volumes, for every network, on this machine.

`torchio-seg benchmark memory` with a fixed selection: BraTS's size in 4 channels and 4 classes, patches of 64 to 160 and
the whole volume, fp32 and bf16, with and without activation checkpointing. A point that does not fit into the memory
limit, or takes longer than the time limit, is marked and the rest goes on. Run again, it goes on where it was stopped.

    python benchmarks/bench_memory.py [--memory-limit 20GiB]
    python benchmarks/bench_memory.py --quick

--quick: one network, a small volume, patches of 32, 48 and 64; results/memory_quick.json in place of results/memory.json.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
WORK = HERE.parent / "build" / "benchmarks"
FULL = "--all --shape 240,240,155 --patches 64,96,128,160 --precisions fp32,bf16 --time-limit 900"
QUICK = (
    "--network unet --shape 96,96,64 --patches 32,48,64 --precisions fp32 --checkpointing off --work training "
    "--memory-limit 2GiB"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="whether everything works, in a few minutes")
    parser.add_argument("--memory-limit", help="what a point may take; else 90 percent of what is free")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    name = "memory_quick" if given.quick else "memory"
    words = [*shlex.split(QUICK if given.quick else FULL), "--device", given.device]
    if given.memory_limit is not None:
        words += ["--memory-limit", given.memory_limit]
    folder = WORK / name
    folder.mkdir(parents=True, exist_ok=True)
    command = ["benchmark", "memory", *words, "-o", str(folder)]
    try:
        subprocess.run([sys.executable, "-m", "torchio_seg", *command], check=True)
    finally:
        keep(folder / "points.json", RESULTS / f"{name}.json", f"torchio-seg {shlex.join(command[:-2])}")


def keep(points: Path, result: Path, command: str) -> None:
    """Copy what was measured, the command on top."""
    if points.exists():
        found = json.loads(points.read_text())
        result.write_text(json.dumps({"command": command, **found}, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
