"""The memory that a prediction takes, file to file, for scans that become longer and longer.

Made-up CTs of 512 x 512 voxels and 200 to 3200 slices (int16, 14 classes of brightness) are labelled in patches of 96^3
that share a quarter of their length, by a network that costs nearly nothing, from an uncompressed file and from a
.nii.gz; the label map is written as .nii.gz and read back. Each run is in a process of its own, whose peak of memory
(VmHWM, reset once everything is imported; imports, input and output included) is what is told. Labels are then held
against the rule, slab by slab.

With smaller planes, `--shape 128 128 --patch-size 32`, what may be held in memory shrinks with them, so that lengths
fall on the same ways as in full size.

    python benchmarks/bench_long_volume.py [--shape 128 128] [--patch-size 32] [--lengths 200 400] [--quick]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch

from torchio_seg.predictor.predictor import Predictor
from torchio_seg.predictor.window import Window
from torchio_seg.records import Labels
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.volumes.scan import open_scan
from torchio_seg.volumes.scratch import HELD_BYTES
from torchio_seg.volumes.writing import draft_at, write_slabs_like

PACKAGES = ("torch", "numpy", "nibabel", "isal")
CLASSES, OVERLAP, STEP = 14, 0.25, 100
LENGTHS = (200, 400, 800, 1600, 3200)
ENDS = (".nii", ".nii.gz")
SLAB = 32
AIM = 1.05
"""Times the peak at 800 slices that longer scans may take; shorter ones no more than it."""


def network(images: torch.Tensor) -> torch.Tensor:
    """The class whose brightness is nearest to a voxel's."""
    number = torch.arange(CLASSES, dtype=torch.float32).view(1, -1, 1, 1, 1) / (CLASSES - 1)
    return (images * (2 * number)).sub_(number**2).mul_(100)


def classes(shape: tuple[int, int, int], first: int, end: int) -> np.ndarray:
    """Of slices: slanted layers, around which there is nothing."""
    i, j, k = np.ogrid[: shape[0], : shape[1], first:end]
    layer = (i // 9 + j // 13 + k // 7) % CLASSES
    body = ((i / shape[0] - 0.5) / 0.45) ** 2 + ((j / shape[1] - 0.5) / 0.35) ** 2 < 1
    return np.where(body, layer, 0).astype(np.uint8)


def make(path: Path, shape: tuple[int, int, int]) -> None:
    """A scan on the disk, slab by slab, with noise that keeps a voxel nearest to its class."""
    rng = np.random.default_rng(0)
    noise = rng.integers(-STEP // 3, STEP // 3, (*shape[:2], SLAB)).astype(np.int16)
    with draft_at(path, shape, np.dtype("<i2"), np.diag([-0.8, -0.8, 1.5, 1])) as draft:
        for first in range(0, shape[2], SLAB):
            found = classes(shape, first, min(first + SLAB, shape[2]))
            draft.add((found * np.int16(STEP) + noise[:, :, : found.shape[2]]).astype(np.int16))
        draft.commit()


def run(argument: Mapping[str, Any]) -> dict[str, float]:
    """File to file, in the process that this is called in."""
    labels = Labels.of_classes({number: f"class {number}" for number in range(CLASSES)})
    spacing = argument["spacing"]
    recipe = Recipe(tuple(spacing) if spacing else None, None, "window", (0.0, float(STEP * (CLASSES - 1))))
    window = Window((argument["patch_size"],) * 3, OVERLAP, 1, "gaussian")
    predictor = Predictor(
        network, labels, recipe, window, torch.device("cpu"), "fp32", held_bytes=argument["held_bytes"]
    )
    clock, work = time.perf_counter(), time.process_time()
    with open_scan(Path(argument["path"]), held_bytes=argument["held_bytes"]) as scan:
        opened = time.perf_counter()
        found = predictor(scan.source, scan.affine, probabilities=False)
    computed = time.perf_counter()
    write_slabs_like(Path(argument["output"]), found.label_map, scan, lambda planes: planes, overwrite=True)
    taken = {"read_s": opened - clock, "network_s": computed - opened, "write_s": time.perf_counter() - computed}
    return {**taken, "cpu_s": time.process_time() - work}


def measured(path: Path, shape: tuple[int, int, int], given: argparse.Namespace) -> dict[str, Any]:
    output = path.with_name("label.nii.gz")
    held = int(HELD_BYTES * shape[0] * shape[1] / 512**2)
    argument = {"path": str(path), "output": str(output), "patch_size": given.patch_size, "held_bytes": held}
    answer, outcome = common.in_process("bench_long_volume:run", {**argument, "spacing": given.spacing})
    row = {key: round(value, 2) for key, value in answer.items()}
    mib = {"peak_mib": round(outcome.peak / common.MIB, 1), "imports_mib": round(outcome.before / common.MIB, 1)}
    return {**mib, **row, "voxels_that_differ": differing(output, shape)}


def differing(output: Path, shape: tuple[int, int, int]) -> int:
    with open_scan(output) as written:
        return sum(
            int(
                (
                    written.source.read(2, first, min(first + SLAB, shape[2]))[0]
                    != classes(shape, first, min(first + SLAB, shape[2]))
                ).sum()
            )
            for first in range(0, shape[2], SLAB)
        )


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
    told = []
    for end in ENDS:
        peaks = {row["slices"]: row["peak_mib"] for row in rows if row["input"] == end}
        if 800 not in peaks:
            continue
        for slices, peak in peaks.items():
            most = AIM if slices > 800 else 1.0
            told.append(f"{end}: {slices} slices take {peak / peaks[800]:.3f} of 800 (aim: at most {most:.2f})")
    return told


def arguments() -> argparse.Namespace:
    parser = common.parser(__doc__)
    parser.add_argument("--shape", type=int, nargs=2, default=[512, 512], help="of a slice")
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS))
    parser.add_argument("--patch-size", type=int, default=96)
    parser.add_argument("--spacing", type=float, nargs=3, help="of the model's grid; the scan's is 0.8 0.8 1.5 mm")
    parser.add_argument("--folder", type=Path, help="for scans, up to 3.4 GB at a time; default: temporary files")
    given = parser.parse_args()
    if given.quick:
        given.shape, given.lengths, given.patch_size = [64, 64], [100, 200], 16
    return given


def main() -> None:
    given = arguments()
    rows: list[dict[str, Any]] = []
    for length in given.lengths:
        shape = (*given.shape, length)
        for end in ENDS:
            with tempfile.TemporaryDirectory(dir=given.folder) as folder:
                make(Path(folder) / f"scan{end}", shape)
                row = {"input": end, "slices": length, **measured(Path(folder) / f"scan{end}", shape, given)}
            rows.append(row)
            print(row, flush=True)
    common.print_table(rows, list(rows[0]))
    print("\n".join(verdicts(rows)))
    about = {"slice": given.shape, "classes": CLASSES, "patch_size": given.patch_size, "overlap": OVERLAP}
    content = {**about, "spacing": given.spacing, "results": rows}
    common.keep(common.output_of(given, "long_volume"), "peak memory of a prediction, file to file", PACKAGES, content)


if __name__ == "__main__":
    main()
