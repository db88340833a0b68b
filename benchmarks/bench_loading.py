"""How fast augmented training patches are made from the same cases, here and by other libraries.

Six made-up cases of BraTS's size (four images of 240 x 240 x 155 voxels in a file each, a label map) become batches of
two patches of 96^3 voxels, by
    queue_raw     TorchIO's queue over the files, whole volumes augmented
    queue_arrays  the same over volumes that were preprocessed once and kept as arrays
    monai_cache   MONAI's CacheDataset, crops augmented
    nnunet        nnU-Net's loader and default augmentation on its own preprocessed files
    memmap        reading alone, without augmentation: the limit
    ours          this package's loader with the augmentation of the first three
    ours_nnunet   the same with nnU-Net's families
each as loaders/ has it, in a process of its own for each run, in turn. What a loader keeps on disk is made before.

Batches are taken as fast as they come. After the first batch and a warm-up the loader is in its stride, and what it
then spends on a stretch of patches is counted: the clock, and the processors' work in the process and in all that it
has started. The stretch holds whole fillings of TorchIO's queue and begins and ends right after one, so that none lives
on a stock that it did not make. Imports are not counted; caching and the start of workers are, apart (`first_batch`).
Memory is the most that all processes of a run held together (PSS), beyond what the imports had taken.

    python benchmarks/bench_loading.py [--quick | --compare]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import common
from loaders import LOADERS

from torchio_seg.files import write_json

HERE = Path(__file__).parent
NAME = "loading"
AVAILABLE = tuple(name for name in LOADERS if name != "nnunet" or find_spec("nnunetv2"))
QUICK_LOADERS = ("queue_arrays", "monai_cache", "ours")
PACKAGES = (
    "torch",
    "numpy",
    "torchio",
    "SimpleITK",
    "monai",
    "nnunetv2",
    "batchgenerators",
    "batchgeneratorsv2",
    "blosc2",
)
PERIOD = 24
"""Patches in a filling of TorchIO's queue."""
WARM_UP = 8
"""Patches between the first batch and what is measured."""
AIMS = {"queue_raw": 6.0, "queue_arrays": 4.0, "monai_cache": 1.8, "nnunet": 2.0}
"""Times our work that each was to take, at least."""
MOST_MIB = 600
CASES, PATCHES_PER_CASE = 6, 8
MEASURED = ("cpu_ms_per_patch", "patches_per_s", "peak_mib", "peak_files_mib", "first_batch_s", "first_batch_cpu_s")


def child(task: str, name: str, folder: Path, *options: int) -> tuple[dict[str, Any], common.Memory]:
    """A task with a loader, and the most memory it took."""
    output = folder / "result.json"
    output.unlink(missing_ok=True)
    words = [sys.executable, "-m", "loaders", task, name, str(folder), str(output), *map(str, options)]
    peak = common.peak_memory(words, HERE)
    result: dict[str, Any] = common.read(output)
    return result, peak


def run(folder: Path, name: str, *options: int) -> dict[str, float]:
    """One run of a loader with workers, a seed, a warm-up and patches."""
    found, peak = child("measure", name, folder, *options)
    before = found["first_batch"]
    figures = (
        found["cpu_s"] * 1e3,
        1 / found["clock_s"],
        (peak.total - found["imports_bytes"]) / 2**20,
        (peak.files - found["imports_files_bytes"]) / 2**20,
        before["clock_s"],
        before["cpu_s"],
    )
    return {key: round(value, 3) for key, value in zip(MEASURED, figures, strict=True)}


def summarize(runs: Mapping[str, Sequence[Mapping[str, float]]], num_workers: int) -> list[dict[str, Any]]:
    """A row a loader: medians, and how many times our work, our speed and our memory it takes."""
    rows = [{"num_workers": num_workers, **row} for row in common.rows("loader", runs, MEASURED)]
    medians = {row["loader"]: row for row in rows}
    for row in rows:
        ours = medians.get("ours_nnunet" if "nnunet" in row["loader"] else "ours")
        if ours is not None:
            row["of_ours"] = common.ratios(row, ours, MEASURED[:3])
    return rows


def verdicts(rows: Sequence[Mapping[str, Any]], taken: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How each loader compares with ours, beside what was aimed at."""
    found = {(row["loader"], row["num_workers"]): row for row in rows}
    told = []
    for (name, workers), row in found.items():
        ours = found.get(("ours_nnunet" if name == "nnunet" else "ours", workers))
        if ours is None or name.startswith("ours"):
            continue
        work = row["cpu_ms_per_patch"] / ours["cpu_ms_per_patch"]
        speed = ours["patches_per_s"] / row["patches_per_s"]
        aim = f" (aim: {AIMS[name]} times)" if name in AIMS else " (the limit)"
        told.append(f"{name}, {workers} workers: {work:.2f} times our work{aim}; we are {speed:.2f} times as fast")
    told += [
        f"{name}, {workers} workers: {row['peak_mib']:.0f} MiB beyond the imports (aim: at most {MOST_MIB})"
        for (name, workers), row in found.items()
        if name.startswith("ours")
    ]
    if ("queue_raw", 2) in found and "ours" in taken:
        epoch = CASES * PATCHES_PER_CASE / found["queue_raw", 2]["patches_per_s"]
        told.append(f"preparing {CASES} cases {taken['ours']['clock_s']:.1f} s; an epoch of queue_raw {epoch:.1f} s")
    return told


def compare(folder: Path, names: Sequence[str], patches: int) -> dict[str, Any]:
    """What each loader's patches look like, printed with what differs."""
    from loaders.likeness import TOLERANCES, differences

    found = {name: child("describe", name, folder, 2, 0, patches)[0] for name in names}
    found = {name: row for name, row in found.items() if "missing" not in row}
    print(f"{'loader':13}" + "".join(f"{key:>12}" for key in TOLERANCES) + "   (means over channels)")
    for name, row in found.items():
        means = [statistics.mean(row[key]) if isinstance(row[key], list) else row[key] for key in TOLERANCES]
        print(f"{name:13}" + "".join(f"{mean:12.3f}" for mean in means))
    told = differences(found)
    print("\n".join(told) if told else "no difference beyond the tolerances")
    return {"patches": found, "tolerances": TOLERANCES, "differences": told}


def prepare(folder: Path, names: Sequence[str], *, quick: bool) -> dict[str, dict[str, Any]]:
    """Cases and what each loader keeps of them; what that took, without those that are not there yet."""
    words = f"from loaders.cases import make_cases; from pathlib import Path; make_cases(Path({str(folder)!r}), "
    words += "3, (128, 128, 112))" if quick else "6, (240, 240, 155))"
    subprocess.run([sys.executable, "-c", words], cwd=HERE, check=True)
    taken = {}
    for name in names:
        result, _ = child("prepare", name, folder)
        if "missing" in result:
            print(f"{name}: {result['missing']}")
        else:
            taken[name] = {key: round(value, 1) for key, value in result.items()}
    return taken


def kept(folder: Path, names: Sequence[str], *, quick: bool) -> dict[str, dict[str, Any]]:
    """What preparing took in an earlier run, or takes now."""
    record = folder / "prepared.json"
    if not record.exists():
        write_json(record, prepare(folder, names, quick=quick))
    taken: dict[str, dict[str, Any]] = common.read(record)
    return {name: taken[name] for name in names if name in taken}


def arguments() -> argparse.Namespace:
    parser = common.parser(__doc__, rounds=5)
    parser.add_argument("--patches", type=int, default=2 * PERIOD, help=f"of a run; a multiple of {PERIOD}")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--loaders", nargs="+", choices=LOADERS, default=AVAILABLE)
    parser.add_argument("--compare", action="store_true", help="say what the patches look like, and measure nothing")
    parser.add_argument("--folder", type=Path, help="keep the prepared cases here, and use those that are here already")
    parser.add_argument("--show", action="store_true", help="print the results that are kept, and measure nothing")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.patches, given.workers, given.loaders = 1, PERIOD, [2], QUICK_LOADERS
    if given.patches % PERIOD:
        parser.error(f"--patches must be a multiple of {PERIOD}, a filling of TorchIO's queue")
    return given


def main() -> None:
    given = arguments()
    if given.show:
        known = common.read(common.output_of(given, NAME))
        common.print_table(known["results"], ("loader", "num_workers", *MEASURED))
        print("\n".join(verdicts(known["results"], known["prepared"])))
        return
    rounds, patches = given.rounds, given.patches
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        taken = kept(folder, given.loaders, quick=given.quick)
        likeness = compare(folder, list(taken), PERIOD if given.quick else 2 * PERIOD)
        if given.compare:
            return
        names = list(likeness["patches"])
        rows: list[dict[str, Any]] = []
        for num_workers in given.workers:
            runs = common.in_turn(
                names, rounds, lambda name, seed, n=num_workers: run(folder, name, n, seed, WARM_UP, patches)
            )
            rows += summarize(runs, num_workers)
    common.print_table(rows, ("loader", "num_workers", *MEASURED))
    print("\n".join(verdicts(rows, taken)))
    content = {"patches_a_run": patches, "prepared": taken, "results": rows, "likeness": likeness}
    what = "making augmented training patches of 4 x 96^3 voxels; medians of runs in turn"
    common.keep(common.output_of(given, NAME), what, PACKAGES, content)


if __name__ == "__main__":
    main()
