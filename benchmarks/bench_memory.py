"""What a training step and a prediction take in patches and in whole volumes, for every network, on this machine.

`torchio-seg benchmark memory` with a fixed selection, a network after the other: BraTS's size in 4 channels and 4
classes, patches of 64 to 160 and the whole volume, with and without activation checkpointing, fp32, and bf16 where the
machine computes it; prediction with every blending for the first two networks. A point that does not fit into the
memory limit, or takes longer than the time limit, is marked and the rest goes on, without larger patches of what was
too slow: about two hours on two cores. Run again, it goes on where it was; what is there is kept after each network.

    python benchmarks/bench_memory.py [--memory-limit 20GiB] [--networks unet segresnet] [--quick]
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import common

from torchio_seg.workflows.memory_benchmark import POINTS
from torchio_seg.workflows.memory_points import PACKAGES

WORK_OF = {
    "unet": "both",
    "segresnet": "both",
    "unet_plain": "training",
    "unetr": "training",
    "dynunet": "training",
    "swinunetr": "training",
    "resencunet": "training",
}
"""The fast ones first."""
FULL = "--shape 240,240,155 --patches 64,96,128,160 --precisions fp32,bf16 --set prediction.overlap=0.25"
QUICK = "--shape 96,96,64 --patches 32,48,64 --precisions fp32 --checkpointing off --memory-limit 2GiB --overwrite"


def main() -> None:
    given = arguments()
    folder = common.BUILD / ("memory_quick" if given.quick else "memory")
    folder.mkdir(parents=True, exist_ok=True)
    commands: dict[str, str] = {}
    for network in ["unet"] if given.quick else given.networks:
        words = command_of(network, given)
        commands[network] = f"torchio-seg {shlex.join(words)}"
        try:
            subprocess.run([sys.executable, "-m", "torchio_seg", *words, "-o", str(folder)], check=True)
        finally:
            keep(folder / POINTS, common.output_of(given, "memory"), commands)


def arguments() -> argparse.Namespace:
    parser = common.parser(__doc__)
    parser.add_argument("--networks", nargs="+", choices=WORK_OF, default=list(WORK_OF))
    parser.add_argument("--memory-limit", help="what a point may take; else 90 percent of what is free")
    parser.add_argument("--time-limit", type=int, default=240, help="seconds that a point may last")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def command_of(network: str, given: argparse.Namespace) -> list[str]:
    """What a user would type."""
    words = ["benchmark", "memory", "--network", network, "--device", given.device]
    if given.quick:
        return [*words, "--work", "training", *shlex.split(QUICK)]
    limit = [] if given.memory_limit is None else ["--memory-limit", given.memory_limit]
    work = ["--work", WORK_OF[network], "--time-limit", str(given.time_limit)]
    return [*words, *work, *shlex.split(FULL), *limit]


def keep(points: Path, result: Path, commands: dict[str, str]) -> None:
    """What was measured so far, and by which command."""
    if points.exists():
        what = "memory and time of a training step and of a prediction, in patches and in the whole volume"
        common.keep(result, what, PACKAGES, {"commands": commands, **common.read(points)})


if __name__ == "__main__":
    main()
