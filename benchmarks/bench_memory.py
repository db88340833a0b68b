"""What a training step and a prediction take in patches and in whole volumes, for every network, on this machine.

`torchio-seg benchmark memory` with a fixed selection, a network after the other: BraTS's size in 4 channels and 4
classes, patches of 64 to 160 and the whole volume, fp32, and bf16 where the machine computes it; for one network also
with activation checkpointing, for two prediction with every blending. A point that does not fit into the memory limit,
or takes longer than the time limit, is marked and the rest goes on, without larger patches of what was too slow: that
holds it to a few hours on two cores. Run again, it goes on where it was; the result is written after each part.

    python benchmarks/bench_memory.py [--memory-limit 20GiB] [--networks unet segresnet] [--quick]
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import common

from torchio_seg import components
from torchio_seg.workflows.memory_benchmark import POINTS
from torchio_seg.workflows.memory_points import PACKAGES

NETWORKS = tuple(dict.fromkeys(("unet", *components.names("networks"))))
PARTS = (*((network, "training") for network in NETWORKS), ("unet", "prediction"), ("segresnet", "prediction"))
CHECKPOINTED = ("unet",)
FULL = "--shape 240,240,155 --patches 64,96,128,160 --precisions fp32,bf16 --set prediction.overlap=0.25"
QUICK = "--shape 96,96,64 --patches 32,48,64 --precisions fp32 --checkpointing off --memory-limit 2GiB --overwrite"


def main() -> None:
    given = arguments()
    folder = common.BUILD / ("memory_quick" if given.quick else "memory")
    folder.mkdir(parents=True, exist_ok=True)
    output = common.output_of(given, "memory")
    if not given.quick and output.exists() and not (folder / POINTS).exists():
        shutil.copy(output, folder / POINTS)  # what an earlier run measured, perhaps in another clone
    parts = PARTS[:1] if given.quick else PARTS
    commands = {part: command_of(*part, given) for part in parts if part[0] in given.networks}
    for words in commands.values():
        try:
            subprocess.run([sys.executable, "-m", "torchio_seg", *words, "-o", str(folder)], check=True)
        finally:
            keep(folder / POINTS, output, {part: command_of(*part, given) for part in PARTS})


def arguments() -> argparse.Namespace:
    parser = common.parser(__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--memory-limit", help="what a point may take; else 90 percent of what is free")
    parser.add_argument("--time-limit", type=int, default=240, help="seconds that a point may last")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def command_of(network: str, work: str, given: argparse.Namespace) -> list[str]:
    """What a user would type."""
    words = ["benchmark", "memory", "--network", network, "--work", work, "--device", given.device]
    if given.quick:
        return [*words, *shlex.split(QUICK)]
    limit = [] if given.memory_limit is None else ["--memory-limit", given.memory_limit]
    checkpointing = "both" if network in CHECKPOINTED else "off"
    words += ["--checkpointing", checkpointing, "--time-limit", str(given.time_limit)]
    return [*words, *shlex.split(FULL), *limit]


def keep(points: Path, result: Path, commands: Mapping[tuple[str, str], Sequence[str]]) -> None:
    """What was measured so far, and by which command."""
    if points.exists():
        told = {", ".join(part): f"torchio-seg {shlex.join(words)}" for part, words in commands.items()}
        what = "memory and time of a training step and of a prediction, in patches and in the whole volume"
        common.keep(result, what, PACKAGES, {"commands": told, **common.read(points)})


if __name__ == "__main__":
    main()
