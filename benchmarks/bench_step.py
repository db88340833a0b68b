"""What the trainer costs beside a loop written by hand: the same network, batch, loss, optimizer and clipping.

Ours takes its steps by `Trainer.run` with everything that a training does between two steps (stepper, schedule, journal
on disk, progress, budget), checkpoints and validation left out; the bare loop is the ten lines of `bare`, its loss
MONAI's. Both see one batch that lies in memory, in turn.

    python benchmarks/bench_step.py [--quick]
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import common
import torch
from monai.losses import DiceCELoss

from torchio_seg import devices
from torchio_seg.config.resolve import choose
from torchio_seg.config.sections import Experiment
from torchio_seg.networks import dynunet
from torchio_seg.optimization import Schedule, build_optimizer
from torchio_seg.records import Dataset, Labels
from torchio_seg.step import Stepper
from torchio_seg.targets import encode
from torchio_seg.trainer import Parts, Position, Trainer
from torchio_seg.workflows.assembly import build_loss
from torchio_seg.workflows.runs import Journal

MEASURED = ("wall_s", "cpu_s")
LABELS = Labels.of_classes({0: "background", 1: "front", 2: "back"})
DATASET = Dataset("noise", ("image",), LABELS, ())
PATCH, BATCH = (40, 56, 40), 2
WARM_UP = 2
Steps = Callable[[int], None]


def main() -> None:
    parser = common.parser(__doc__, rounds=9)
    parser.add_argument("--steps", type=int, default=5, help="of each loop in a round")
    given = parser.parse_args()
    rounds, steps = (2, 1) if given.quick else (given.rounds, given.steps)
    with tempfile.TemporaryDirectory() as name:
        experiment = choose("decathlon", None, {"training.precision": "fp32", "training.epochs": 1})
        loops = {"bare": bare(experiment), "ours": ours(experiment, Path(name))}
        for take in loops.values():
            take(WARM_UP)

        def run(loop: str, _: int) -> dict[str, float]:
            taken = common.measured(lambda: loops[loop](steps))
            return {key: taken[key] / steps for key in MEASURED} | {"peak_mib": taken["peak_mib"]}

        found = common.in_turn(list(loops), rounds, run)
    rows = common.rows("loop", found, (*MEASURED, "peak_mib"))
    pairs = zip(found["ours"], found["bare"], strict=True)
    by_bare = common.medians([{key: a[key] / b[key] for key in MEASURED} for a, b in pairs], MEASURED)
    rows[1]["by_bare"] = by_bare
    common.print_table(rows, ("loop", *MEASURED, "peak_mib", "by_bare.wall_s", "by_bare.cpu_s"))
    what = "a training step by the trainer and by a loop of ten lines; medians of rounds, and of their ratios"
    content = {"patch_size": PATCH, "batch_size": BATCH, "steps": steps, "results": rows}
    common.keep(common.output_of(given, "step"), what, ("torch", "monai"), content)


def network_and_batch() -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """The network of a fifteen-minute plan of the hippocampus; noise, and a label map of noise."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 1, *PATCH, generator=generator)
    label_map = torch.randint(len(LABELS.names), (BATCH, 1, *PATCH), generator=generator)
    torch.manual_seed(0)
    strides = ((1, 1, 1), *[(2, 2, 2)] * 3)
    network = dynunet.build(
        1, 3, PATCH, channels=(16, 32, 64, 128), strides=strides, kernel_sizes=((3, 3, 3),) * 4, deep_supervision=True
    )
    return network, images, label_map


def bare(experiment: Experiment) -> Steps:
    """As a tutorial has it."""
    network, images, label_map = network_and_batch()
    optimizer = build_optimizer(network.parameters(), experiment.optimization)
    loss_of = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True)
    network.train()

    def take(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            outputs = network(images)
            loss = torch.zeros(())
            for level, logits in enumerate(outputs):
                size = logits.shape[2:]
                coarse = torch.nn.functional.interpolate(label_map.float(), size, mode="nearest-exact")
                loss = loss + 0.5**level * loss_of(logits, coarse)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 12.0)
            optimizer.step()
            loss.item()

    return take


def ours(experiment: Experiment, folder: Path) -> Steps:
    """By the trainer, which is told to take some more steps each time."""
    network, images, label_map = network_and_batch()
    optimizer = build_optimizer(network.parameters(), experiment.optimization)
    schedule = Schedule(optimizer, experiment.optimization, 10**6)
    stepper = Stepper(
        network,
        build_loss(experiment, DATASET),
        optimizer,
        schedule,
        settings=experiment.training,
        device=devices.choose("cpu"),
    )
    journal = Journal(folder / "metrics.jsonl")

    def batches(_: int, __: int) -> Iterator[Any]:
        while True:
            yield images, encode(label_map, LABELS)

    parts = Parts(
        stepper, batches, 10**9, None, save=lambda _name, _position: None, log=journal.log, should_stop=lambda: False
    )
    position = Position(num_steps=0)

    def take(steps: int) -> None:
        position.num_steps = position.step + steps
        Trainer(parts, experiment.training, position).run()

    return take


if __name__ == "__main__":
    main()
