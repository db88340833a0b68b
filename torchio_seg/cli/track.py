"""torchio-seg track."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import command, gather

app = typer.Typer(help="Send what runs have recorded to W&B.", no_args_is_help=True)


def sync(
    run: Annotated[Path, typer.Argument(help="Folder of a run, for example runs/latest.")],
    *,
    project: Annotated[
        str | None, typer.Option(metavar="NAME", help="Project at W&B, otherwise the one of the run's settings.")
    ] = None,
    entity: Annotated[str | None, typer.Option(metavar="NAME", help="User or team at W&B.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Send it even if all of it was sent before.")] = False,
) -> None:
    """Send the curves, settings, best model and evaluations of a run that was tracked offline or not at all.

    torchio-seg track sync runs/latest
    """
    from torchio_seg.workflows.track_sync import sync as workflow

    screen = Screen.shared()
    changes = gather({"tracker.project": project, "tracker.entity": entity}, None)
    for place in workflow(run.resolve(), changes, again=again, progress=screen):
        screen.say(f"sent to {place}")


app.command("sync")(command(sync))
