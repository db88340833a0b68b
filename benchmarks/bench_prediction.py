"""What it takes to make a label map of a whole volume from overlapping patches, here and with other libraries.

A made-up scan is labelled by a network that costs nearly nothing, in patches of 96^3, one at a time unless told
otherwise. Cases:
    ct      512 x 512 x 200, 14 classes, patches share a quarter of their length
    brats   240 x 240 x 155, 4 channels, 4 classes, patches share half of their length
    unet    256 x 256 x 200, 14 classes, a quarter, with a small U-Net in place of the network that costs nothing: what
            each takes beyond the network alone
    many    512 x 512 x 800, 118 classes, a quarter; ours alone, within 6 GiB for the whole process
by
    network     the network over the same patches, of which nothing is kept: the limit
    tio_hann    TorchIO's GridSampler, loader and GridAggregator
    monai       MONAI's sliding_window_inference, gaussian
    nnunet      nnU-Net's predictor, gaussian, its patches spread evenly; where nnunetv2 is installed
    ours        this package's predictor, gaussian, from the volume to its label map
    ours_kept   the same, with probabilities kept
Each ends in a label map of 8 bits in main memory, ours after softmax, as it always does, the others by argmax of what
they return. The network looks at one voxel at a time, so all must find the same labels; how many differ from the rule
is told.

Each run is in a process of its own, in turn. Its clock starts, and its peak of memory is counted from, when everything
is imported and the volume is there; the peak of the whole process, volume and imports included, is told beside it.

    python benchmarks/bench_prediction.py [--case brats] [--batch-size 4] [--shape 192 192 96] [--quick]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, NamedTuple

import common
import numpy as np
import torch

from torchio_seg import memory
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.predictor.window import Window
from torchio_seg.records import Labels
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.volumes.images import from_array
from torchio_seg.volumes.scan import Scan
from torchio_seg.workflows.budgets import Budgets, Fitting

PACKAGES = ("torch", "numpy", "torchio", "monai", *(["nnunetv2"] if find_spec("nnunetv2") else []))
MEASURED = ("wall_s", "cpu_s", "peak_mib", "process_peak_mib")
GIB = 2**30


class Case(NamedTuple):
    """What is predicted, and how."""

    shape: tuple[int, int, int]
    channels: int
    classes: int
    overlap: float
    patch_size: int = 96
    batch_size: int = 1
    ram_budget: int | None = None
    """Bytes, for ours; None: whatever it takes."""
    is_unet: bool = False
    """Whether the network is a small U-Net, whose labels mean nothing."""

    @property
    def window(self) -> Window:
        return Window((self.patch_size,) * 3, self.overlap, self.batch_size, "gaussian")

    def network(self, images: torch.Tensor) -> torch.Tensor:
        """The class whose number is nearest to a voxel's brightness in the first channel, or what a U-Net says."""
        if self.is_unet:
            answer: torch.Tensor = small_unet(self.channels, self.classes)(images)
            return answer
        number = torch.arange(self.classes, dtype=torch.float32).view(1, -1, 1, 1, 1)
        return (images[:, :1] * (2 * number)).sub_(number**2)


@cache
def small_unet(channels: int, classes: int) -> torch.nn.Module:
    from monai.networks.nets import UNet

    torch.manual_seed(0)
    return UNet(3, channels, classes, (8, 16, 32), (2, 2)).eval()


CASES = {
    "ct": Case((512, 512, 200), 1, 14, 0.25),
    "brats": Case((240, 240, 155), 4, 4, 0.5),
    "unet": Case((256, 256, 200), 1, 14, 0.25, is_unet=True),
    "many": Case((512, 512, 800), 1, 118, 0.25, ram_budget=6 * GIB),
}
ALONE = {"many": ["ours"]}
"""Cases that nobody else is asked for."""
AIMS = {
    "ct": {
        "tio_hann": {"wall_s": 1 / 3, "peak_mib": 0.1},
        "monai": {"wall_s": 1 / 1.5, "peak_mib": 0.25},
        "nnunet": {"wall_s": 1.0, "peak_mib": 0.5},
    },
    "brats": {"monai": {"wall_s": 1.0}},
    "unet": {},
    "many": {},
}
"""How many times theirs ours was to take at most."""

Label = Callable[[torch.Tensor, Case], np.ndarray]


def network_alone(volume: torch.Tensor, case: Case) -> np.ndarray:
    grid = case.window.grid(volume.shape[1:])
    with torch.inference_mode():
        for first in range(0, len(grid.places), case.batch_size):
            places = grid.places[first : first + case.batch_size]
            case.network(torch.stack([volume[grid.inside(place)] for place in places]))
    return np.empty(0, np.uint8)


def tio_hann(volume: torch.Tensor, case: Case) -> np.ndarray:
    import torchio as tio

    subject = tio.Subject(image=tio.ScalarImage(tensor=volume))
    sampler = tio.GridSampler(subject, case.patch_size, case.window.overlap_voxels)
    aggregator = tio.GridAggregator(sampler, overlap_mode="hann")
    with torch.inference_mode():
        for batch in tio.SubjectsLoader(sampler, batch_size=case.batch_size):
            aggregator.add_batch(case.network(batch["image"][tio.DATA]), batch[tio.LOCATION])
        return aggregator.get_output_tensor().argmax(dim=0).to(torch.uint8).numpy()


def monai(volume: torch.Tensor, case: Case) -> np.ndarray:
    from monai.inferers import sliding_window_inference

    with torch.inference_mode():
        logits = sliding_window_inference(
            volume[None],
            case.window.patch_size,
            case.batch_size,
            case.network,
            overlap=case.overlap,
            mode="gaussian",
        )
        return logits[0].argmax(dim=0).to(torch.uint8).numpy()


def nnunet(volume: torch.Tensor, case: Case) -> np.ndarray:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        tile_step_size=1 - case.overlap,
        use_mirroring=False,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.network = AsModule(case.network)
    predictor.configuration_manager = SimpleNamespace(patch_size=case.window.patch_size)
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=case.classes)
    logits = predictor.predict_sliding_window_return_logits(volume)
    return logits.argmax(dim=0).to(torch.uint8).numpy()


class AsModule(torch.nn.Module):
    """What nnU-Net asks for."""

    def __init__(self, answer: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.answer(images)


def ours(volume: torch.Tensor, case: Case, *, kept: bool = False) -> np.ndarray:
    labels = Labels.of_classes({number: f"class {number}" for number in range(case.classes)})
    recipe = Recipe(None, None, "none")
    predictor = Predictor(case.network, labels, recipe, case.window, torch.device("cpu"), "fp32")
    if case.ram_budget is not None:
        scan = Scan.of(from_array(volume.numpy(), np.eye(4), "the scan"))
        fitting = Fitting(predictor, case.channels, Budgets(case.ram_budget))
        predictor = fitting.predictor_for(scan, probabilities=kept)
    return predictor(volume.numpy(), np.eye(4), probabilities=kept).label_map


def ours_kept(volume: torch.Tensor, case: Case) -> np.ndarray:
    return ours(volume, case, kept=True)


METHODS: dict[str, Label] = {
    "network": network_alone,
    "tio_hann": tio_hann,
    "monai": monai,
    **({"nnunet": nnunet} if find_spec("nnunetv2") else {}),
    "ours": ours,
    "ours_kept": ours_kept,
}


def run(argument: Mapping[str, Any]) -> dict[str, float]:
    """One method, once, in the process that this is called in."""
    generator = torch.Generator().manual_seed(argument["seed"])
    case = Case(*argument["case"])
    volume = torch.rand(case.channels, *case.shape, generator=generator).mul_(case.classes - 1)
    method = METHODS[argument["method"]]
    small = case._replace(shape=(case.patch_size,) * 3, batch_size=1, ram_budget=None)
    method(torch.rand(case.channels, *small.shape), small)  # imports, and what is set up once
    memory.reset_peak()
    before, clock, work = memory.peak_bytes(), time.perf_counter(), time.process_time()
    found = method(volume, case)
    wall, work, peak = time.perf_counter() - clock, time.process_time() - work, memory.peak_bytes()
    wrong = sum(int((plane != truth.round().numpy()).sum()) for plane, truth in zip(found, volume[0], strict=False))
    told = {"wall_s": wall, "cpu_s": work, "peak_mib": (peak - before) / 2**20, "process_peak_mib": peak / 2**20}
    return told if case.is_unet else {**told, "voxels_that_differ": wrong}


def measured(method: str, case: Case, number: int) -> dict[str, float]:
    argument = {"method": method, "case": list(case), "seed": number}
    answer, _ = common.in_process("bench_prediction:run", argument)
    return {key: round(value, 3) for key, value in answer.items()}


def summarize(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> list[dict[str, Any]]:
    """A row a method: medians, and how many times ours it takes."""
    rows = common.rows("method", runs, MEASURED)
    by_name = {row["method"]: row for row in rows}
    ours_row, alone = by_name.get("ours"), by_name.get("network")
    for row in rows:
        if "voxels_that_differ" in row["runs"][0]:
            row["voxels_that_differ"] = max(run["voxels_that_differ"] for run in row["runs"])
        if alone is not None and row is not alone:
            row["beyond_network_s"] = round(row["wall_s"] - alone["wall_s"], 3)
        if ours_row is not None:
            row["of_ours"] = common.ratios(row, ours_row, MEASURED)
    return rows


def verdicts(rows: Sequence[Mapping[str, Any]], aims: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What ours takes of the others', beside what was aimed at."""
    return [
        f"{key}: ours takes {1 / row['of_ours'][key]:.2f} of {row['method']} (aim: at most {aim:.2f})"
        for row in rows
        if "of_ours" in row
        for key, aim in aims.get(row["method"], {}).items()
        if row["of_ours"].get(key)
    ]


def arguments() -> argparse.Namespace:
    parser = common.parser(__doc__, rounds=3)
    parser.add_argument("--case", choices=CASES, default="ct")
    parser.add_argument("--shape", type=int, nargs=3, help="another than the case's")
    parser.add_argument("--patch-size", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--methods", nargs="+", choices=METHODS)
    given = parser.parse_args()
    if given.quick:
        given.shape, given.patch_size, given.rounds = [64, 64, 48], 32, 1
    return given


def chosen(given: argparse.Namespace) -> Case:
    """The case, with what else was asked for."""
    changes = {
        "shape": None if given.shape is None else tuple(given.shape),
        "patch_size": given.patch_size,
        "batch_size": given.batch_size,
    }
    return CASES[given.case]._replace(**{key: value for key, value in changes.items() if value is not None})


def main() -> None:
    given = arguments()
    case = chosen(given)
    methods = given.methods or ALONE.get(given.case, list(METHODS))
    rows = summarize(common.in_turn(methods, given.rounds, lambda method, number: measured(method, case, number)))
    common.print_table(rows, ("method", *MEASURED, "beyond_network_s", "voxels_that_differ"))
    print("\n".join(verdicts(rows, AIMS[given.case])))
    name = "prediction"
    name += f"_{given.case}" if given.case != "ct" else ""
    name += f"_batch_{case.batch_size}" if case.batch_size > 1 else ""
    content = {**case._asdict(), "threads": torch.get_num_threads(), "results": rows}
    what = "a label map of a volume from overlapping patches; medians of runs in turn"
    common.keep(common.output_of(given, name), what, PACKAGES, content)


if __name__ == "__main__":
    main()
