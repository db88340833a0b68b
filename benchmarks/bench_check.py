"""What checking a data set costs beside merely decompressing its files.

Six made-up cases of BraTS's size (four images of 240 x 240 x 155 voxels in a file each, one label map) are read
    gzip   by Python's gzip module, file by file, a mebibyte at a time, which is the least a reader can do
    check  by `torchio_seg.check.gathering.gather` and all checks, as `torchio-seg check --verify` does
in turn, several times, first by one processor each and then by as many as there are.

    python benchmarks/bench_check.py [--quick]
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import common
import numpy as np

from torchio_seg.check.checks import run_checks
from torchio_seg.check.gathering import gather
from torchio_seg.check.known import Known
from torchio_seg.config.sections import Preprocessing
from torchio_seg.facts import watch
from torchio_seg.records import Case, Dataset, Labels, Split
from torchio_seg.volumes.nifti import create

Shape = tuple[int, int, int]
SHAPE, QUICK_SHAPE = (240, 240, 155), (96, 96, 62)
CHANNELS = ("T1", "T1ce", "T2", "FLAIR")
CASES = 6
MEASURED = ("wall_s", "cpu_s", "peak_mib")


def make_cases(folder: Path, shape: Shape) -> Dataset:
    """Brains of noise in empty space, which compress about as BraTS does, with a ball as tumour."""
    generator = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    brain = (np.square(grid) * np.array([2.2, 1.7, 1.7])[:, None, None, None]).sum(0) < 1
    tumour = np.square(grid - 0.2).sum(0) < 0.03
    cases = []
    for number in range(CASES):
        images = tuple(folder / f"case{number}_{channel}.nii.gz" for channel in CHANNELS)
        for path in images:
            create(path, np.where(brain, generator.normal(400, 60, shape), 0).astype(np.int16), np.eye(4))
        label = folder / f"case{number}_seg.nii.gz"
        create(label, tumour.astype(np.uint8), np.eye(4))
        cases.append(Case(f"case{number}", images, label))
    return Dataset("bench", CHANNELS, Labels.of_classes({0: "background", 1: "tumour"}), tuple(cases))


def decompress(paths: Sequence[Path], processors: int) -> None:
    """Read every byte and keep none."""

    def read(path: Path) -> None:
        with gzip.open(path) as file:
            while file.read(1 << 20):
                pass

    with ThreadPoolExecutor(processors) as pool:
        list(pool.map(read, paths))


def check(dataset: Dataset) -> None:
    """Everything that the command does once the cases are listed."""
    split = Split(tuple(case.id for case in dataset.cases), ())
    with watch(verify=True) as watched:
        files = gather(dataset.cases)
        assert run_checks(Known(dataset, split, Preprocessing(), files)) == ()
    assert len(watched.read) == len(dataset.cases) * (len(CHANNELS) + 1)


def compare(dataset: Dataset, processors: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """Both in turn, so that a busy machine slows both."""
    paths = [path for case in dataset.cases for path in case.files]
    readers = {"gzip": lambda: decompress(paths, len(processors)), "check": lambda: check(dataset)}
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        runs = common.in_turn(list(readers), rounds, lambda name, _: common.measured(readers[name]))
    finally:
        os.sched_setaffinity(0, before)
    plain, checked = common.rows("reader", runs, MEASURED)
    checked["of_gzip"] = common.ratios(checked, plain, ("wall_s", "cpu_s"))
    return [{"processors": len(processors), **row} for row in (plain, checked)]


def main() -> None:
    given = common.parser(__doc__, rounds=5).parse_args()
    shape, rounds = (QUICK_SHAPE, 1) if given.quick else (SHAPE, given.rounds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TORCHIO_SEG_CACHE"] = str(folder / "memory")
        dataset = make_cases(folder, shape)
        stored = sum(path.stat().st_size for case in dataset.cases for path in case.files)
        everyone = sorted(os.sched_getaffinity(0))
        rows = [row for chosen in (everyone[:1], everyone) for row in compare(dataset, chosen, rounds)]
    common.print_table(rows, ("processors", "reader", *MEASURED, "of_gzip.wall_s", "of_gzip.cpu_s"))
    what = f"seconds to decompress, and to check, {CASES} cases of four images and a label map; medians of runs in turn"
    content = {"shape": shape, "files": CASES * (len(CHANNELS) + 1), "stored_megabytes": round(stored / 1e6, 1)}
    common.keep(common.output_of(given, "check"), what, ("numpy", "nibabel", "isal"), content | {"results": rows})


if __name__ == "__main__":
    main()
