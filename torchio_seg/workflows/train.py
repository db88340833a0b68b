"""`torchio-seg train`: from an experiment to a run folder with a trained, evaluated model."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from torchio_seg import checkpoint, components, devices
from torchio_seg.checkpoint import ModelCard
from torchio_seg.config.resolve import load, to_yaml
from torchio_seg.errors import ConfigError, UsageError
from torchio_seg.files import write_json, write_text
from torchio_seg.metrics import mean_dice, summarize
from torchio_seg.network_sizes import sizes_of
from torchio_seg.optimization import build_optimizer, build_schedule
from torchio_seg.predictor.native import Predictor
from torchio_seg.progress import Progress, Silent
from torchio_seg.reports.curves import curves
from torchio_seg.sampling import PatchStream
from torchio_seg.step import Stepper
from torchio_seg.subjects import to_subject
from torchio_seg.targets import encode
from torchio_seg.trainer import Parts, Position, Trainer, Validation
from torchio_seg.workflows import runs
from torchio_seg.workflows.assembly import Plan, make_patch_recipe, make_plan, make_window
from torchio_seg.workflows.evaluate import Evaluation, evaluate_cases, write_evaluation
from torchio_seg.workflows.stopping import stop_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from torchio_seg.config.sections import Experiment
    from torchio_seg.step import Loss, Pair

log = logging.getLogger(__name__)

PACKAGES = ("torchio-seg", "torch", "torchio", "monai", "nibabel", "numpy")


@dataclass(frozen=True)
class Trained:
    """What a training left behind."""

    folder: Path
    position: Position
    stopped_by: int | None
    """The signal that ended it before its last epoch, or None."""
    evaluation: Evaluation | None
    """Of the best model, where training ran to its end."""


def start(
    experiment: Experiment, runs_folder: Path, *, folder: Path | None = None, progress: Progress | None = None
) -> Trained:
    """Train in a new run folder, which is made once everything fits together."""
    plan = make_plan(experiment)
    if folder is None:
        folder = runs.create(runs_folder, experiment.name)
    else:
        runs.claim(folder)
    return _train(experiment, plan, folder, progress or Silent(), resume=False)


def resume(folder: Path, changes: Mapping[str, Any], *, progress: Progress | None = None) -> Trained:
    """Go on where the last checkpoint of a run is; its length may be changed."""
    last = folder / "checkpoints" / "last"
    if not checkpoint.exists(last):
        raise UsageError(f"{folder} has no checkpoint to go on from (checkpoints/last); start a new training")
    earlier = load(folder / "config.yaml")
    experiment = load(folder / "config.yaml", changes)
    _require_same_training(experiment, earlier)
    return _train(experiment, make_plan(experiment), folder, progress or Silent(), resume=True)


def _train(experiment: Experiment, plan: Plan, folder: Path, progress: Progress, *, resume: bool) -> Trained:
    with runs.locked(folder):
        journal = runs.Journal(folder / "metrics.jsonl")
        tracker = components.assemble("trackers", experiment.tracker.section, folder)
        training = _Training(experiment, plan, folder, log=partial(_record, folder, journal, tracker))
        try:
            training.describe()
            with stop_requests() as request:
                trainer = training.trainer(progress, lambda: request.signal is not None, resume=resume)
                finished = trainer.run()
            evaluation = training.evaluate(progress) if finished else None
        finally:
            journal.finish()
            tracker.finish()
    return Trained(folder, trainer.position, None if finished else request.signal, evaluation)


class _Training:
    """The parts of one training, joined."""

    def __init__(
        self, experiment: Experiment, plan: Plan, folder: Path, *, log: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self.experiment = experiment
        self.plan = plan
        self.folder = folder
        self.log = log
        self.device = devices.choose(experiment.device)
        devices.seed_everything(experiment.seed, strict=experiment.deterministic == "strict")
        self.network = plan.network.to(self.device)
        self.loss: Loss = components.assemble("losses", experiment.loss.section, plan.dataset.labels.exclusive)
        self.predictor = Predictor(
            self.network,
            plan.dataset.labels,
            plan.recipe,
            make_window(experiment, plan.patch_size, sizes_of(self.network)),
            self.device,
            experiment.training.precision,
        )

    def describe(self) -> None:
        """Write the settings and what followed from them into the run's folder, and say the most important."""
        plan, split = self.plan, self.plan.split
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        write_text(self.folder / "config.yaml", to_yaml(self.experiment))
        facts = {
            "dataset": plan.dataset.name,
            "channels": plan.dataset.channels,
            "regions": [asdict(region) for region in plan.dataset.labels.regions],
            "split": asdict(split),
            "preprocessing": asdict(plan.recipe),
            "patch_size": plan.patch_size,
            "parameters": parameters,
            "device": devices.describe(self.device),
            "versions": versions(),
        }
        write_json(self.folder / "run.json", facts)
        regions = ", ".join(f"{region.name} {list(region.labels)}" for region in plan.dataset.labels.regions)
        log.info("%s: channels %s; regions %s", plan.dataset.name, ", ".join(plan.dataset.channels), regions)
        log.info("%d training, %d validation, %d test cases", *map(len, (split.training, split.validation, split.test)))
        log.info("%s, %.1f million parameters, on %s", self.experiment.network.name, parameters / 1e6, facts["device"])

    def trainer(self, progress: Progress, should_stop: Callable[[], bool], *, resume: bool) -> Trainer:
        """A trainer at the beginning, or where the last checkpoint left it."""
        stream = self._stream()
        settings = self.experiment.training
        steps = settings.epochs * -(-stream.batches_per_epoch // settings.accumulate)
        optimizer = build_optimizer(self.network.parameters(), self.experiment.optimization)
        schedule = build_schedule(optimizer, self.experiment.optimization, steps)
        stepper = Stepper(self.network, self.loss, optimizer, schedule, settings=settings, device=self.device)
        parts = Parts(
            stepper=stepper,
            batches=partial(self._batches, stream),
            batches_per_epoch=stream.batches_per_epoch,
            validate=self.validate,
            save=partial(self._save, stepper),
            log=self.log,
            should_stop=should_stop,
            progress=progress,
        )
        return Trainer(parts, settings, self._restore(stepper) if resume else Position())

    def validate(self, progress: Progress) -> Validation:
        """Dice and loss of whole-volume predictions of the validation cases."""
        losses: list[float] = []
        scores = evaluate_cases(
            self.predictor,
            self.plan.cases(self.plan.split.validation),
            self.plan.dataset,
            progress=progress,
            on_logits=lambda logits, label: losses.append(self._loss_of(logits, label)),
        )
        summaries = summarize(scores)
        loss = sum(losses) / len(losses) if losses else None
        return Validation(mean_dice(summaries), loss, {summary.region: summary.mean_dice for summary in summaries})

    def evaluate(self, progress: Progress) -> Evaluation:
        """The best model on the test part, or on the validation part where there is no test."""
        folder = runs.find_checkpoint(self.folder)
        card = checkpoint.read_card(folder)
        self.network.load_state_dict(checkpoint.read_weights(folder, card))
        part = "test" if self.plan.split.test else "validation"
        ids = self.plan.split.test or self.plan.split.validation
        scores = evaluate_cases(self.predictor, self.plan.cases(ids), self.plan.dataset, progress=progress)
        evaluation = Evaluation(part, scores)
        write_evaluation(self.folder, evaluation, card)
        self.log({"kind": "evaluation", "part": part, "mean_dice": evaluation.mean_dice})
        return evaluation

    def _stream(self) -> PatchStream:
        dataset, experiment = self.plan.dataset, self.experiment
        subjects = tuple(
            to_subject(case, len(dataset.channels), sorted(dataset.labels.names))
            for case in self.plan.cases(self.plan.split.training)
        )
        recipe = make_patch_recipe(experiment, self.plan)
        batch_size = experiment.training.batch_size
        return PatchStream(subjects, recipe, experiment.sampling, batch_size, experiment.seed)

    def _batches(self, stream: PatchStream, epoch: int) -> Iterator[Pair]:
        for images, label_map in stream.epoch(epoch):
            yield images, encode(label_map, self.plan.dataset.labels)

    def _loss_of(self, logits: torch.Tensor, label_map: torch.Tensor) -> float:
        masks = encode(label_map[None], self.plan.dataset.labels)
        with torch.inference_mode():
            return float(self.loss(logits[None], masks))

    def _save(self, stepper: Stepper, name: str, position: Position) -> None:
        state = {
            "stepper": stepper.state(),
            "position": asdict(position),
            "generators": {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()},
        }
        progress = {"epoch": position.epoch, "step": position.step, "mean_dice": position.best_dice}
        checkpoint.save(self.folder / "checkpoints" / name, self.network, self._card(progress), state)

    def _restore(self, stepper: Stepper) -> Position:
        folder = self.folder / "checkpoints" / "last"
        card = checkpoint.read_card(folder)
        self.network.load_state_dict(checkpoint.read_weights(folder, card))
        state = checkpoint.read_trainer_state(folder)
        stepper.restore(state["stepper"])
        torch.set_rng_state(state["generators"]["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state_all(state["generators"]["cuda"])
        position = Position(**state["position"])
        log.info("going on after epoch %d, step %d", position.epoch, position.step)
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


def _record(folder: Path, journal: runs.Journal, tracker: Any, record: Mapping[str, Any]) -> None:
    """Into the run's own journal first, then to the tracker, the curves and the screen."""
    journal.log(record)
    tracker.log(record)
    if record["kind"] in {"epoch", "validation"}:
        write_text(folder / "curves.svg", curves(journal.records, folder.name))
        _say(record)


def versions() -> dict[str, str]:
    """What the numbers of a run depend on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()}


def _require_same_training(experiment: Experiment, earlier: Experiment) -> None:
    """A resumed training keeps its settings; only its length and what does not touch its numbers may differ."""
    free = {"device", "training.epochs", "sampling.num_workers", "training.validation_every"}
    before, after = _flat(earlier.model_dump(mode="json")), _flat(experiment.model_dump(mode="json"))
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    if forbidden := [key for key in changed if key not in free]:
        raise ConfigError(f"a resumed training keeps its settings, but {', '.join(forbidden)} differ; start a new one")


def _say(record: Mapping[str, Any]) -> None:
    if record["kind"] == "epoch":
        log.info(
            "epoch %d  loss %s  %.1f patches/s  %.0f %% waiting",
            record["epoch"],
            _number(record["loss"]),
            record["patches_per_second"],
            100 * record["waiting"],
        )
        return
    regions = "  ".join(f"{name} {_number(value)}" for name, value in record["dice"].items())
    log.info("validation  Dice %s  (%s)", _number(record["mean_dice"]), regions)


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
