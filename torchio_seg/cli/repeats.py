"""torchio-seg train --repeats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from torchio_seg.cli.screen import Screen, number
from torchio_seg.cli.shared import program, typed

if TYPE_CHECKING:
    from torchio_seg.config.sections import Experiment
    from torchio_seg.workflows.series import Stopped
    from torchio_seg.workflows.train import Situation


def show_repeats(
    experiment: Experiment, repeats: int, runs: Path, output: Path | None, *, situation: Situation
) -> None:
    """Train the repeats that are not done, and show how far all of them lie apart."""
    from torchio_seg.workflows.repeats import repeat
    from torchio_seg.workflows.series import Stopped

    screen = Screen.shared()
    result = repeat(experiment, repeats, runs, folder=output, progress=screen, situation=situation)
    if isinstance(result, Stopped):
        leave(result, f"train --repeats {repeats}", situation)
    if result.part is None:
        screen.say("no case was kept to be scored, so there is nothing to compare")
    else:
        screen.say(f"Dice on the {result.part} cases, their mean and the standard deviation between repeats")
        rows = [(row.region, *map(number, (*row.dice, row.mean, row.deviation))) for row in result.rows]
        screen.table(("region", *result.runs, "mean", "deviation"), rows)
        screen.say(f"written to {result.folder / 'evaluation' / 'repeats.csv'} and repeats.json")
    screen.say(f"runs {result.folder}")


def leave(stopped: Stopped, command: str, situation: Situation) -> NoReturn:
    """Say where a series was stopped and how it goes on, and end with the signal's exit code."""
    screen = Screen.shared()
    screen.say(f"stopped in {stopped.run} after step {stopped.step}; everything is saved")
    again = {" --auto": situation.may_shrink, " --trust": situation.trust}
    flags = "".join(flag for flag, is_given in again.items() if is_given)
    screen.say(f"go on with {program()} {command}{flags} -o {typed(stopped.folder)}")
    raise typer.Exit(128 + stopped.signal)
