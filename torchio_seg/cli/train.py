"""torchio-seg train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from torchio_seg.cli.plan import plan_here
from torchio_seg.cli.repeats import show_repeats
from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import (
    BEGUN,
    BatchSize,
    ConfigFile,
    DatasetName,
    Device,
    Fold,
    PatchSize,
    Root,
    RunsFolder,
    Set,
    gather,
    one_length,
    parse_fold,
    parse_size,
    program,
    typed,
)

if TYPE_CHECKING:
    from torchio_seg.workflows.train import Trained

SETTINGS = "Settings"


def train(  # noqa: PLR0913 (flags are what the command line is made of)
    *,
    dataset: DatasetName = None,
    config: ConfigFile = None,
    root: Root = None,
    network: Annotated[
        str | None, typer.Option(help="unet, segresnet, ... or your own as module.name.", rich_help_panel=SETTINGS)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Visits to every training case.", rich_help_panel=SETTINGS)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Changes of the weights, instead of epochs.", rich_help_panel=SETTINGS)
    ] = None,
    max_time: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="For everything, as 30m or 1h30m, instead.", rich_help_panel=SETTINGS),
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(help="Begin with the weights of a run or file (docs/fine-tuning.md).", rich_help_panel=SETTINGS),
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Open --init-from even if it is TorchScript.", rich_help_panel=SETTINGS)
    ] = False,
    batch_size: BatchSize = None,
    patch_size: PatchSize = None,
    fold: Fold = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of weights, patches, augmentation.", rich_help_panel=SETTINGS)
    ] = None,
    device: Device = None,
    auto: Annotated[
        bool,
        typer.Option("--auto", help="Where memory is short, go on with smaller batches.", rich_help_panel=SETTINGS),
    ] = False,
    set_: Set = None,
    runs: RunsFolder = Path("runs"),
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of this run (else named).", rich_help_panel="Output")
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(min=1, help="Train with this many seeds, and compare.", rich_help_panel="Experiment"),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with this run, for instance runs/latest.", rich_help_panel="Experiment")
    ] = None,
) -> None:
    """Train a network on a data set, and evaluate it on the cases kept apart.

    torchio-seg train --dataset phantom

    torchio-seg train --dataset decathlon --root Task04_Hippocampus --epochs 50

    A layout without an experiment of its own is planned first, as by 'torchio-seg plan'.

    torchrun --nproc-per-node 4 -m torchio_seg train --dataset decathlon ... trains on four GPUs.
    """
    from torchio_seg.config.resolve import choose, is_layout
    from torchio_seg.distributed import joined
    from torchio_seg.errors import UsageError
    from torchio_seg.workflows import train as workflow
    from torchio_seg.workflows.ranks import require_one_process
    from torchio_seg.workflows.series import settle

    screen = Screen.shared()
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
    }
    with joined() as peers:
        if not peers.is_main:
            screen.say_only_failures()
        changes = one_length(gather(flags, set_))
        situation = workflow.Situation(BEGUN, may_shrink=auto, trust=trust, peers=peers)
        given = {"--dataset": dataset, "--config": config, "--resume": resume}
        if len(named := [name for name, value in given.items() if value is not None]) > 1:
            raise UsageError(f"{' and '.join(named)} each name what to train; give one of them")
        if repeats is not None and resume is not None:
            raise UsageError("--repeats goes on by itself where its folder is named again with -o; leave --resume out")
        if repeats is not None:
            require_one_process(peers, "--repeats", "train each seed by a torchrun of its own, with --seed")
            experiment = settle(dataset, config, changes, folder=output, kind="repeats")
            show_repeats(experiment, repeats, runs, output)
            return
        if resume is not None and output is not None:
            raise UsageError("--output names a new run's folder, --resume goes on in the old one; give one of them")
        if resume is not None:
            trained = workflow.resume(resume.resolve(), changes, progress=screen, situation=situation)
        elif config is None and is_layout(dataset):
            experiment, papers = peers.from_main(lambda: plan_here(dataset, changes))
            situation = replace(situation, papers=papers)
            trained = workflow.start(experiment, runs, folder=output, progress=screen, situation=situation)
        else:
            experiment = choose(dataset, config, changes)
            trained = workflow.start(experiment, runs, folder=output, progress=screen, situation=situation)
        report(trained)
    leave(trained)


def report(trained: Trained) -> None:
    """Show what a training gave."""
    screen = Screen.shared()
    if trained.evaluation is not None:
        evaluation = trained.evaluation
        screen.table_of_scores(f"Dice on the {evaluation.part} cases", evaluation.summaries, evaluation.mean_dice)
    if trained.stopped_by is None:
        screen.say(f"run        {trained.folder}")
        screen.say(f"model      {trained.model}")
        screen.say(f"curves     {trained.folder / 'curves.svg'}")
        screen.say(f"predict    {program()} predict VOLUME.nii.gz --model {typed(trained.folder)}")
    else:
        position = trained.position
        screen.say(f"stopped in epoch {position.epoch + 1} after step {position.step}; everything is saved")
        screen.say(f"go on with {program()} train --resume {typed(trained.folder)}")


def leave(trained: Trained) -> None:
    """End the command, where its training was stopped with the exit code of the signal."""
    if trained.stopped_by is not None:
        raise typer.Exit(128 + trained.stopped_by)
