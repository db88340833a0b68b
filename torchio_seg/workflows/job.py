"""One training as a whole: the parts that an experiment asks for, joined for the trainer."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
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
from torchio_seg.metrics import mean_dice, summarize
from torchio_seg.network_sizes import sizes_of
from torchio_seg.optimization import Schedule, build_optimizer
from torchio_seg.predictor.native import Predictor
from torchio_seg.progress import Progress
from torchio_seg.records import Validation
from torchio_seg.sampling.choices import drawn_anywhere
from torchio_seg.sampling.patches import to_subject
from torchio_seg.sampling.seeds import derive_seed
from torchio_seg.sampling.stream import Feed, PatchStream
from torchio_seg.step import Pair, Stepper
from torchio_seg.targets import encode
from torchio_seg.timing import Allowance, Upkeep
from torchio_seg.trainer import Parts, Position, Trainer
from torchio_seg.workflows.assembly import Plan, build_loss, make_window
from torchio_seg.workflows.best import Best, parse_best
from torchio_seg.workflows.evaluate import Evaluation, OnPrediction, evaluate_cases, write_evaluation
from torchio_seg.workflows.network import require_sound_gradients
from torchio_seg.workflows.patches import make_patch_recipe
from torchio_seg.workflows.provenance import commits, fingerprint, versions
from torchio_seg.workflows.runs import find_checkpoint
from torchio_seg.workflows.seen import describe_cases

log = logging.getLogger(__name__)

_SHOWN = 5


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
    pictured: Callable[[str, bool], AbstractContextManager[OnPrediction | None]] = lambda *_: nullcontext()
    """Who looks at predictions of a part of the cases, and whether they are the last."""


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
            precision = devices.usable(self.device, experiment.training.precision)
            require_sound_gradients(plan.network, len(plan.dataset.channels), plan.patch_size, precision)
        self.network = plan.network.to(self.device)
        if experiment.training.activation_checkpointing:
            speedups.recompute_levels(self.network)
        if experiment.training.channels_last:
            speedups.use_channels_last(self.network)
        self.loss = build_loss(experiment, plan.dataset, peers)
        self.loss_of_case = build_loss(experiment, plan.dataset)
        self.predictor = Predictor(
            self.network,
            plan.dataset.labels,
            plan.recipe,
            make_window(experiment, plan.patch_size, sizes_of(self.network)),
            self.device,
            experiment.training.precision,
        )
        self.feed = Feed(self._make_stream())

    @property
    def held_out(self) -> tuple[str, ...]:
        """The cases that the best model is scored on at the end."""
        return self.plan.split.test or self.plan.split.validation

    @property
    def part(self) -> str:
        """What those cases are called."""
        return "test" if self.plan.split.test else "validation"

    def is_evaluated(self, folder: Path) -> bool:
        """Whether a run's folder holds the scores of those cases, so that they need not be touched again."""
        return (folder / "evaluation" / f"{self.part}.json").exists()

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
        plan = self.plan
        return {
            "dataset": plan.dataset.name,
            "fingerprint": fingerprint(plan.dataset, plan.split),
            "notes": plan.dataset.notes,
            "channels": plan.dataset.channels,
            "regions": [asdict(region) for region in plan.dataset.labels.regions],
            "split": asdict(plan.split),
            "drawn_anywhere": drawn_anywhere(self.feed.stream.recipe.choice, [stored.record for stored in plan.stored]),
            "preprocessing": asdict(plan.recipe),
            "patch_size": plan.patch_size,
            "parameters": sum(parameter.numel() for parameter in self.network.parameters()),
            "initial_weights": plan.initial,
            "device": devices.describe(self.device),
            "precision": devices.usable(self.device, self.experiment.training.precision),
            "versions": versions(),
            "commits": commits(),
        }

    def describe(self, folder: Path) -> None:
        """Write the settings and what followed from them into the run's folder, and say the most important."""
        plan, split, facts = self.plan, self.plan.split, self.facts
        precision, anywhere, parameters = (facts[key] for key in ("precision", "drawn_anywhere", "parameters"))
        write_text(folder / "config.yaml", to_yaml(self.experiment))
        write_json(folder / "run.json", facts)
        if precision != (wanted := self.experiment.training.precision):
            log.info("this CPU has no fast arithmetic in %s; %s is used", wanted, precision)
        if anywhere:
            named = ", ".join(anywhere[:_SHOWN]) + (", ..." if len(anywhere) > _SHOWN else "")
            log.info(
                "%d of %d training cases have nothing to cut patches around, theirs are cut anywhere: %s",
                len(anywhere),
                len(plan.stored),
                named,
            )
        regions = ", ".join(f"{region.name} {list(region.labels)}" for region in plan.dataset.labels.regions)
        log.info("%s: channels %s; regions %s", plan.dataset.name, ", ".join(plan.dataset.channels), regions)
        counts = map(len, (split.training, split.validation, split.test))
        log.info("%d training, %d validation, %d test cases; %s", *counts, split.origin)
        log.info("%s, %.1f million parameters, on %s", self.experiment.network.name, parameters / 1e6, facts["device"])

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
            allowance = Allowance(limit, surroundings.began, self._rehearse, self.peers.broadcast)
        parts = Parts(
            stepper=stepper,
            batches=self._batches,
            batches_per_epoch=self.feed.stream.batches_per_epoch,
            validate=partial(self.validate, surroundings) if self.plan.split.validation else None,
            save=partial(self._save, surroundings, stepper),
            log=surroundings.log,
            should_stop=surroundings.should_stop,
            progress=surroundings.progress,
            allowance=allowance,
            falling=self._best.falling,
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

    def validate(self, surroundings: Surroundings, subset: int | None, progress: Progress) -> Validation:
        """Dice and loss of whole-volume predictions of the validation cases, or of the n-th few of them."""
        ids, few = self.plan.split.validation, self.experiment.training.validation_cases
        if subset is not None and few is not None and few < len(ids):
            ids = tuple(ids[(subset * few + number) % len(ids)] for number in range(few))
        losses: list[float] = []
        with surroundings.pictured("validation", False) as on_prediction:
            scores = evaluate_cases(
                self.predictor,
                self.plan.dataset.choose(ids),
                self.plan.dataset,
                progress=progress,
                on_logits=lambda logits, label: losses.append(self._loss_of(logits, label)),
                on_prediction=on_prediction,
                peers=self.peers,
                measures=self._best.measures,
            )
        losses = self.peers.whole(losses)
        summaries = summarize(scores)
        loss = sum(losses) / len(losses) if losses else None
        dice = {summary.region: summary.mean_dice for summary in summaries}
        return Validation(mean_dice(summaries), loss, dice, len(ids), self._best.of(scores))

    def _rehearse(self) -> Upkeep:
        """What validations will take, by one case."""
        cases = self.plan.dataset.choose((self.plan.split.validation or self.held_out)[:1])
        start = time.monotonic()
        evaluate_cases(self.predictor, cases, self.plan.dataset, measures=self._best.measures)
        each = time.monotonic() - start if cases else 0.0
        num_all, few = len(self.plan.split.validation), self.experiment.training.validation_cases
        num_cases = (min(num_all, few or num_all), num_all, len(self.held_out))
        between, last, ending = (each * -(-num // self.peers.num_ranks) for num in num_cases)
        return Upkeep(between, last + ending)

    def evaluate(self, surroundings: Surroundings) -> Evaluation:
        """The best model on the test part, or on the validation part where there is no test."""
        self.feed.close()
        card, weights = self.peers.from_main(lambda: _read_model(find_checkpoint(surroundings.folder)))
        self.network.load_state_dict(weights)
        with surroundings.pictured(self.part, True) as on_prediction:
            scores = evaluate_cases(
                self.predictor,
                self.plan.dataset.choose(self.held_out),
                self.plan.dataset,
                progress=surroundings.progress,
                on_prediction=on_prediction,
                peers=self.peers,
            )
        evaluation = Evaluation(self.part, scores)
        if self.peers.is_main:
            write_evaluation(surroundings.folder, evaluation, card)
        surroundings.log(evaluation.record | {key: card.progress[key] for key in ("epoch", "step")})
        return evaluation

    @cached_property
    def _best(self) -> Best:
        return parse_best(self.experiment.training.best, [region.name for region in self.plan.dataset.labels.regions])

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
        shape = (training.batch_size, len(self.plan.dataset.channels), *self.plan.patch_size)
        return speedups.compiled(self.network, shape, self.device, training.precision)

    def _batches(self, epoch: int, first: int) -> Iterator[Pair]:
        for images, label_map in self.feed.epoch(epoch, first):
            yield images, encode(label_map, self.plan.dataset.labels)

    def _loss_of(self, logits: torch.Tensor, label_map: torch.Tensor) -> float:
        masks = encode(label_map[None], self.plan.dataset.labels)
        with torch.inference_mode():
            return float(self.loss_of_case(logits[None], masks))

    def _save(self, surroundings: Surroundings, stepper: Stepper, name: str, position: Position) -> None:
        generators = self.peers.gather(devices.generators(self.device))
        if not self.peers.is_main:
            return
        state = {
            "stepper": stepper.state(),
            "position": asdict(position),
            "batch_size": self.experiment.training.batch_size,
            "generators": generators,
        }
        score = position.best_score
        best = -score if score is not None and self._best.falls else score
        progress = {"epoch": position.epoch, "step": position.step, f"best_{self._best.name}": best}
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
        position = Position(**state["position"])
        position.batches_done = position.batches_done * state["batch_size"] // self.experiment.training.batch_size
        before = position.num_steps
        if self._num_steps is not None or card.experiment["training"]["max_time"] != self.experiment.training.max_time:
            position.num_steps = self._num_steps
        if (expected := position.num_steps or before) is not None:
            stepper.expect(expected)  # where the new length is not known yet, the rate follows the old one
        log.info("going on after epoch %d, step %d", position.epoch, position.step)
        if before is not None and position.num_steps != before:
            now = "as many as fit the new time" if position.num_steps is None else str(position.num_steps)
            log.info("its length was %d steps and is now %s; the learning rate follows the new length", before, now)
            position.validations_since_best = 0
        elif (patience := self.experiment.training.patience) is not None and (
            position.validations_since_best >= patience
        ):
            log.info(
                "it ended after %d validations without a better one; a longer --epochs, or a larger training.patience, "
                "trains on",
                position.validations_since_best,
            )
        if position.num_steps is not None and position.step >= position.num_steps:
            log.info(
                "all %d steps (%d epochs) are done; --epochs, --steps or --max-time with more of it trains on",
                position.step,
                position.epoch,
            )
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
