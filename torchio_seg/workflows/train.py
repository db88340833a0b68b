"""`torchio-seg train`: from an experiment to a run folder with a trained, evaluated model."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchio_seg import checkpoint, devices, machine
from torchio_seg.checkpoint import ModelCard
from torchio_seg.config.comparing import differing
from torchio_seg.config.resolve import load
from torchio_seg.config.sections import Experiment
from torchio_seg.distributed import ALONE, Peers
from torchio_seg.errors import ConfigError, TrainingError, UsageError
from torchio_seg.files import write_text
from torchio_seg.progress import Progress, Silent
from torchio_seg.records import Split
from torchio_seg.trainer import Position
from torchio_seg.workflows import runs
from torchio_seg.workflows.assembly import Plan, make_plan, recall_plan
from torchio_seg.workflows.cases import anchored, needs_root, require_root
from torchio_seg.workflows.describing import tell_of_the_end
from torchio_seg.workflows.ended import find_end
from torchio_seg.workflows.evaluate import Evaluation
from torchio_seg.workflows.job import Job, Surroundings
from torchio_seg.workflows.ledger import opened
from torchio_seg.workflows.ranks import plan_together, require_one_process, tell_of_ranks
from torchio_seg.workflows.stopping import stop_requests
from torchio_seg.workflows.storing import open_store

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """What a training left behind."""

    folder: Path
    position: Position
    model: Path
    """Its best checkpoint, or the last where none was validated."""
    stopped_by: int | None
    """The signal that ended it before its last epoch, or its evaluation, or None."""
    evaluation: Evaluation | None
    """Of the best model, where training ran to its end."""
    asked_to_stop: int | None = None
    """The signal that came while it trained, even too late to end it; whoever has more to do stops there."""


@dataclass(frozen=True)
class Situation:
    """What a training is told beside its settings, and does not keep."""

    began: float = field(default_factory=time.monotonic)
    """When the command did."""
    may_shrink: bool = False
    """Whether it may go on with smaller batches where memory is short."""
    trust: bool = False
    """Whether the weights that it begins with may come from a file that can execute code."""
    papers: Mapping[str, str] = field(default_factory=dict)
    """Texts to keep in the run's folder, by the names of their files."""
    peers: Peers = ALONE
    """The processes that train with this one; the main one keeps the run's folder, and speaks."""
    before_folder: Callable[[], None] = lambda: None
    """Called once everything fits together, before a new run's folder is made."""

    def __post_init__(self) -> None:
        if self.may_shrink:
            instead = "find the batch that fits in one, and give it with --batch-size, which counts for each process"
            require_one_process(self.peers, "--auto", instead)

    def progress(self, wanted: Progress | None) -> Progress:
        """Of all processes only the main one shows any."""
        return wanted if wanted is not None and self.peers.is_main else Silent()


def start(
    experiment: Experiment,
    runs_folder: Path,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    situation: Situation | None = None,
) -> Trained:
    """Train in a new run folder, which is made once everything fits together."""
    situation = situation or Situation()
    peers = situation.peers
    devices.choose(experiment.device, peers.local_rank)  # a device that is not there is found before any file is read
    if needs_root(experiment):
        require_root(experiment)
    experiment = anchored(experiment)
    progress = situation.progress(progress)

    def plan(experiment: Experiment) -> Plan:
        return plan_together(peers, lambda: make_plan(experiment, progress=progress, trust=situation.trust))

    with open_store(experiment.sampling.store).in_use():
        job = Job(experiment, plan(experiment), peers)
        own = peers.from_main(lambda: _make_folder(folder, runs_folder, experiment.name, situation))
        return _train_somehow(job, plan, own, progress, situation=situation)


def _make_folder(folder: Path | None, runs_folder: Path, experiment: str, situation: Situation) -> Path:
    situation.before_folder()
    if folder is None:
        folder = runs.create(runs_folder, experiment)
    else:
        runs.claim(folder)
    for name, text in situation.papers.items():
        write_text(folder / name, text)
    return folder


def resume(
    folder: Path, changes: Mapping[str, Any], *, progress: Progress | None = None, situation: Situation | None = None
) -> Trained:
    """Go on where the last checkpoint of a run is; its length may be changed."""
    situation = situation or Situation()
    peers, progress = situation.peers, situation.progress(progress)
    experiment, earlier, card, split = peers.from_main(lambda: _recall(folder, changes))
    devices.choose(experiment.device, peers.local_rank)
    if (end := peers.from_main(lambda: find_end(folder, experiment, earlier, split))) is not None:
        tell_of_the_end(end, experiment.training.patience)
        return Trained(folder, end, peers.from_main(lambda: runs.find_checkpoint(folder)), None, None)

    def plan(experiment: Experiment) -> Plan:
        return plan_together(peers, lambda: recall_plan(experiment, card, split, progress=progress))

    with open_store(experiment.sampling.store).in_use():
        job = Job(experiment, plan(experiment), peers)
        return _train_somehow(job, plan, folder, progress, situation=situation)


def _recall(folder: Path, changes: Mapping[str, Any]) -> tuple[Experiment, Experiment, ModelCard, Split]:
    """The settings of a run, changed and as they were, the card of its last checkpoint, and its split."""
    last = folder / "checkpoints" / "last"
    if not checkpoint.exists(last):
        raise UsageError(f"{folder} has no checkpoint to go on from (checkpoints/last); start a new training")
    earlier = load(folder / "config.yaml")
    experiment = load(folder / "config.yaml", changes)
    _require_same_training(experiment, earlier)
    return experiment, earlier, checkpoint.read_card(last), runs.read_split(folder)


def _train_somehow(
    job: Job, replan: Callable[[Experiment], Plan], folder: Path, progress: Progress, *, situation: Situation
) -> Trained:
    """Train; where memory is short, with fewer patches at once if that was allowed."""
    while True:
        try:
            return _train(job, folder, progress, situation)
        except Exception as error:
            if not machine.is_out_of_memory(error):
                raise
            said, experiment = str(error).partition(". ")[0], job.experiment
        job.release()
        smaller = with_fewer_at_once(experiment) if situation.may_shrink else None
        if smaller is None:
            raise TrainingError(_short_of_memory(said, job))
        log.warning(
            "out of memory with %d patches at once: going on with %d, in the same steps%s",
            *(experiment.training.portion, smaller.training.portion, _but(smaller, job.network)),
        )
        job = Job(smaller, replan(smaller), job.peers)


def with_fewer_at_once(experiment: Experiment) -> Experiment | None:
    """The same steps, half as much of a batch at a time; None where that is one patch already."""
    if (size := experiment.training.portion) == 1:
        return None
    training = experiment.training.model_copy(update={"patches_at_once": (size + 1) // 2})
    return experiment.model_copy(update={"training": training})


def _but(experiment: Experiment, network: torch.nn.Module) -> str:
    """What of a step depends on how many patches there are at once, if anything does."""
    together = ["Dice of a batch"] if experiment.loss.section.get("batch") is True else []
    if any(hasattr(module, "num_batches_tracked") for module in network.modules()):
        together.append("batch norm")
    return f", but for {' and '.join(together)}, which see no more than those" if together else ""


def _short_of_memory(said: str, job: Job) -> str:
    size, patch = job.experiment.training.portion, " x ".join(map(str, job.plan.patch_size))
    fewer = ""
    if smaller := with_fewer_at_once(job.experiment):
        same = f"as by --auto: the same steps{_but(smaller, job.network)}"
        fewer = f"--set training.patches_at_once={smaller.training.portion} ({same}), or "
    return (
        f"out of memory with {size} patches of {patch} at once: {said}. Use {fewer}--set "
        "training.activation_checkpointing=true, with --resume where something was saved; or begin anew with a smaller "
        "--patch-size"
    )


def _train(job: Job, folder: Path, progress: Progress, situation: Situation) -> Trained:
    """From the last checkpoint on, if the folder has one."""
    peers = job.peers
    with _told_how_to_go_on(folder), opened(job, folder, progress) as ledger:
        with stop_requests(launched=peers.num_ranks > 1) as request:

            def should_stop() -> bool:
                return peers.any(request.signal is not None)

            surroundings = Surroundings(
                *(folder, ledger.log, progress, should_stop, situation.began, ledger.saved, ledger.pictured),
                trained_on=ledger.trained_on,
            )
            resume = peers.from_main(lambda: checkpoint.exists(folder / "checkpoints" / "last"))
            trainer = job.trainer(surroundings, resume=resume)
            if peers.is_main:
                job.describe(folder)
                tell_of_ranks(job.experiment, job.device, peers)
            first = trainer.position.step
            ledger.keep_until(first, trainer.position.validated_at)
            finished = trainer.run()
        asked = peers.highest(request.signal or 0) or None
        is_new = peers.from_main(lambda: trainer.position.step > first or not job.judge.is_done(folder))
        is_to_be_scored = finished and bool(job.judge.held_out) and is_new
        evaluation = job.evaluate(surroundings) if is_to_be_scored and asked is None else None
    model = peers.from_main(lambda: runs.find_checkpoint(folder))
    is_left = not finished or (is_to_be_scored and evaluation is None)
    return Trained(folder, trainer.position, model, asked if is_left else None, evaluation, asked)


@contextmanager
def _told_how_to_go_on(folder: Path) -> Iterator[None]:
    """What somebody who does not wait for the end of a step, or of the evaluation, is told."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if checkpoint.exists(folder / "checkpoints" / "last"):
            stop.add_note(f"stopped; what was saved is kept, and train --resume {folder} goes on from there")
        raise


def _require_same_training(experiment: Experiment, earlier: Experiment) -> None:
    """A resumed training keeps its settings; only its length and how its steps are reckoned may differ."""
    free = {
        "device",
        "dataset.root",
        "training.epochs",
        "training.steps",
        "training.max_time",
        "training.patience",
        "training.save_every",
        "sampling.num_workers",
        "sampling.store",
        "training.validation_every",
        "training.activation_checkpointing",
        "training.patches_at_once",
    }
    changed = [key for key in differing(earlier, experiment) if not key.startswith(("tracker.", "pictures."))]
    if forbidden := [key for key in changed if key not in free]:
        raise ConfigError(f"a resumed training keeps its settings, but {', '.join(forbidden)} differ; start a new one")
