"""What it takes to write the label map of a CT, and how large the file is, here and with other libraries.

A made-up map (512 x 512 x 200 unless told otherwise) of 13 organs with uneven surfaces is written as .nii.gz by
    ours        this package: checksummed, flushed to the disk, read back strictly, compared, renamed
    ours_slabs  the same, handed over 32 planes at a time, as a prediction in a stream does
    tio         `tio.LabelMap.save`
    nibabel     `nibabel.save`
and, dense, one in which every voxel of the body belongs to one of 13 regions, which compresses least.

The others neither flush nor read back. Each starts from the same array in memory, first axis slowest.

    python benchmarks/bench_writing.py [--shape 128 128 64] [--quick]
    python benchmarks/bench_writing.py --levels         # deflate alone: size and CPU time by way of compressing
"""

from __future__ import annotations

import argparse
import tempfile
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import common
import numpy as np

from torchio_seg.volumes.nifti import Volume, create, draft_like, read

PACKAGES = ("numpy", "torchio", "nibabel", "isal")
ORGANS, SLAB = 13, 32
MEASURED = ("wall_s", "cpu_s", "peak_mib", "mib")
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
    taken = common.measured(lambda: METHODS[name](path, label, like))
    found = read(path).array[0]
    size = round(path.stat().st_size / common.MIB, 4)
    return {**taken, "mib": size, "voxels_that_differ": int((found != label).sum())}


def of_map(kind: str, given: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """A row a method: medians, and TorchIO's over them."""
    label = MAPS[kind](tuple(given.shape))
    create(folder / "like.nii", np.zeros(given.shape, np.int16), np.diag([0.8, 0.8, 2.5, 1]), overwrite=True)
    like = read(folder / "like.nii")
    for write in METHODS.values():  # imports, and what is set up once
        write(folder / "first.nii.gz", label[:, :, :2], read_small(folder))
    runs = common.in_turn(list(METHODS), given.rounds, lambda name, _: measured(name, label, folder, like))
    rows = [{"map": kind, **row} for row in common.rows("method", runs, MEASURED)]
    theirs = next(row for row in rows if row["method"] == "tio")
    for row in rows:
        row["voxels_that_differ"] = max(run["voxels_that_differ"] for run in row["runs"])
        row["faster_than_tio"] = round(theirs["wall_s"] / row["wall_s"], 2)
        row["size_of_tio"] = round(row["mib"] / theirs["mib"], 3)
    return rows


def levels(shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """What deflate makes of each map, beside zlib's usual level, which TorchIO writes with."""
    from isal import isal_zlib

    ways: dict[str, Callable[[], Any]] = {
        f"zlib {level}": partial(zlib.compressobj, level) for level in (6, 1, 2, 3, 4)
    }
    ways["zlib, runs alone"] = partial(zlib.compressobj, 1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    ways |= {f"isal {level}": partial(isal_zlib.compressobj, level) for level in range(4)}
    rows = []
    for kind, make in MAPS.items():
        content = make(shape).T.tobytes()
        for name, begin in ways.items():
            began, squeeze = time.process_time(), begin()
            size = len(squeeze.compress(content)) + len(squeeze.flush())
            rows.append({"map": kind, "way": name, "cpu_s": time.process_time() - began, "mib": size / common.MIB})
            usual = next(row for row in rows if row["map"] == kind)
            rows[-1] |= {"faster": usual["cpu_s"] / rows[-1]["cpu_s"], "size": rows[-1]["mib"] / usual["mib"]}
    return [{key: round(cell, 3) if isinstance(cell, float) else cell for key, cell in row.items()} for row in rows]


def read_small(folder: Path) -> Volume:
    shape = read(folder / "like.nii").shape
    create(folder / "small.nii", np.zeros((*shape[:2], 2), np.int16), np.eye(4), overwrite=True)
    return read(folder / "small.nii")


def arguments() -> argparse.Namespace:
    parser = common.parser(__doc__, rounds=5)
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 200])
    parser.add_argument("--levels", action="store_true", help="ways to deflate, and no files")
    given = parser.parse_args()
    if given.quick:
        given.shape, given.rounds = [96, 96, 40], 1
    return given


def main() -> None:
    given = arguments()
    if given.levels:
        common.print_table(levels(tuple(given.shape)), ("map", "way", "cpu_s", "faster", "mib", "size"))
        return
    with tempfile.TemporaryDirectory() as name:
        rows = [row for kind in MAPS for row in of_map(kind, given, Path(name))]
    common.print_table(rows, ("map", "method", *MEASURED, "faster_than_tio", "size_of_tio", "voxels_that_differ"))
    print(f"aims, of organs: ours {AIMS['faster']} x as fast as tio; {AIMS['size']} x its size or {AIMS['or MiB']} MiB")
    content = {"shape": given.shape, "aims": AIMS, "results": rows}
    common.keep(common.output_of(given, "writing"), "writing a label map; medians of runs in turn", PACKAGES, content)


if __name__ == "__main__":
    main()
