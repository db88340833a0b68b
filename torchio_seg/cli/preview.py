"""torchio-seg preview."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from torchio_seg.cli.options import OUTPUT, ConfigFile, DatasetName, Root, Set
from torchio_seg.cli.places import place
from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import gather


def preview(  # noqa: PLR0913 (flags are what the command line is made of)
    *,
    dataset: DatasetName = None,
    config: ConfigFile = None,
    root: Root = None,
    set_: Set = None,
    cases: Annotated[
        int, typer.Option(min=1, max=12, metavar="N", help="How many cases to show.", rich_help_panel=OUTPUT)
    ] = 3,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            parser=place,
            help="PNG file to draw the sheet into.",
            rich_help_panel=OUTPUT,
        ),
    ] = Path("preview.png"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a sheet that is there.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Draw cases with their labels, and a patch before and after each step of augmentation, on one sheet.

    torchio-seg preview --dataset decathlon --root Task04_Hippocampus
    """
    from torchio_seg.config.resolve import choose

    experiment = choose(dataset, config, gather({"dataset.root": root}, set_))
    from torchio_seg.workflows.preview import make_preview

    screen = Screen.shared()
    made = make_preview(experiment, output, num_cases=cases, overwrite=overwrite, progress=screen)
    screen.say(f"sheet      {made.path} ({made.size[0]} x {made.size[1]} pixels)")
    screen.say(f"cases      {', '.join(made.cases)}")
    screen.say(f"patch      {' x '.join(map(str, made.patch_size))} voxels of {made.cases[0]}")
    screen.say(f"steps      {', '.join(made.steps) or 'none'}")
