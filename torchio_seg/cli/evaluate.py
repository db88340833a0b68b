"""torchio-seg evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import Device, Root, RunsFolder, Trust, Wandb, gather, tracking


def evaluate(  # noqa: PLR0913 (flags are what the command line is made of)
    run: Annotated[Path | None, typer.Argument(help="Run folder; the newest otherwise.", show_default=False)] = None,
    *,
    split: Annotated[
        str | None, typer.Option(help="training, validation or test (the default where there is one).")
    ] = None,
    root: Root = None,
    wandb: Wandb = None,
    device: Device = None,
    runs: RunsFolder = Path("runs"),
    trust: Trust = False,
) -> None:
    """Score a trained model on the labelled cases of its split, case by case."""
    from torchio_seg.workflows.evaluate_run import evaluate_run
    from torchio_seg.workflows.models import load_model
    from torchio_seg.workflows.runs import newest_trained

    flags = {"device": device or "auto", "dataset.root": root, **tracking(wandb)}
    screen = Screen.shared()
    loaded = load_model(run or newest_trained(runs), changes=gather(flags, None), trust=trust)
    screen.say(f"model {loaded.folder}")
    evaluation, stem = evaluate_run(loaded, split, progress=screen)
    screen.table_of_cases(evaluation.scores)
    screen.table_of_scores(f"Dice on the {evaluation.part} cases", evaluation.summaries, evaluation.mean_dice)
    screen.say(f"written to {stem}.csv and {stem.name}.json")
