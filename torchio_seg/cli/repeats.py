"""torchio-seg train --repeats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from torchio_seg.cli.screen import Screen, number
from torchio_seg.cli.shared import program, typed

if TYPE_CHECKING:
    from torchio_seg.workflows.series import Planned, Stopped


def show_repeats(planned: Planned, repeats: int, runs: Path, output: Path | None) -> None:
    """Train the repeats that are not done, and show how far all of them lie apart."""
    from torchio_seg.workflows.repeats import repeat
    from torchio_seg.workflows.series import Stopped

    screen = Screen.shared()
    experiment, papers = planned
    result = repeat(experiment, repeats, runs, folder=output, papers=papers, progress=screen)
    if isinstance(result, Stopped):
        leave(result, f"train --repeats {repeats}")
    if result.part is None:
        screen.say("no case was kept to be scored, so there is nothing to compare")
    else:
        screen.say(f"Dice on the {result.part} cases, their mean and the standard deviation between repeats")
        rows = [(row.region, *map(number, (*row.dice, row.mean, row.deviation))) for row in result.rows]
        screen.table(("region", *result.runs, "mean", "deviation"), rows)
        screen.say(f"written to {result.folder / 'evaluation' / 'repeats.csv'} and repeats.json")
    screen.say(f"runs {result.folder}")


def leave(stopped: Stopped, command: str) -> NoReturn:
    """Say where a series was stopped and how it goes on, and end with the signal's exit code."""
    screen = Screen.shared()
    screen.say(f"stopped in {stopped.run} after step {stopped.step}; everything is saved")
    screen.say(f"go on with {program()} {command} -o {typed(stopped.folder)}")
    raise typer.Exit(128 + stopped.signal)
