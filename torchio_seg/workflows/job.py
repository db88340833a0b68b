"""One training as a whole: the parts that an experiment asks for, joined for the trainer."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from torchio_seg import devices, machine, speedups
from torchio_seg.config.dumping import to_yaml
from torchio_seg.config.durations import seconds
from torchio_seg.config.sections import Experiment
from torchio_seg.distributed import ALONE, Peers
from torchio_seg.files import write_json, write_text
from torchio_seg.network_sizes import sizes_of
from torchio_seg.optimization import Schedule, build_optimizer
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.progress import Progress
from torchio_seg.sampling.choices import drawn_anywhere
from torchio_seg.sampling.patches import to_subject
from torchio_seg.sampling.seeds import derive_seed
from torchio_seg.sampling.stream import Feed, PatchStream
from torchio_seg.step import Pair, Stepper
from torchio_seg.targets import encode
from torchio_seg.timing import Allowance
from torchio_seg.trainer import Parts, Position, Trainer
from torchio_seg.workflows.assembly import Plan, build_loss, make_window
from torchio_seg.workflows.describing import facts_of, tell
from torchio_seg.workflows.evaluate import Evaluation, write_evaluation
from torchio_seg.workflows.judging import Judge, Pictured
from torchio_seg.workflows.keeping import Keeper
from torchio_seg.workflows.network import require_sound_gradients
from torchio_seg.workflows.patches import make_patch_recipe
from torchio_seg.workflows.runs import find_checkpoint

if TYPE_CHECKING:
    from torchio_seg.trainer import Validate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """Where a training keeps what it makes, and who is told."""

    folder: Path
    log: Callable[[Mapping[str, Any]], None]
    progress: Progress
    should_stop: Callable[[], bool]
    began: float
    """When the command did, by `time.monotonic`."""
    saved: Callable[[str], None] = lambda _: None
    """Told the name of each checkpoint once it lies in the folder."""
    pictured: Pictured = lambda *_: nullcontext()
    trained_on: tuple[str, ...] = ()
    """Training cases that are predicted at the end too, for whoever looks at predictions."""

    def checkpoint(self, name: str) -> Path:
        """Where the one of this name lies."""
        return self.folder / "checkpoints" / name


class Job:
    """One training's parts, joined: what it optimizes, validates, saves and evaluates."""

    def __init__(self, experiment: Experiment, plan: Plan, peers: Peers = ALONE) -> None:
        self.experiment = experiment
        self.plan = plan
        self.peers = peers
        self.device = devices.choose(experiment.device, peers.local_rank)
        seed = experiment.seed if peers.is_main else derive_seed(experiment.seed, "rank", peers.rank)
        devices.seed_everything(seed, strict=experiment.deterministic == "strict")
        self.network = self._placed(plan.network)
        self.loss = build_loss(experiment, plan.dataset, peers)
        window = make_window(experiment, plan.patch_size, sizes_of(self.network))
        labels, precision = plan.dataset.labels, experiment.training.precision
        predictor = Predictor(self.network, labels, plan.recipe, window, self.device, precision)
        self.judge = Judge(experiment.training, plan, predictor, build_loss(experiment, plan.dataset), peers)
        self.keeper = Keeper(experiment, plan, self.judge, self.network, self.device, peers)
        self.feed = Feed(self._make_stream())

    def release(self) -> None:
        """Give up the memory of the device."""
        self.feed.close()
        self.network.to("cpu").zero_grad(set_to_none=True)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What followed from the settings and the files."""
        anywhere = drawn_anywhere(self.feed.stream.recipe.choice, [stored.record for stored in self.plan.stored])
        return facts_of(self.experiment, self.plan, self.network, self.device) | {"drawn_anywhere": anywhere}

    def describe(self, folder: Path) -> None:
        """Write the settings and what followed from them into the run's folder, and say the most important."""
        write_text(folder / "config.yaml", to_yaml(self.experiment))
        write_json(folder / "run.json", self.facts)
        tell(self.experiment, self.plan, self.facts)

    def trainer(self, surroundings: Surroundings, *, resume: bool) -> Trainer:
        """A trainer at the beginning, or where the last checkpoint left it."""
        settings = self.experiment.training
        optimizer = build_optimizer(self.network.parameters(), self.experiment.optimization)
        schedule = Schedule(optimizer, self.experiment.optimization, self._num_steps)
        stepper = Stepper(
            self._trained(), self.loss, optimizer, schedule, settings=settings, device=self.device, peers=self.peers
        )

        def save(name: str, position: Position) -> None:
            self.keeper.save(surroundings.checkpoint(name), stepper, position)
            surroundings.saved(name)

        parts = Parts(
            stepper=stepper,
            batches=self._batches,
            batches_per_epoch=self.feed.stream.batches_per_epoch,
            validate=self._validate(surroundings),
            save=save,
            log=surroundings.log,
            should_stop=surroundings.should_stop,
            progress=surroundings.progress,
            allowance=self._allowance(surroundings),
            falling=self.judge.best.falling,
            num_ranks=self.peers.num_ranks,
        )
        position = Position(num_steps=self._num_steps)
        if resume:
            position = self.keeper.restore(surroundings.checkpoint("last"), stepper, self._num_steps)
        return Trainer(parts, settings, position)

    def _validate(self, surroundings: Surroundings) -> Validate | None:
        """Where cases are kept for it."""
        if not self.plan.split.validation:
            return None
        return partial(self.judge.validate, surroundings.pictured, surroundings.should_stop)

    def _allowance(self, surroundings: Surroundings) -> Allowance | None:
        """The time that there is, where time decides."""
        if (limit := self.experiment.training.max_time) is None:
            return None
        rehearse = partial(self.judge.rehearse, surroundings.trained_on)
        return Allowance(seconds(limit), surroundings.began, rehearse, self.peers.broadcast)

    @property
    def _num_steps(self) -> int | None:
        """Of the whole training; None where its time decides."""
        settings = self.experiment.training
        if settings.max_time is not None:
            return None
        return settings.steps or settings.epochs * -(-self.feed.stream.batches_per_epoch // settings.accumulate)

    def evaluate(self, surroundings: Surroundings) -> Evaluation:
        """The best model on the cases kept apart, whose scores are written."""
        self.feed.close()
        card = self.keeper.load(self.peers.from_main(lambda: find_checkpoint(surroundings.folder)))
        evaluation = self.judge.evaluate(surroundings.pictured, surroundings.trained_on, surroundings.progress)
        if self.peers.is_main:
            write_evaluation(surroundings.folder, evaluation, card)
        surroundings.log(evaluation.record | {key: card.progress[key] for key in ("epoch", "step")})
        return evaluation

    def _placed(self, network: torch.nn.Module) -> torch.nn.Module:
        """On its device, which must compute its gradients rightly, in as little memory or time as was asked for."""
        training = self.experiment.training
        if self.device.type == "cpu":
            usable = devices.usable(self.device, training.precision)
            require_sound_gradients(network, len(self.plan.dataset.channels), self.plan.patch_size, usable)
        network.to(self.device)
        if training.activation_checkpointing:
            speedups.recompute_levels(network)
        if training.channels_last:
            speedups.use_channels_last(network)
        return network

    def _make_stream(self) -> PatchStream:
        experiment = self.experiment
        wanted, there = experiment.sampling.num_workers, self.peers.of_machine(machine.num_processors())
        if wanted > there:
            each = " for each process" if self.peers.num_ranks > 1 else ""
            log.info(
                "sampling.num_workers is %d, but there are %d processors%s: more workers only take memory",
                *(wanted, there, each),
            )
        return PatchStream(
            subjects=tuple(to_subject(stored, self.plan.recipe) for stored in self.plan.stored),
            recipe=make_patch_recipe(experiment, self.plan),
            batch_size=experiment.training.batch_size,
            seed=experiment.seed,
            num_workers=experiment.sampling.num_workers,
            rank=self.peers.rank,
            num_ranks=self.peers.num_ranks,
            device=self.device if experiment.augmentation.device == "cuda" else None,
        )

    def _trained(self) -> torch.nn.Module:
        """The network as training calls it; its weights are read from and written to `network`."""
        training = self.experiment.training
        if not training.compile:
            return self.network
        shape = (training.portion, len(self.plan.dataset.channels), *self.plan.patch_size)
        return speedups.compiled(self.network, shape, self.device, training.precision)

    def _batches(self, epoch: int, first: int) -> Iterator[Pair]:
        for images, label_map in self.feed.epoch(epoch, first):
            yield images, encode(label_map, self.plan.dataset.labels)
