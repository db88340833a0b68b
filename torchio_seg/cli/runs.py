"""torchio-seg runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from torchio_seg.cli.screen import Screen, number
from torchio_seg.cli.shared import RunsFolder, command

app = typer.Typer(help="List what was trained, or compare two runs.")

_UNITS = (("days", 86400), ("hours", 3600), ("minutes", 60))


def list_(context: typer.Context, *, runs: RunsFolder = Path("runs")) -> None:
    """List all runs, the newest first, with data, network, epochs, Dice and age; or compare two."""
    from torchio_seg.workflows.listing import list_runs

    if context.invoked_subcommand is not None:
        return
    rows = [
        (
            str(run.folder.relative_to(runs)),
            run.dataset,
            run.network,
            f"{run.epochs:g}",
            number(run.best_dice),
            number(run.final_dice),
            _ago(run.age_s),
        )
        for run in list_runs(runs)
    ]
    Screen.shared().table(("run", "data", "network", "epochs", "best Dice", "at the end", "age"), rows)


def compare(
    one: Annotated[Path, typer.Argument(help="A run's folder.")],
    other: Annotated[Path, typer.Argument(help="Another's.")],
) -> None:
    """Show which settings of two runs differ, and their Dice.

    torchio-seg runs compare runs/phantom/20261127-065755-amber-robin runs/latest
    """
    from torchio_seg.workflows.listing import compare as workflow

    screen = Screen.shared()
    found = workflow(one, other)
    names = (one.resolve().name, other.resolve().name)
    if found.settings:
        screen.table(("setting", *names), found.settings)
    else:
        screen.say("no setting differs")
    screen.table(("Dice", *names), [(name, number(first), number(second)) for name, first, second in found.scores])


def _ago(seconds: float) -> str:
    for unit, length in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


app.callback(invoke_without_command=True)(command(list_))
app.command("compare")(command(compare))
