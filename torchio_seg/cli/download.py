"""torchio-seg download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import program, typed


def download(
    name: Annotated[str, typer.Argument(help="Data set to fetch: brats, decathlon:Task04, hippocampus ...")],
    *,
    root: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Folder to make, otherwise data/TASK.")] = None,
    keep_archive: Annotated[
        bool, typer.Option("--keep-archive", help="Keep the archive beside the folder, too.")
    ] = False,
) -> None:
    """Fetch a data set that needs no account, check it and unpack it; interrupted, it goes on where it was.

    torchio-seg download hippocampus

    'torchio-seg datasets' lists what there is.
    """
    from torchio_seg.workflows.download import download as fetch

    screen = Screen.shared()
    done = fetch(name, root, keep_archive=keep_archive, progress=screen)
    was = "" if done.is_new else " already, nothing to do"
    screen.say(f"{done.folder}: {len(done.dataset.cases)} cases with labels{was}")
    screen.say(f"\nnext:\n  {program()} train --dataset {done.experiment} --root {typed(done.folder)}")
