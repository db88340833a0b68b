"""What it takes to write the label map of a CT, and how large the file is, here and with other libraries.

A made-up map (512 x 512 x 200 unless told otherwise) of 13 organs with uneven surfaces is written as .nii.gz by
    ours        this package: checksummed, flushed to the disk, read back strictly, compared, renamed
    ours_slabs  the same, handed over 32 planes at a time, as a prediction in a stream does
    tio         `tio.LabelMap.save`
    nibabel     `nibabel.save`
and, dense, one in which every voxel of the body belongs to one of 13 regions, which compresses least.

The others neither flush nor read back. Each starts from the same array in memory, first axis slowest.

    python benchmarks/bench_writing.py [--shape 128 128 64] [--quick]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import numpy as np

from torchio_seg.volumes.nifti import Volume, create, draft_like, read

HERE = Path(__file__).parent
RESULT = HERE / "results" / "writing.json"
PACKAGES = ("numpy", "torchio", "nibabel", "isal")
ORGANS, SLAB = 13, 32
AIMS = {"faster": 5.0, "size": 1.1, "or MiB": 0.5}
"""Times as fast as TorchIO; times its size, or so many MiB where that is more."""

Write = Callable[[Path, np.ndarray, Volume], None]


def organs(shape: tuple[int, ...]) -> np.ndarray:
    """Ellipsoids with dents."""
    rng = np.random.default_rng(1)
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    label = np.zeros(shape, np.uint8)
    waves = 0.15 * np.sin(axes[0] / 5) * np.cos(axes[1] / 7) + 0.1 * np.sin(axes[2] / 3)
    for value in range(1, ORGANS + 1):
        centre, radius = rng.uniform(0.25, 0.75, 3), rng.uniform(0.02, 0.14, 3)
        where = sum(((x / n - c) / r) ** 2 for x, n, c, r in zip(axes, shape, centre, radius, strict=True))
        label[where + waves < 1] = value
    return label


def dense(shape: tuple[int, ...]) -> np.ndarray:
    """A body of which each voxel is of the organ whose seed is nearest, with uneven borders."""
    rng = np.random.default_rng(2)
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    waves = 0.03 * np.sin(axes[0] / 6) * np.cos(axes[1] / 9) * np.sin(axes[2] / 4)
    nearest, label = np.full(shape, np.inf, np.float32), np.zeros(shape, np.uint8)
    for value in range(1, ORGANS + 1):
        seed = rng.uniform(0.2, 0.8, 3)
        distance = sum((x / n - s) ** 2 for x, n, s in zip(axes, shape, seed, strict=True)) + waves * (value % 3)
        closer = distance < nearest
        nearest[closer], label[closer] = distance[closer], value
    body = ((axes[0] / shape[0] - 0.5) / 0.42) ** 2 + ((axes[1] / shape[1] - 0.5) / 0.3) ** 2
    label[np.broadcast_to(body > 1, shape)] = 0
    return label


def ours(path: Path, label: np.ndarray, like: Volume) -> None:
    from torchio_seg.volumes.nifti import write_like

    write_like(path, label, like, overwrite=True)


def ours_slabs(path: Path, label: np.ndarray, like: Volume) -> None:
    with draft_like(path, label.shape, label.dtype, like, overwrite=True) as draft:
        for first in range(0, label.shape[2], SLAB):
            draft.add(label[:, :, first : first + SLAB])
        draft.commit()


def tio(path: Path, label: np.ndarray, like: Volume) -> None:
    import torch
    import torchio

    torchio.LabelMap(tensor=torch.from_numpy(label)[None], affine=like.affine).save(path)


def nibabel(path: Path, label: np.ndarray, like: Volume) -> None:
    import nibabel as nib

    nib.save(nib.Nifti1Image(label, like.affine), path)


METHODS: dict[str, Write] = {"ours": ours, "ours_slabs": ours_slabs, "tio": tio, "nibabel": nibabel}
MAPS = {"organs": organs, "dense": dense}


def measured(name: str, label: np.ndarray, folder: Path, like: Volume) -> dict[str, float]:
    path = folder / f"{name}.nii.gz"
    clock = time.perf_counter()
    METHODS[name](path, label, like)
    wall = time.perf_counter() - clock
    found = read(path).array[0]
    return {
        "wall_s": round(wall, 4),
        "mib": round(path.stat().st_size / 2**20, 4),
        "voxels_that_differ": int((found != label).sum()),
    }


def of_map(kind: str, given: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """A row a method: medians, and TorchIO's over them."""
    label = MAPS[kind](tuple(given.shape))
    create(folder / "like.nii", np.zeros(given.shape, np.int16), np.diag([0.8, 0.8, 2.5, 1]), overwrite=True)
    like = read(folder / "like.nii")
    for write in METHODS.values():  # imports, and what is set up once
        write(folder / "first.nii.gz", label[:, :, :2], read_small(folder))
    runs = common.in_turn(list(METHODS), given.rounds, lambda name, _: measured(name, label, folder, like))
    rows: list[dict[str, Any]] = [
        {"map": kind, "method": name, "wall_s": statistics.median(run["wall_s"] for run in found)}
        | {"mib": found[0]["mib"], "voxels_that_differ": max(run["voxels_that_differ"] for run in found)}
        | {"runs_s": [run["wall_s"] for run in found]}
        for name, found in runs.items()
    ]
    theirs = next(row for row in rows if row["method"] == "tio")
    for row in rows:
        row["faster_than_tio"] = round(theirs["wall_s"] / row["wall_s"], 2)
        row["size_of_tio"] = round(row["mib"] / theirs["mib"], 3)
    return rows


def read_small(folder: Path) -> Volume:
    shape = read(folder / "like.nii").shape
    create(folder / "small.nii", np.zeros((*shape[:2], 2), np.int16), np.eye(4), overwrite=True)
    return read(folder / "small.nii")


def print_table(rows: list[dict[str, Any]]) -> None:
    print(f"{'map':8} {'method':11} {'wall s':>8} {'MiB':>8} {'faster than tio':>16} {'size of tio':>12} {'differ':>7}")
    for row in rows:
        print(
            f"{row['map']:8} {row['method']:11} {row['wall_s']:8.3f} {row['mib']:8.3f} {row['faster_than_tio']:16.2f} "
            f"{row['size_of_tio']:12.2f} {row['voxels_that_differ']:7}"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 200])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a small map, one round: whether everything works")
    parser.add_argument("--output", type=Path, help=f"default {RESULT.relative_to(HERE.parent)}; --quick writes none")
    given = parser.parse_args()
    if given.quick:
        given.shape, given.rounds = [96, 96, 40], 1
    return given


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory() as name:
        rows = [row for kind in MAPS for row in of_map(kind, given, Path(name))]
    print_table(rows)
    print(f"aims, of organs: ours {AIMS['faster']} x as fast as tio; {AIMS['size']} x its size or {AIMS['or MiB']} MiB")
    output = given.output or (None if given.quick else RESULT)
    if output is not None:
        about = {"what": "writing a label map; medians of runs in turn", "shape": given.shape, "aims": AIMS}
        about["machine"] = common.machine(PACKAGES)
        output.write_text(json.dumps({**about, "results": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
