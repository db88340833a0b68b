"""torchio-seg phantom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import parse_size


def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    *,
    kind: Annotated[str, typer.Option(help="brain, abdomen or thorax.")] = "brain",
    cases: Annotated[int, typer.Option(min=1, help="How many.")] = 24,
    shape: Annotated[str, typer.Option(metavar="N|N,N,N", help="Voxels of each.")] = "64,64,48",
    channels: Annotated[int, typer.Option(min=1, max=4, help="Sequences of a brain.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other patients.")] = 0,
) -> None:
    """Write a data set of generated scans with labels, as NIfTI in the Decathlon's layout."""
    from torchio_seg.workflows.phantom import write_phantom

    options = {"kind": kind, "cases": cases, "shape": parse_size(shape, "--shape"), "channels": channels, "seed": seed}
    dataset = write_phantom(out, options)
    Screen.shared().say(f"{out}: {len(dataset.cases)} cases, channels {', '.join(dataset.channels)}")
