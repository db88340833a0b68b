"""What it takes to make a label map of a whole volume from overlapping patches, here and with other libraries.

A made-up CT (512 x 512 x 200 unless told otherwise) is labelled with 14 classes by a network that costs nearly nothing,
in patches of 96^3 that share a quarter of their length, by
    network     the network over the same patches, of which nothing is kept: the limit
    tio_hann    TorchIO's GridSampler, loader and GridAggregator
    monai       MONAI's sliding_window_inference, gaussian
    ours        this package's predictor, gaussian, from the volume to its label map
    ours_kept   the same, with probabilities kept
Each ends in a label map of 8 bits in main memory, ours after softmax, as it always does, the others by argmax of what
they return. The network looks at one voxel at a time, so all must find the same labels; how many differ from the rule
is told.

Each run is in a process of its own, in turn. Its clock starts, and its peak of memory is counted from, when everything
is imported and the volume is there.

    python benchmarks/bench_prediction.py [--shape 192 192 96] [--quick]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch

from torchio_seg import memory
from torchio_seg.predictor.grid import Window
from torchio_seg.predictor.native import Predictor
from torchio_seg.records import Labels
from torchio_seg.transforms.recipe import Recipe

HERE = Path(__file__).parent
RESULT = HERE / "results" / "prediction.json"
PACKAGES = ("torch", "numpy", "torchio", "monai")
CLASSES, PATCH, OVERLAP = 14, 96, 0.25
MEASURED = ("wall_s", "cpu_s", "peak_mib")
AIMS = {"tio_hann": ("peak_mib", 0.4), "monai": ("wall_s", 1.0)}
"""What of theirs ours was to take, and how many times of it at most."""

Label = Callable[[torch.Tensor, int, int], np.ndarray]


def network(images: torch.Tensor) -> torch.Tensor:
    """The class whose number is nearest to a voxel's brightness."""
    number = torch.arange(CLASSES, dtype=torch.float32).view(1, -1, 1, 1, 1)
    return (images * (2 * number)).sub_(number**2)


def windows(size: int, batch_size: int) -> Window:
    return Window((size, size, size), OVERLAP, batch_size, "gaussian")


def network_alone(volume: torch.Tensor, size: int, batch_size: int) -> np.ndarray:
    grid = windows(size, batch_size).grid(volume.shape[1:])
    with torch.inference_mode():
        for first in range(0, len(grid.places), batch_size):
            places = grid.places[first : first + batch_size]
            network(torch.stack([volume[grid.inside(place)] for place in places]))
    return np.empty(0, np.uint8)


def tio_hann(volume: torch.Tensor, size: int, batch_size: int) -> np.ndarray:
    import torchio as tio

    subject = tio.Subject(image=tio.ScalarImage(tensor=volume))
    sampler = tio.GridSampler(subject, size, 2 * int(size * OVERLAP / 2))
    aggregator = tio.GridAggregator(sampler, overlap_mode="hann")
    with torch.inference_mode():
        for batch in tio.SubjectsLoader(sampler, batch_size=batch_size):
            aggregator.add_batch(network(batch["image"][tio.DATA]), batch[tio.LOCATION])
        return aggregator.get_output_tensor().argmax(dim=0).to(torch.uint8).numpy()


def monai(volume: torch.Tensor, size: int, batch_size: int) -> np.ndarray:
    from monai.inferers import sliding_window_inference

    with torch.inference_mode():
        logits = sliding_window_inference(
            volume[None], (size, size, size), batch_size, network, overlap=OVERLAP, mode="gaussian"
        )
        return logits[0].argmax(dim=0).to(torch.uint8).numpy()


def ours(volume: torch.Tensor, size: int, batch_size: int, *, kept: bool = False) -> np.ndarray:
    labels = Labels.of_classes({number: f"class {number}" for number in range(CLASSES)})
    recipe = Recipe(None, None, "none")
    predictor = Predictor(network, labels, recipe, windows(size, batch_size), torch.device("cpu"), "fp32")
    return predictor(volume.numpy(), np.eye(4), probabilities=kept).label_map


def ours_kept(volume: torch.Tensor, size: int, batch_size: int) -> np.ndarray:
    return ours(volume, size, batch_size, kept=True)


METHODS: dict[str, Label] = {
    "network": network_alone,
    "tio_hann": tio_hann,
    "monai": monai,
    "ours": ours,
    "ours_kept": ours_kept,
}


def run(argument: Mapping[str, Any]) -> dict[str, float]:
    """One method, once, in the process that this is called in."""
    generator = torch.Generator().manual_seed(argument["seed"])
    volume = torch.rand(1, *argument["shape"], generator=generator).mul_(CLASSES - 1)
    method = METHODS[argument["method"]]
    size = argument["patch_size"]
    method(torch.rand(1, size, size, size), size, 1)  # imports, and what is set up once
    memory.reset_peak()
    before, clock, work = memory.peak_bytes(), time.perf_counter(), time.process_time()
    found = method(volume, size, argument["batch_size"])
    wall, work, peak = time.perf_counter() - clock, time.process_time() - work, memory.peak_bytes()
    wrong = sum(int((plane != truth.round().numpy()).sum()) for plane, truth in zip(found, volume[0], strict=False))
    return {"wall_s": wall, "cpu_s": work, "peak_mib": (peak - before) / 2**20, "voxels_that_differ": wrong}


def measured(method: str, given: argparse.Namespace, number: int) -> dict[str, float]:
    argument = {"method": method, "shape": given.shape, "batch_size": given.batch_size, "seed": number}
    outcome = memory.measure("bench_prediction:run", {**argument, "patch_size": given.patch_size})
    if not outcome.fits:
        raise RuntimeError(f"{method} did not fit into memory")
    return {key: round(value, 3) for key, value in outcome.answer.items()}


def summarize(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> list[dict[str, Any]]:
    """A row a method: medians, and how many times ours it takes."""
    rows: list[dict[str, Any]] = [
        {"method": name, **{key: round(statistics.median(run[key] for run in found), 3) for key in MEASURED}}
        | {"voxels_that_differ": max(run["voxels_that_differ"] for run in found), "runs": list(found)}
        for name, found in runs.items()
    ]
    ours_row = next((row for row in rows if row["method"] == "ours"), None)
    for row in rows if ours_row is not None else ():
        row["of_ours"] = {key: round(row[key] / ours_row[key], 3) for key in MEASURED}
    return rows


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What ours takes of the others', beside what was aimed at."""
    told = []
    for row in rows:
        if row["method"] in AIMS and "of_ours" in row:
            key, aim = AIMS[row["method"]]
            told.append(f"{key}: ours takes {1 / row['of_ours'][key]:.2f} of {row['method']} (aim: at most {aim})")
    return told


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Medians, a method a line."""
    print(f"{'method':10} {'wall s':>8} {'CPU s':>8} {'peak MiB beyond the volume':>27} {'voxels that differ':>19}")
    for row in rows:
        print(
            f"{row['method']:10} {row['wall_s']:8.2f} {row['cpu_s']:8.2f} {row['peak_mib']:27.0f} "
            f"{row['voxels_that_differ']:19}"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 200])
    parser.add_argument("--patch-size", type=int, default=PATCH)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--quick", action="store_true", help="a small volume, one round: whether everything works")
    parser.add_argument("--output", type=Path, help=f"default {RESULT.relative_to(HERE.parent)}; --quick writes none")
    given = parser.parse_args()
    if given.quick:
        given.shape, given.patch_size, given.rounds = [64, 64, 48], 32, 1
    return given


def main() -> None:
    given = arguments()
    about = {
        "what": "a label map of a volume from overlapping patches; medians of runs in turn",
        "shape": given.shape,
        "classes": CLASSES,
        "patch_size": given.patch_size,
        "overlap": OVERLAP,
        "batch_size": given.batch_size,
        "threads": torch.get_num_threads(),
        "machine": common.machine(PACKAGES),
    }
    runs = common.in_turn(given.methods, given.rounds, lambda method, number: measured(method, given, number))
    rows = summarize(runs)
    print_table(rows)
    print("\n".join(verdicts(rows)))
    output = given.output or (None if given.quick else RESULT)
    if output is not None:
        output.write_text(json.dumps({**about, "results": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
