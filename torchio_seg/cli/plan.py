"""torchio-seg plan."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import (
    ConfigFile,
    DatasetName,
    Device,
    Fold,
    Root,
    Set,
    gather,
    parse_bytes,
    parse_fold,
    program,
    typed,
)

if TYPE_CHECKING:
    from torchio_seg.config.sections import Experiment
    from torchio_seg.workflows.plan import Planned

BUDGETS = "Budgets"


def plan(  # noqa: PLR0913 (flags are what the command line is made of)
    *,
    dataset: DatasetName = None,
    config: ConfigFile = None,
    root: Root = None,
    fold: Fold = None,
    device: Device = None,
    ram_budget: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="For training; else 8GiB, or what is free.", rich_help_panel=BUDGETS),
    ] = None,
    vram_budget: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Of the GPU; else 8GiB, or what is free.", rich_help_panel=BUDGETS),
    ] = None,
    max_time: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="For the whole training, as 15m or 2h30m.", rich_help_panel=BUDGETS),
    ] = None,
    set_: Set = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The plan, a YAML file.", rich_help_panel="Output")
    ] = Path("plan.yaml"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the plan.", rich_help_panel="Output")] = False,
) -> None:
    """Choose how to train a network on a data set: what follows from the data, and what fits, as measured here.

    torchio-seg plan --dataset folders --root MY_SCANS --max-time 2h -o plan.yaml

    The plan is a complete experiment to read, edit, and train with --config. Training measures nothing again.
    """
    from torchio_seg.workflows.plan import Wishes, make, require_free, write_plan

    flags = {
        "dataset.root": root,
        "split.fold": parse_fold(fold),
        "device": device,
        "training.max_time": max_time,
    }
    wishes = Wishes(
        dataset,
        config,
        gather(flags, set_),
        ram_budget=parse_bytes(ram_budget, "--ram-budget"),
        vram_budget=parse_bytes(vram_budget, "--vram-budget"),
    )
    require_free(output, overwrite=overwrite)
    screen = Screen.shared()
    planned = make(wishes, progress=screen)
    beside = write_plan(planned, output, _command())
    _show(planned)
    screen.say(f"\nplan         {output}\nmade from    {beside}")
    screen.say(f"train it     {program()} train --config {typed(output)}")


def plan_here(dataset: str, changes: Mapping[str, Any]) -> tuple[Experiment, dict[str, str]]:
    """The experiment that a training of a layout follows, shown, and what its run keeps of how it came about."""
    from torchio_seg.workflows.plan import PLAN, Wishes, make, papers_of

    screen = Screen.shared()
    screen.say(f"no experiment is called {dataset}, so one is planned; the run keeps it as {PLAN}")
    planned = make(Wishes(dataset, changes=changes), progress=screen)
    _show(planned)
    return planned.experiment, papers_of(planned, _command())


def _show(planned: Planned) -> None:
    screen = Screen.shared()
    for title, lines in (("chosen", planned.chosen), ("will need", planned.needs)):
        screen.say(f"\n{title}" if title != "chosen" else f"{planned.title}\n\n{title}")
        for line in lines:
            screen.say(f"  {line}")


def _command() -> str:
    """What the user typed."""
    return f"torchio-seg {shlex.join(sys.argv[1:])}"
