"""torchio-seg phantom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import program, typed
from torchio_seg.config.typed import parse_size

LAYOUTS = (
    "decathlon, task01, brats2018, brats2021, brats2023, btcv, datalist, table, folders, modes, nnunet or rtstruct."
)


def phantom(  # noqa: PLR0913 (flags are what the command line is made of)
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to make.")],
    *,
    layout: Annotated[str, typer.Option(metavar="NAME", help=f"How the files are laid out: {LAYOUTS}")] = "decathlon",
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND", help="What to generate: brain, abdomen or thorax; otherwise what the layout is for."
        ),
    ] = None,
    cases: Annotated[int, typer.Option(min=1, metavar="N", help="Number of cases.")] = 24,
    shape: Annotated[str, typer.Option(metavar="N|N,N,N", help="Size of each scan in voxels.")] = "64,64,48",
    channels: Annotated[
        int | None, typer.Option(min=1, max=4, metavar="N", help="Number of MR sequences of a brain; otherwise 4.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed; another one gives other patients.")] = 0,
) -> None:
    """Generate a data set of scans with labels, in any layout that can be trained on.

    torchio-seg phantom data/brats --layout brats2021 --cases 8
    """
    from torchio_seg.workflows.phantom import write_phantom

    numbers = {"cases": cases, "shape": parse_size(shape, "--shape"), "channels": channels, "seed": seed}
    screen = Screen.shared()
    drawn = write_phantom(out, layout, kind, numbers, progress=screen)
    screen.say(f"{out}: {cases} {drawn.cohort.kind} phantoms, channels {', '.join(drawn.cohort.channel_names)}")
    fewer = " --set split.validation=1 --set split.test=1" if drawn.is_few else ""
    screen.say(f"train      {program()} train --dataset {drawn.experiment} --root {typed(out)}{fewer}")
