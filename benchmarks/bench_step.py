"""What the trainer costs beside a loop written by hand: the same network, batch, loss, optimizer and clipping.

Ours takes its steps by `Trainer.run` with everything that a training does between two steps (stepper, schedule, journal
on disk, progress, budget), checkpoints and validation left out; the bare loop is the ten lines of `bare`, its loss
MONAI's. Both see one batch that lies in memory, in turn.

    python benchmarks/bench_step.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from common import in_turn, machine
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

RESULT = Path(__file__).parent / "results" / "step.json"
LABELS = Labels.of_classes({0: "background", 1: "front", 2: "back"})
DATASET = Dataset("noise", ("image",), LABELS, ())
PATCH, BATCH = (40, 56, 40), 2
WARM_UP = 2
Steps = Callable[[int], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=5, help="of each loop in a round")
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        experiment = choose("decathlon", None, {"training.precision": "fp32", "training.epochs": 1})
        loops = {"bare": bare(experiment), "ours": ours(experiment, Path(name))}
        for take in loops.values():
            take(WARM_UP)

        def run(loop: str, _: int) -> tuple[float, float]:
            wall, work = time.perf_counter(), time.process_time()
            loops[loop](arguments.steps)
            return (time.perf_counter() - wall) / arguments.steps, (time.process_time() - work) / arguments.steps

        found = in_turn(list(loops), arguments.rounds, run)
    medians = {
        name: {what: statistics.median(each[place] for each in runs) for place, what in enumerate(("wall_s", "cpu_s"))}
        for name, runs in found.items()
    }
    ratios = {
        what: statistics.median(a[place] / b[place] for a, b in zip(found["ours"], found["bare"], strict=True))
        for place, what in enumerate(("wall", "cpu"))
    }
    result = {"a_step": medians, "ours_by_bare": ratios, "rounds": arguments.rounds, "steps": arguments.steps}
    print(json.dumps(result, indent=1))
    arguments.output.write_text(json.dumps(result | {"machine": machine(("torch", "monai"))}, indent=1) + "\n")


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
