"""The options of torchio-seg train, crossval and plan that others do not have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from torchio_seg.cli.options import EXPERIMENT, OUTPUT, SETTINGS
from torchio_seg.cli.places import place

BUDGETS = "Budgets"

TrainingTime = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="How long the whole command may take, as 30m or 1h30m, in place of epochs.",
        rich_help_panel=SETTINGS,
    ),
]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FOLDER",
        help="Folder of this run, otherwise a new one below --runs.",
        rich_help_panel=OUTPUT,
    ),
]
Repeats = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Train with N different seeds and compare them.", rich_help_panel=EXPERIMENT),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN", help="Go on with a run that was stopped, or train it longer.", rich_help_panel=EXPERIMENT
    ),
]
FoldTime = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="How long each fold may take, as 30m or 1h30m, in place of epochs.",
        rich_help_panel=SETTINGS,
    ),
]
Folds = Annotated[
    str | None,
    typer.Option(
        metavar="K,K,...",
        help="Train only these folds now, counted from 0; otherwise all.",
        rich_help_panel=EXPERIMENT,
    ),
]
SeriesFolder = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FOLDER",
        help="Folder of it all, otherwise a new one below --runs; what was begun in it goes on.",
        rich_help_panel=OUTPUT,
    ),
]
PlannedTime = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="How long the whole training may take, as 15m or 2h30m.", rich_help_panel=BUDGETS
    ),
]
RamBudget = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="How much memory it may use; otherwise 8GiB, or what is free if that is less.",
        rich_help_panel=BUDGETS,
    ),
]
VramBudget = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="How much memory of the GPU it may use; otherwise 8GiB, or what is free if that is less.",
        rich_help_panel=BUDGETS,
    ),
]
PlanFile = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        parser=place,
        help="YAML file to write the plan to.",
        rich_help_panel=OUTPUT,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a plan that is there.", rich_help_panel=OUTPUT)]
