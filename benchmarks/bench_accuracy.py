"""How well a training of so much time segments cases that it has not seen, beside nnU-Net in the same time.

A Decathlon task is divided into five parts (nnU-Net's own folds); of each chosen fold, one part is kept away from
training altogether. We plan and train on the rest by the two commands that a user types, planning, preparing and
validating counted; the cases kept away are predicted by a third, and scored on their own grids.

    python benchmarks/bench_accuracy.py --root Task04_Hippocampus --max-time 15m
    python benchmarks/bench_accuracy.py --root Task04_Hippocampus --max-time 15m --nnunet ENV/bin/python
    python benchmarks/bench_accuracy.py --quick

Results are added to results/accuracy.json, a run once: one of the same system, time, fold and device is not repeated.
With --quick, made-up scans take the place of the task, for a minute and a half.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common

from torchio_seg import devices
from torchio_seg.config.durations import seconds
from torchio_seg.metrics import mean_dice, score_label_maps, summarize
from torchio_seg.records import Case, Labels, RegionScore
from torchio_seg.splits import nnunet_fold
from torchio_seg.subjects import read_case_label

HERE = Path(__file__).parent
WHAT = "mean Dice of cases kept away from training, trained for a time that planning and validating count towards"
PROGRAM = [sys.executable, "-m", "torchio_seg"]


def main() -> None:
    given = arguments()
    output = common.output_of(given, "accuracy")
    known = earlier(output) if not given.quick else []
    with tempfile.TemporaryDirectory() as folder:
        given.root = given.root or common.make_task(Path(folder), cases=10, shape=32)
        for fold in given.folds:
            for system in ("ours", *(["nnunet"] if given.nnunet else [])):
                about = {
                    "system": system,
                    "task": given.root.name,
                    "max_time": given.max_time,
                    "fold": fold,
                    "device": devices.describe(devices.choose(given.device)),
                    "changes": given.set if system == "ours" else [],
                }
                if any(all(run[key] == value for key, value in about.items()) for run in known):
                    continue
                known.append(about | measure(given, system, fold))
                common.keep(output, WHAT, ("torch", "torchio-seg"), {"results": known})
    show(known)


def arguments() -> argparse.Namespace:
    parser = common.parser(__doc__)
    parser.add_argument("--root", type=Path, help="a Decathlon task")
    parser.add_argument("--max-time", default="15m")
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--nnunet", type=Path, help="Python of an environment that has nnunetv2")
    parser.add_argument("--set", action="append", default=[], help="a setting of the plan to change, for trials")
    given = parser.parse_args()
    if given.root is None and not given.quick:
        parser.error("--root names the folder of a Decathlon task; --quick needs none")
    if given.quick:
        given.max_time, given.folds = "90s", [0]
    return given


def earlier(path: Path) -> list[dict[str, Any]]:
    """Runs that are kept already."""
    if not path.exists():
        return []
    found = common.read(path)
    runs: list[dict[str, Any]] = found["results"] if isinstance(found, dict) else found
    return runs


def measure(given: argparse.Namespace, system: str, fold: int) -> dict[str, Any]:
    """One training and the scores of the cases kept away from it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels, away = divide(given.root, folder, fold)
        train = ours if system == "ours" else nnunet
        about = train(given, folder)
        scores: list[RegionScore] = []
        for case in away:
            truth = read_case_label(case, sorted(labels.names)).array[0]
            predicted = read_case_label(
                Case(case.id, case.images, folder / "predicted" / f"{case.id}{about['suffix']}"), sorted(labels.names)
            ).array[0]
            scores += score_label_maps(case.id, predicted, truth, labels)
    summaries = summarize(scores)
    return {
        **about["facts"],
        "dice": round(mean_dice(summaries) or 0.0, 4),
        "regions": {each.region: round(each.mean_dice or 0.0, 4) for each in summaries},
        "cases": len(away),
        "machine": common.machine(("torch", "torchio-seg")),
        "commit": common.commit(),
    }


def divide(root: Path, folder: Path, fold: int) -> tuple[Labels, list[Case]]:
    """The task without one fold in folder/training, that fold's images in folder/images; its cases."""
    facts = json.loads((root / "dataset.json").read_text())
    by_id = {Path(pair["image"]).name.removesuffix(".nii.gz"): pair for pair in facts["training"]}
    ids = [case for case, pair in by_id.items() if (root / pair["image"]).exists()]
    away = nnunet_fold(sorted(ids), fold).validation
    kept = [case for case in ids if case not in away]
    for part in ("training/imagesTr", "training/labelsTr", "images"):
        (folder / part).mkdir(parents=True)
    for case in kept:
        for part in ("image", "label"):
            shutil.copy(root / by_id[case][part], folder / "training" / by_id[case][part])
    for case in away:
        shutil.copy(root / by_id[case]["image"], folder / "images")
    facts |= {"training": [by_id[case] for case in kept], "numTraining": len(kept), "test": [], "numTest": 0}
    (folder / "training" / "dataset.json").write_text(json.dumps(facts))
    labels = Labels.of_classes({int(value): name for value, name in facts["labels"].items()})
    return labels, [Case(case, (root / by_id[case]["image"],), root / by_id[case]["label"]) for case in away]


def ours(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Plan, train, predict, by the commands that a user types."""
    begun = time.monotonic()
    changes = [word for change in given.set for word in ("--set", change)]
    data = ["--dataset", "decathlon", "--root", str(folder / "training"), "--device", given.device]
    call(["plan", *data, "--max-time", given.max_time, "-o", "plan.yaml", *changes], folder)
    planned = time.monotonic() - begun
    left = f"{int(seconds(given.max_time) - planned)}s"
    store = ["--set", f"sampling.store={folder / 'store'}"]
    call(
        ["train", "--config", str(folder / "plan.yaml"), "--max-time", left, "-o", str(folder / "run"), *store], folder
    )
    taken = time.monotonic() - begun
    call(["predict", "images", "--model", "run", "-o", "predicted"], folder)
    records = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    start = taken - records[-1]["time"]
    curve = [(round(start + r["time"]), r["mean_dice"]) for r in records if r["kind"] == "validation"]
    steps = max(record["step"] for record in records)
    facts = {"train_s": round(taken), "plan_s": round(planned), "steps": steps, "validation": curve}
    plan = [line for line in (folder / "plan.yaml").read_text().splitlines() if str(folder) not in line]
    return {"suffix": "_seg.nii.gz", "facts": facts | {"plan": plan}}


def nnunet(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The peer, in its own environment."""
    device = devices.choose(given.device).type
    words = [str(given.nnunet), str(HERE / "peers" / "nnunet.py"), str(folder / "training"), str(folder / "images")]
    words += [str(folder / "predicted"), str(seconds(given.max_time)), device]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    found = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"train_s"'))
    return {"suffix": ".nii.gz", "facts": found | {"train_s": round(found["train_s"])}}


def call(words: Sequence[str], folder: Path) -> None:
    """One command of ours, its messages shown."""
    subprocess.run([*PROGRAM, *words], check=True, cwd=folder, stdout=subprocess.DEVNULL)


def show(runs: Sequence[dict[str, Any]]) -> None:
    """A line for each system, time and device: mean Dice over its folds."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run in runs:
        key = (run["task"], run["device"], run["max_time"], run["system"], ",".join(run["changes"]))
        groups.setdefault(key, []).append(run)
    for key, found in sorted(groups.items()):
        scores = [run["dice"] for run in found]
        steps = statistics.median(run["steps"] for run in found)
        print(*key, f"Dice {statistics.mean(scores):.4f} over {len(found)} folds ({scores}), {steps:.0f} steps")


if __name__ == "__main__":
    main()
