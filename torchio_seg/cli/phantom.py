"""torchio-seg phantom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import parse_size, program, typed

LAYOUTS = (
    "decathlon, task01, brats2018, brats2021, brats2023, btcv, datalist, table, folders, modes, nnunet or rtstruct."
)


def phantom(  # noqa: PLR0913 (flags are what the command line is made of)
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    *,
    layout: Annotated[str, typer.Option(help=LAYOUTS)] = "decathlon",
    kind: Annotated[str | None, typer.Option(help="brain, abdomen or thorax; else what the layout is for.")] = None,
    cases: Annotated[int, typer.Option(min=1, help="How many.")] = 24,
    shape: Annotated[str, typer.Option(metavar="N|N,N,N", help="Voxels of each.")] = "64,64,48",
    channels: Annotated[int, typer.Option(min=1, max=4, help="Sequences of a brain.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other patients.")] = 0,
) -> None:
    """Write a data set of generated scans with labels, in any layout that can be trained on.

    torchio-seg phantom data/brats --layout brats2021 --cases 8
    """
    from torchio_seg.workflows.phantom import write_phantom

    numbers = {"cases": cases, "shape": parse_size(shape, "--shape"), "channels": channels, "seed": seed}
    screen = Screen.shared()
    drawn = write_phantom(out, layout, kind, numbers, progress=screen)
    screen.say(f"{out}: {cases} {drawn.cohort.kind} phantoms, channels {', '.join(drawn.cohort.channel_names)}")
    screen.say(f"train      {program()} train --dataset {drawn.experiment} --root {typed(out)}")
