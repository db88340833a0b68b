"""torchio-seg store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import command, program
from torchio_seg.machine import in_units

app = typer.Typer(help="Look after the prepared cases that trainings read.", no_args_is_help=True)

Folder = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="FOLDER",
        help="Folder of prepared cases, otherwise TORCHIO_SEG_STORE or one in the user's cache.",
    ),
]
_SHOWN = 10


def list_(*, store: Folder = None) -> None:
    """List the prepared cases: of which data sets, how they are kept, how large, and which are of no use."""
    from torchio_seg.workflows.store import list_store

    screen = Screen.shared()
    folder, groups = list_store(store)
    if not groups:
        screen.say(f"{folder} holds no prepared case")
        return
    for group in groups:  # two lines each: names and how they are kept take a screen's width
        used = "today" if group.days_unused < 1 else f"{group.days_unused:.0f} days ago"
        odd = [f"files gone of {group.num_gone}"] if group.num_gone else []
        odd += [f"{group.num_useless} of no use"] if group.num_useless else []
        screen.say(f"{group.dataset}: {group.kept_as}")
        screen.say(
            "    " + "   ".join([f"{len(group.entries)} cases", in_units(group.num_bytes), f"used {used}", *odd])
        )
    total = sum(group.num_bytes for group in groups)
    screen.say(f"{in_units(total)} in {folder}")
    if any(group.num_useless for group in groups):
        screen.say(f"{program()} store clean takes away what is of no use")


def clean(
    *,
    store: Folder = None,
    gone: Annotated[
        bool,
        typer.Option("--gone", help="Also take away what was made from files that are no longer there."),
    ] = False,
    unused_for: Annotated[
        float | None,
        typer.Option(min=0, metavar="DAYS", help="Also take away what no training has used for so many days."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Take away everything; trainings prepare their cases anew.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be taken away.")] = False,
) -> None:
    """Take away cases whose files have changed, what was never finished, and what you ask for besides."""
    from torchio_seg.workflows.store import clean_store

    screen = Screen.shared()
    folder, taken = clean_store(store, everything=everything, gone=gone, unused_days=unused_for, dry_run=dry_run)
    if not taken:
        screen.say(f"nothing to take away from {folder}")
        return
    for entry in taken[:_SHOWN]:
        name = entry.page.record.case if entry.page else entry.folder.name
        reason = entry.fault or ("its files are gone" if entry.is_gone else "not wanted any more")
        screen.say(f"  {name}: {in_units(entry.num_bytes)}, {reason}")
    if len(taken) > _SHOWN:
        screen.say(f"  and {len(taken) - _SHOWN} more")
    size = in_units(sum(entry.num_bytes for entry in taken))
    screen.say(f"{len(taken)} entries, {size}, {'would be taken' if dry_run else 'taken'} away from {folder}")


app.command("list")(command(list_))
app.command("clean")(command(clean))
