"""One training as a whole: the parts that an experiment asks for, joined for the trainer."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from torchio_seg import checkpoint, devices, machine, speedups
from torchio_seg.checkpoint import ModelCard, Seen
from torchio_seg.config.resolve import to_yaml
from torchio_seg.config.sections import Experiment, seconds
from torchio_seg.distributed import ALONE, Peers
from torchio_seg.errors import UsageError
from torchio_seg.files import write_json, write_text
from torchio_seg.network_sizes import sizes_of
from torchio_seg.optimization import Schedule, build_optimizer
from torchio_seg.predictor.native import Predictor
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
from torchio_seg.workflows.describing import facts_of, tell, tell_of_going_on
from torchio_seg.workflows.evaluate import Evaluation, write_evaluation
from torchio_seg.workflows.judging import Judge, Pictured
from torchio_seg.workflows.network import require_sound_gradients
from torchio_seg.workflows.patches import make_patch_recipe
from torchio_seg.workflows.provenance import versions
from torchio_seg.workflows.runs import find_checkpoint
from torchio_seg.workflows.seen import describe_cases

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


class Job:
    """One training's parts, joined: what it optimizes, validates, saves and evaluates."""

    def __init__(self, experiment: Experiment, plan: Plan, peers: Peers = ALONE) -> None:
        self.experiment = experiment
        self.plan = plan
        self.peers = peers
        self.device = devices.choose(experiment.device, peers.local_rank)
        seed = experiment.seed if peers.is_main else derive_seed(experiment.seed, "rank", peers.rank)
        devices.seed_everything(seed, strict=experiment.deterministic == "strict")
        if self.device.type == "cpu":
            usable = devices.usable(self.device, experiment.training.precision)
            require_sound_gradients(plan.network, len(plan.dataset.channels), plan.patch_size, usable)
        self.network = plan.network.to(self.device)
        if experiment.training.activation_checkpointing:
            speedups.recompute_levels(self.network)
        if experiment.training.channels_last:
            speedups.use_channels_last(self.network)
        self.loss = build_loss(experiment, plan.dataset, peers)
        window = make_window(experiment, plan.patch_size, sizes_of(self.network))
        labels, precision = plan.dataset.labels, experiment.training.precision
        predictor = Predictor(self.network, labels, plan.recipe, window, self.device, precision)
        self.judge = Judge(experiment.training, plan, predictor, build_loss(experiment, plan.dataset), peers)
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
        allowance = None
        if settings.max_time is not None:
            limit = seconds(settings.max_time)
            allowance = Allowance(limit, surroundings.began, self.judge.rehearse, self.peers.broadcast)
        parts = Parts(
            stepper=stepper,
            batches=self._batches,
            batches_per_epoch=self.feed.stream.batches_per_epoch,
            validate=partial(self.judge.validate, surroundings.pictured) if self.plan.split.validation else None,
            save=partial(self._save, surroundings, stepper),
            log=surroundings.log,
            should_stop=surroundings.should_stop,
            progress=surroundings.progress,
            allowance=allowance,
            falling=self.judge.best.falling,
            num_ranks=self.peers.num_ranks,
        )
        position = Position(num_steps=self._num_steps)
        return Trainer(parts, settings, self._restore(surroundings.folder, stepper) if resume else position)

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
        card, weights = self.peers.from_main(lambda: _read_model(find_checkpoint(surroundings.folder)))
        self.network.load_state_dict(weights)
        evaluation = self.judge.evaluate(surroundings.pictured, surroundings.progress)
        if self.peers.is_main:
            write_evaluation(surroundings.folder, evaluation, card)
        surroundings.log(evaluation.record | {key: card.progress[key] for key in ("epoch", "step")})
        return evaluation

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

    def _save(self, surroundings: Surroundings, stepper: Stepper, name: str, position: Position) -> None:
        generators = self.peers.gather(devices.generators(self.device))
        if not self.peers.is_main:
            return
        state = {
            "stepper": stepper.state(),
            "position": asdict(position),
            "rotation": self.judge.rotation.state(),
            "generators": generators,
        }
        score = position.best_score
        best = -score if score is not None and self.judge.best.falls else score
        progress = {"epoch": position.epoch, "step": position.step, f"best_{self.judge.best.name}": best}
        with stepper.averaged():
            checkpoint.save(surroundings.folder / "checkpoints" / name, self.network, self._card(progress), state)
        surroundings.saved(name)

    def _restore(self, folder: Path, stepper: Stepper) -> Position:
        last = folder / "checkpoints" / "last"
        (card, weights), state = self.peers.from_main(lambda: (_read_model(last), checkpoint.read_trainer_state(last)))
        _require_as_many(self.peers, len(state["generators"]))
        self.network.load_state_dict(weights)
        stepper.restore(state["stepper"])
        devices.restore_generators(self.device, state["generators"][self.peers.rank])
        self.judge.rotation.restore(state.get("rotation", {}))
        position = Position(**state["position"])
        before = position.num_steps
        if self._num_steps is not None or card.experiment["training"]["max_time"] != self.experiment.training.max_time:
            position.num_steps = self._num_steps
        if (expected := position.num_steps or before) is not None:
            stepper.expect(expected)  # where the new length is not known yet, the rate follows the old one
        if before is not None and position.num_steps != before:
            position.validations_since_best = 0  # a longer training has a new patience
        tell_of_going_on(position, before, self.experiment.training.patience)
        return position

    def _card(self, progress: dict[str, float | int | None]) -> ModelCard:
        dataset = self.plan.dataset
        return ModelCard(
            experiment=self.experiment.model_dump(mode="json"),
            dataset=dataset.name,
            channels=dataset.channels,
            is_ct=dataset.is_ct,
            labels=dataset.labels,
            recipe=self.plan.recipe,
            patch_size=self.plan.patch_size,
            progress=progress,
            versions=versions(),
            initial=self.plan.initial,
            seen=self._seen,
        )

    @cached_property
    def _seen(self) -> Seen:
        return describe_cases(self.plan)


def _read_model(folder: Path) -> tuple[ModelCard, dict[str, torch.Tensor]]:
    card = checkpoint.read_card(folder)
    return card, checkpoint.read_weights(folder, card)


def _require_as_many(peers: Peers, num_before: int) -> None:
    """A step of another number of processes would be another step."""
    if peers.num_ranks != num_before:
        how = "without torchrun" if num_before == 1 else f"by torchrun, {num_before} processes in all"
        raise UsageError(f"this training ran in {num_before} processes, not {peers.num_ranks}; start it {how}")
