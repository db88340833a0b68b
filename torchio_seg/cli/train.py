"""torchio-seg train."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from torchio_seg.cli import train_options as only
from torchio_seg.cli.means import show_means
from torchio_seg.cli.options import (
    Auto,
    BatchSize,
    ConfigFile,
    DatasetName,
    Device,
    Epochs,
    Fold,
    InitFrom,
    Network,
    PatchSize,
    Root,
    RunsFolder,
    Seed,
    Set,
    Steps,
    TrustWeights,
    Wandb,
)
from torchio_seg.cli.plan import plan_here
from torchio_seg.cli.repeats import show_repeats
from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import (
    BEGUN,
    gather,
    one_length,
    parse_fold,
    program,
    require_known,
    told_once,
    tracking,
    typed,
)
from torchio_seg.config.typed import parse_size
from torchio_seg.errors import UsageError

if TYPE_CHECKING:
    from torchio_seg.workflows.train import Situation, Trained


@dataclass(frozen=True)
class Asked:
    """What the user names, which is judged before anything heavy is imported."""

    dataset: str | None
    config: Path | None
    changes: dict[str, Any]
    resume: Path | None
    repeats: int | None
    output: Path | None
    runs: Path


def train(  # noqa: PLR0913 (flags are what the command line is made of)
    *,
    dataset: DatasetName = None,
    config: ConfigFile = None,
    root: Root = None,
    resume: only.Resume = None,
    repeats: only.Repeats = None,
    network: Network = None,
    epochs: Epochs = None,
    steps: Steps = None,
    max_time: only.TrainingTime = None,
    batch_size: BatchSize = None,
    patch_size: PatchSize = None,
    fold: Fold = None,
    seed: Seed = None,
    device: Device = None,
    init_from: InitFrom = None,
    trust: TrustWeights = False,
    set_: Set = None,
    auto: Auto = False,
    output: only.RunFolder = None,
    runs: RunsFolder = Path("runs"),
    wandb: Wandb = None,
) -> None:
    """Train a network on a data set, and score it on the cases that are kept apart.

    torchio-seg train --dataset phantom

    torchio-seg train --dataset decathlon --root Task04_Hippocampus --epochs 50

    A layout without an experiment of its own is planned first, as by 'torchio-seg plan'.

    torchrun --nproc-per-node 4 -m torchio_seg train --dataset decathlon ... trains on four GPUs.
    """
    given = {"--dataset": dataset, "--config": config, "--resume": resume}
    flags = {
        "dataset.root": root,
        "network.name": network,
        "init_from": None if init_from is None else init_from.resolve(),
        "training.epochs": epochs,
        "training.steps": steps,
        "training.max_time": max_time,
        "training.batch_size": batch_size,
        "sampling.patch_size": parse_size(patch_size, "--patch-size"),
        "split.fold": parse_fold(fold),
        "seed": seed,
        "device": device,
        **tracking(wandb),
    }
    with told_once():
        _require_new_folder(resume, repeats, output)
        _require_one_source([name for name, value in given.items() if value is not None])
        changes = one_length(gather(flags, set_))
        if resume is None:
            require_known(dataset, config, changes, assignments=set_, begun=None if repeats is None else output)
    _carry_out(Asked(dataset, config, changes, resume, repeats, output, runs), may_shrink=auto, trust=trust)


def _carry_out(asked: Asked, *, may_shrink: bool, trust: bool) -> None:
    """Train, alone or as one of several processes."""
    from torchio_seg.distributed import joined
    from torchio_seg.workflows.train import Situation

    with joined() as peers:
        if not peers.is_main:
            Screen.shared().say_only_failures()
        situation = Situation(BEGUN, may_shrink=may_shrink, trust=trust, peers=peers)
        if asked.repeats is not None:
            _repeat(asked, asked.repeats, situation)
            return
        trained = _begin(asked, situation) if asked.resume is None else _go_on(asked, asked.resume, situation)
        report(trained)
    leave(trained)


def _begin(asked: Asked, situation: Situation) -> Trained:
    """A new training of what the user names, which is planned first where nobody has described it."""
    from torchio_seg.config.resolve import choose, is_layout
    from torchio_seg.workflows.train import start

    dataset, config, changes = asked.dataset, asked.config, asked.changes
    if config is None and dataset is not None and is_layout(dataset):
        peers = situation.peers
        experiment, papers = peers.from_main(lambda: plan_here(dataset, changes, peers.num_local))
        situation = replace(situation, papers=papers)
    else:
        experiment = choose(dataset, config, changes)
    return start(experiment, asked.runs, folder=asked.output, progress=Screen.shared(), situation=situation)


def _go_on(asked: Asked, run: Path, situation: Situation) -> Trained:
    """The training of a run that was stopped, or is to be longer."""
    from torchio_seg.workflows.train import resume

    return resume(run.resolve(), asked.changes, progress=Screen.shared(), situation=situation)


def _repeat(asked: Asked, repeats: int, situation: Situation) -> None:
    """The same training by several seeds."""
    from torchio_seg.workflows.ranks import require_one_process
    from torchio_seg.workflows.series import Place, settle

    require_one_process(situation.peers, "--repeats", "train each seed by a torchrun of its own, with --seed")
    place = Place(asked.output, "repeats")
    experiment, papers = settle(asked.dataset, asked.config, asked.changes, place, plan=plan_here)
    show_repeats(experiment, repeats, asked.runs, asked.output, situation=replace(situation, papers=papers))


def _require_one_source(named: list[str]) -> None:
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} each name what to train; give one of them")


def _require_new_folder(resume: Path | None, repeats: int | None, output: Path | None) -> None:
    """Refuse what does not go with a run that is there already."""
    if resume is None:
        return
    if repeats is not None:
        raise UsageError("--repeats goes on by itself where its folder is named again with -o; leave --resume out")
    if output is not None:
        raise UsageError("--output names a new run's folder, --resume goes on in the old one; give one of them")


def report(trained: Trained) -> None:
    """Show what a training gave."""
    screen = Screen.shared()
    if trained.evaluation is not None:
        evaluation = trained.evaluation
        screen.table_of_scores(f"Dice on the {evaluation.part} cases", evaluation.summaries, evaluation.mean_dice)
        if evaluation.measures.names not in {(), ("dice",)}:
            show_means(evaluation.scores)
        if evaluation.part == "validation" and trained.model.name == "best":
            screen.say("these cases chose the model among its epochs, so that other cases will score a little less")
    if trained.stopped_by is None:
        screen.say(f"run        {trained.folder}")
        screen.say(f"model      {trained.model}")
        screen.say(f"curves     {trained.folder / 'curves.svg'}")
        if (page := trained.folder / "pictures" / "train" / "predictions" / "index.html").is_file():
            screen.say(f"pictures   {page}")
        screen.say(f"predict    {program()} predict VOLUME.nii.gz --model {typed(trained.folder)}")
    else:
        position = trained.position
        screen.say(f"stopped in epoch {position.epoch + 1} after step {position.step}; everything is saved")
        screen.say(f"go on with {program()} train --resume {typed(trained.folder)}")


def leave(trained: Trained) -> None:
    """End the command, where its training was stopped with the exit code of the signal."""
    if trained.stopped_by is not None:
        raise typer.Exit(128 + trained.stopped_by)
