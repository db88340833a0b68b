"""One training as a whole: the parts that an experiment asks for, joined for the trainer."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from torchio_seg import checkpoint, devices, machine, speedups
from torchio_seg.checkpoint import ModelCard
from torchio_seg.config.resolve import to_yaml
from torchio_seg.config.sections import Experiment
from torchio_seg.files import write_json, write_text
from torchio_seg.metrics import mean_dice, summarize
from torchio_seg.network_sizes import sizes_of
from torchio_seg.optimization import build_optimizer, build_schedule
from torchio_seg.predictor.native import Predictor
from torchio_seg.progress import Progress
from torchio_seg.sampling.choices import drawn_anywhere
from torchio_seg.sampling.patches import to_subject
from torchio_seg.sampling.stream import Feed, PatchStream
from torchio_seg.step import Pair, Stepper
from torchio_seg.targets import encode
from torchio_seg.trainer import Parts, Position, Trainer, Validation
from torchio_seg.workflows.assembly import Plan, build_loss, make_window
from torchio_seg.workflows.evaluate import Evaluation, evaluate_cases, write_evaluation
from torchio_seg.workflows.network import require_sound_gradients
from torchio_seg.workflows.patches import make_patch_recipe
from torchio_seg.workflows.runs import find_checkpoint

log = logging.getLogger(__name__)

_SHOWN = 5
PACKAGES = ("torchio-seg", "torch", "torchio", "monai", "nibabel", "numpy")


@dataclass(frozen=True)
class Surroundings:
    """Where a training keeps what it makes, and who is told."""

    folder: Path
    log: Callable[[Mapping[str, Any]], None]
    progress: Progress
    should_stop: Callable[[], bool]


class Job:
    """One training's parts, joined: what it optimizes, validates, saves and evaluates."""

    def __init__(self, experiment: Experiment, plan: Plan) -> None:
        self.experiment = experiment
        self.plan = plan
        self.device = devices.choose(experiment.device)
        devices.seed_everything(experiment.seed, strict=experiment.deterministic == "strict")
        if self.device.type == "cpu":
            precision = devices.usable(self.device, experiment.training.precision)
            require_sound_gradients(plan.network, len(plan.dataset.channels), plan.patch_size, precision)
        self.network = plan.network.to(self.device)
        if experiment.training.activation_checkpointing:
            speedups.recompute_levels(self.network)
        if experiment.training.channels_last:
            speedups.use_channels_last(self.network)
        self.loss = build_loss(experiment, plan.dataset)
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

    def describe(self, folder: Path) -> None:
        """Write the settings and what followed from them into the run's folder, and say the most important."""
        plan, split = self.plan, self.plan.split
        precision = devices.usable(self.device, self.experiment.training.precision)
        anywhere = drawn_anywhere(self.feed.stream.recipe.choice, [stored.record for stored in plan.stored])
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        write_text(folder / "config.yaml", to_yaml(self.experiment))
        facts = {
            "dataset": plan.dataset.name,
            "notes": plan.dataset.notes,
            "channels": plan.dataset.channels,
            "regions": [asdict(region) for region in plan.dataset.labels.regions],
            "split": asdict(split),
            "drawn_anywhere": anywhere,
            "preprocessing": asdict(plan.recipe),
            "patch_size": plan.patch_size,
            "parameters": parameters,
            "device": devices.describe(self.device),
            "precision": precision,
            "versions": versions(),
        }
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
        stream = self.feed.stream
        settings = self.experiment.training
        steps = settings.epochs * -(-stream.batches_per_epoch // settings.accumulate)
        optimizer = build_optimizer(self.network.parameters(), self.experiment.optimization)
        schedule = build_schedule(optimizer, self.experiment.optimization, steps)
        stepper = Stepper(self._trained(), self.loss, optimizer, schedule, settings=settings, device=self.device)
        parts = Parts(
            stepper=stepper,
            batches=self._batches,
            batches_per_epoch=stream.batches_per_epoch,
            validate=self.validate if self.plan.split.validation else None,
            save=partial(self._save, surroundings.folder, stepper),
            log=surroundings.log,
            should_stop=surroundings.should_stop,
            progress=surroundings.progress,
        )
        return Trainer(parts, settings, self._restore(surroundings.folder, stepper) if resume else Position())

    def validate(self, progress: Progress) -> Validation:
        """Dice and loss of whole-volume predictions of the validation cases."""
        losses: list[float] = []
        scores = evaluate_cases(
            self.predictor,
            self.plan.dataset.choose(self.plan.split.validation),
            self.plan.dataset,
            progress=progress,
            on_logits=lambda logits, label: losses.append(self._loss_of(logits, label)),
        )
        summaries = summarize(scores)
        loss = sum(losses) / len(losses) if losses else None
        return Validation(mean_dice(summaries), loss, {summary.region: summary.mean_dice for summary in summaries})

    def evaluate(self, surroundings: Surroundings) -> Evaluation:
        """The best model on the test part, or on the validation part where there is no test."""
        self.feed.close()
        folder = find_checkpoint(surroundings.folder)
        card = checkpoint.read_card(folder)
        self.network.load_state_dict(checkpoint.read_weights(folder, card))
        scores = evaluate_cases(
            self.predictor, self.plan.dataset.choose(self.held_out), self.plan.dataset, progress=surroundings.progress
        )
        evaluation = Evaluation(self.part, scores)
        write_evaluation(surroundings.folder, evaluation, card)
        record = {"kind": "evaluation", "part": self.part, "mean_dice": evaluation.mean_dice}
        surroundings.log(record | {key: card.progress[key] for key in ("epoch", "step")})
        return evaluation

    def _make_stream(self) -> PatchStream:
        experiment = self.experiment
        if (wanted := experiment.sampling.num_workers) > (there := machine.num_processors()):
            log.info(
                "sampling.num_workers is %d, but there are %d processors: more workers only take memory", wanted, there
            )
        return PatchStream(
            subjects=tuple(to_subject(stored, self.plan.recipe) for stored in self.plan.stored),
            recipe=make_patch_recipe(experiment, self.plan),
            batch_size=experiment.training.batch_size,
            seed=experiment.seed,
            num_workers=experiment.sampling.num_workers,
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
            return float(self.loss(logits[None], masks))

    def _save(self, folder: Path, stepper: Stepper, name: str, position: Position) -> None:
        state = {
            "stepper": stepper.state(),
            "position": asdict(position),
            "generators": {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()},
        }
        progress = {"epoch": position.epoch, "step": position.step, "mean_dice": position.best_dice}
        checkpoint.save(folder / "checkpoints" / name, self.network, self._card(progress), state)

    def _restore(self, folder: Path, stepper: Stepper) -> Position:
        last = folder / "checkpoints" / "last"
        card = checkpoint.read_card(last)
        self.network.load_state_dict(checkpoint.read_weights(last, card))
        state = checkpoint.read_trainer_state(last)
        stepper.restore(state["stepper"])
        torch.set_rng_state(state["generators"]["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state_all(state["generators"]["cuda"])
        position = Position(**state["position"])
        log.info("going on after epoch %d, step %d", position.epoch, position.step)
        if position.epoch >= self.experiment.training.epochs:
            log.info("all %d epochs are done; --epochs N with a higher number trains on", position.epoch)
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
        )


def versions() -> dict[str, str]:
    """What the numbers of a run depend on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()}
