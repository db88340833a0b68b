"""Results of the memory benchmark that nothing was measured for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torchio_seg.network_sizes import Size
from torchio_seg.workflows.memory_benchmark import Results
from torchio_seg.workflows.memory_points import Bench, Measured, Point
from torchio_seg.workflows.memory_setup import Wishes, make_bench

MEGA = 10**6
TRAINING = Point("unet", "training", None, "fp32")


def bench(shape: Size = (160, 160, 96), limit: int = 10**12, **changes: Any) -> Bench:
    wishes = Wishes(changes={"device": "cpu", **changes}, shape=shape, memory_limit=limit)
    return make_bench(wishes)[1]


def taken(own: Bench, edge: int | None) -> Measured:
    """300 MB and 500 bytes a voxel."""
    point = replace(TRAINING, patch=edge)
    size = own.size_of(point)
    voxels = size[0] * size[1] * size[2]
    before = 200 * MEGA
    return Measured(point, size, True, limit=own.limit, before=before, peak=300 * MEGA + 500 * voxels, seconds=1.0)


def filled(tmp_path: Path, edges: tuple[int | None, ...], own: Bench | None = None) -> Results:
    """Results in which every edge is known already."""
    own = own or bench()
    results = Results(tmp_path / "points.json", own)
    results.measured = {found.point: found for found in (taken(own, edge) for edge in edges)}
    return results
