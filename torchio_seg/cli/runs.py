"""torchio-seg runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from torchio_seg.cli.options import RunsFolder
from torchio_seg.cli.screen import Screen, number
from torchio_seg.cli.shared import command, typed

if TYPE_CHECKING:
    from torchio_seg.workflows.overview import Comparison, Overview

app = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]})
LETTERS = ("A", "B")
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


@app.callback(invoke_without_command=True)
@command
def runs(context: typer.Context, *, runs: RunsFolder = Path("runs")) -> None:
    """List the trainings, how far each is and how well it does, or compare two of them."""
    from torchio_seg.workflows.overview import survey_runs

    if context.invoked_subcommand is not None:
        return

    screen = Screen.shared()
    found, unreadable = survey_runs(runs)
    rows = [_row(run) for run in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for run, row in zip(found, rows, strict=True):
        screen.say(typed(run.folder))
        screen.say("    " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if not found:
        screen.say(f"no training below {runs}")
    for line in unreadable:
        screen.say(line)


@app.command()
@command
def compare(
    one: Annotated[Path, typer.Argument(metavar="A", help="Folder of one run.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="Folder of the other.")],
) -> None:
    """Show what differs between two trainings, in their settings and in their scores.

    torchio-seg runs compare runs/phantom/20261127-065755-amber-robin runs/latest
    """
    from torchio_seg.workflows.overview import compare as workflow

    screen = Screen.shared()
    result = workflow(one, other)
    for letter, run in zip(LETTERS, result.runs, strict=True):
        screen.say(f"{letter}  {typed(run.folder)}")
    if result.settings:
        screen.table(("setting", *LETTERS), [(key, *_settings(result, key)) for key in result.settings])
    else:
        screen.say("the same settings")
    screen.say("on the validation cases, at the best checkpoint of each")
    if result.same_cases is False:
        screen.say("these are other cases for A than for B, so that the scores do not compare the models")
    rows = [(f"Dice, {region}", *map(number, pair)) for region, pair in result.dice.items()]
    rows += [(name, *map(number, pair)) for name, pair in result.measured.items()]
    screen.table(("score", *LETTERS), rows)
    parts = sorted({part for run in result.runs for part in run.evaluations})
    rows = [("trained", *map(_progress, result.runs)), ("state", *(run.state for run in result.runs))]
    rows += [(f"Dice, {part} cases", *(number(run.evaluations.get(part)) for run in result.runs)) for part in parts]
    screen.table(("at the end", *LETTERS), rows)


def _row(run: Overview) -> tuple[str, ...]:
    """Best Dice is that of the validation cases, the mean over the regions."""
    test = run.evaluations.get("test")
    return (
        f"{run.settings.get('dataset.name')}, {run.settings.get('network.name')}",
        _progress(run),
        run.state,
        f"best Dice {number(run.best_dice)}",
        "" if test is None else f"test {number(test)}",
        _ago(time.time() - run.changed),
    )


def _progress(run: Overview) -> str:
    if run.planned is None:
        return f"{run.position['step']} steps"
    what, total = run.planned
    return f"{run.position[what.removesuffix('s')]} of {total} {what}"


def _ago(seconds: float) -> str:
    for name, length in _UNITS:
        if (count := int(seconds // length)) >= 1:
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"


def _settings(comparison: Comparison, key: str) -> list[str]:
    """A setting in both runs, one of which may not have it."""
    return [_told(run.settings[key]) if key in run.settings else "-" for run in comparison.runs]


def _told(value: object) -> str:
    """As in YAML; a list of parts with options line by line."""
    if isinstance(value, list) and value and all(isinstance(each, dict) and "name" in each for each in value):
        return "\n".join(map(_part, value))
    return "null" if value is None else str(value)


def _part(part: dict[str, object]) -> str:
    options = ", ".join(f"{name} {value}" for name, value in part.items() if name != "name")
    return f"{part['name']}: {options}" if options else str(part["name"])
