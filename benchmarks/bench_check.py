"""What checking a data set costs beside merely decompressing its files.

Six made-up cases of BraTS's size (four images of 240 x 240 x 155 voxels in a file each, one label map) are read
    gzip   by Python's gzip module, file by file, a mebibyte at a time, which is the least a reader can do
    check  by `torchio_seg.check.gathering.gather` and all checks, as `torchio-seg check --verify` does
in turn, several times, first by one processor each and then by as many as there are.

    python benchmarks/bench_check.py
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from torchio_seg.check.checks import run_checks
from torchio_seg.check.gathering import gather
from torchio_seg.check.known import Known
from torchio_seg.config.sections import Preprocessing
from torchio_seg.facts import watch
from torchio_seg.records import Case, Dataset, Labels, Split
from torchio_seg.volumes.nifti import create

SHAPE = (240, 240, 155)
CHANNELS = ("T1", "T1ce", "T2", "FLAIR")
CASES = 6
RESULT = Path(__file__).parent / "results" / "check.json"


def make_cases(folder: Path) -> Dataset:
    """Brains of noise in empty space, which compress about as BraTS does, with a ball as tumour."""
    generator = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    brain = (np.square(grid) * np.array([2.2, 1.7, 1.7])[:, None, None, None]).sum(0) < 1
    tumour = np.square(grid - 0.2).sum(0) < 0.03
    cases = []
    for number in range(CASES):
        images = tuple(folder / f"case{number}_{channel}.nii.gz" for channel in CHANNELS)
        for path in images:
            create(path, np.where(brain, generator.normal(400, 60, SHAPE), 0).astype(np.int16), np.eye(4))
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


def seconds(work: Callable[[], None]) -> tuple[float, float]:
    """By the clock, and of the processors' work, which other programs on the machine hardly change."""
    clock, worked = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - worked


def compare(dataset: Dataset, processors: Sequence[int], repeats: int) -> dict[str, object]:
    """Both in turn, so that a busy machine slows both."""
    paths = [path for case in dataset.cases for path in case.files]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        runs: dict[str, list[tuple[float, float]]] = {"gzip": [], "check": []}
        for _ in range(repeats):
            runs["gzip"].append(seconds(lambda: decompress(paths, len(processors))))
            runs["check"].append(seconds(lambda: check(dataset)))
    finally:
        os.sched_setaffinity(0, before)
    row: dict[str, object] = {"processors": len(processors)}
    for position, kind in enumerate(("clock", "work")):
        medians = {name: statistics.median(run[position] for run in found) for name, found in runs.items()}
        row[kind] = {name: round(value, 3) for name, value in medians.items()}
        row[f"{kind}_ratio"] = round(medians["check"] / medians["gzip"], 3)
        row[f"{kind}_runs"] = {name: [round(run[position], 3) for run in found] for name, found in runs.items()}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TORCHIO_SEG_CACHE"] = str(folder / "memory")
        dataset = make_cases(folder)
        stored = sum(path.stat().st_size for case in dataset.cases for path in case.files)
        everyone = sorted(os.sched_getaffinity(0))
        rows = [compare(dataset, chosen, arguments.repeats) for chosen in (everyone[:1], everyone)]
    for row in rows:
        print(f"{row['processors']} processors, seconds by the clock {row['clock']}, ratio {row['clock_ratio']}")
        print(f"{row['processors']} processors, seconds of work      {row['work']}, ratio {row['work_ratio']}")
    about = {
        "what": "seconds to decompress, and to check, six cases of BraTS's size; medians of runs in turn",
        "files": CASES * (len(CHANNELS) + 1),
        "stored_megabytes": round(stored / 1e6, 1),
        "load_average": os.getloadavg()[0],
        "machine": f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}",
        "results": rows,
    }
    arguments.output.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
