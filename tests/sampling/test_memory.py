"""What feeding a training takes: no more the longer it runs, and of a case no more than its patches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torchio as tio

from torchio_seg.records import Case
from torchio_seg.sampling.choices import Foreground
from torchio_seg.sampling.patches import PatchRecipe, to_subject
from torchio_seg.sampling.stream import Feed, PatchStream
from torchio_seg.store.laying import Layout
from torchio_seg.store.preparing import prepare
from torchio_seg.store.store import Store
from torchio_seg.transforms import intensity, spatial
from torchio_seg.transforms.random import fused
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.volumes.nifti import create

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

MIB = 2**20
ZSCORE = Recipe(None, None, "zscore")


def tree_bytes() -> int:
    """Of this process and its children, what they share counted once, and no file's pages (Pss_Anon)."""
    me = os.getpid()
    children = [pid for task in Path(f"/proc/{me}/task").iterdir() for pid in _children(task)]
    return sum(_pss(pid) for pid in (me, *children))


def _children(task: Path) -> list[int]:
    try:
        return [int(pid) for pid in (task / "children").read_text().split()]
    except OSError:  # a thread has ended meanwhile
        return []


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # a process has ended meanwhile
        return 0
    for line in lines:
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(pid)


def stream(folder: Path, shape: tuple[int, int, int], size: int, num_cases: int) -> PatchStream:
    cases = []
    for number in range(num_cases):
        rng = np.random.default_rng(number)
        label = np.zeros(shape, np.uint8)
        label[2:9, 2:9, 2:9] = 1
        paths = [folder / f"{number}_{channel}.nii.gz" for channel in range(2)]
        for path in paths:
            create(path, np.broadcast_to(rng.integers(1, 200, shape[2]).astype(np.int16), shape), np.eye(4))
        create(folder / f"{number}_label.nii.gz", label, np.eye(4))
        cases.append(Case(str(number), tuple(paths), folder / f"{number}_label.nii.gz"))
    stored = prepare(Store(folder / "store"), cases, Layout(2, (0, 1), ZSCORE, "float32"))
    steps = fused([spatial.flip(), spatial.affine(probability=0.5), intensity.noise(), intensity.gamma()])
    recipe = PatchRecipe(ZSCORE, (size, size, size), 4, Foreground(0.5), tio.Compose(steps, copy=False))
    return PatchStream(tuple(to_subject(each, ZSCORE) for each in stored), recipe, 2, 0, num_workers=2)


def by_epoch(folder: Path) -> list[int]:
    feed = Feed(stream(folder, (30, 30, 30), 24, 2))
    found = []
    for number in range(50):
        for _ in feed.epoch(number):
            pass
        found.append(tree_bytes())
    feed.close()
    return found


def peak(folder: Path, shape: tuple[int, int, int]) -> int:
    folder /= "x".join(map(str, shape))
    folder.mkdir()
    patches = stream(folder, shape, 32, 1)
    before, highest = tree_bytes(), 0
    feed = Feed(patches)
    for number in range(3):
        for _ in feed.epoch(number):
            highest = max(highest, tree_bytes())
    feed.close()
    return highest - before


def alone(*words: object) -> list[int]:
    """Measured by a process that holds nothing else: workers forked from a large one come to own what they touch."""
    command = [sys.executable, __file__, *map(str, words)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"})
    values: list[int] = json.loads(found.stdout)
    return values


def test_memory_does_not_grow_over_fifty_epochs(tmp_path: Path) -> None:
    found = alone(tmp_path)
    slope = np.polyfit(np.arange(10, 50), found[10:], 1)[0]
    assert slope < 0.2 * MIB, [round(value / MIB) for value in found]


def test_a_large_case_costs_no_more_than_a_small_one(tmp_path: Path) -> None:
    """A worker that read the whole of the larger would hold 61 MiB more, twice that while it normalises."""
    (small,) = alone(tmp_path, 60, 60, 60)
    (large,) = alone(tmp_path, 200, 200, 200)
    assert large - small < 40 * MIB, (round(small / MIB), round(large / MIB))


if __name__ == "__main__":
    folder, *sides = sys.argv[1:]
    i, j, k = map(int, sides) if sides else (0, 0, 0)
    json.dump([peak(Path(folder), (i, j, k))] if sides else by_epoch(Path(folder)), sys.stdout)
