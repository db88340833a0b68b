"""The options of torchio-seg evaluate alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from torchio_seg.cli.options import OUTPUT
from torchio_seg.cli.places import place

MEASURES, FOLDERS = "What is measured", "Two folders of label maps"

Run = Annotated[
    Path | None,
    typer.Argument(
        metavar="RUN|FOLDER",
        help="Folder of a run, otherwise the newest; with --truth, the folder of the predicted label maps.",
        show_default=False,
    ),
]
SplitPart = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="PART",
        help="Cases to score: training, validation or test; otherwise test where there are such cases.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace scores that are there.")]
Metrics = Annotated[
    str,
    typer.Option(metavar="NAME,...|all", help="Metrics to compute (docs/metrics.md).", rich_help_panel=MEASURES),
]
Tolerance = Annotated[
    float,
    typer.Option(metavar="MM", help="Distance that surface Dice takes for none, in mm.", rich_help_panel=MEASURES),
]
Empty = Annotated[
    str,
    typer.Option(
        metavar="nan|one|zero",
        help="Count a region that is neither there nor found not at all, as right, or as wrong.",
        rich_help_panel=MEASURES,
    ),
]
Truth = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Folder of the true label maps, named as the predicted ones.", rich_help_panel=FOLDERS
    ),
]
Region = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=V,V",
        help="Region to score, made of these values; otherwise each value is one. Repeat it for several.",
        rich_help_panel=FOLDERS,
    ),
]
Ignore = Annotated[
    int | None,
    typer.Option(metavar="V", help="Leave out voxels that have this value in the truth.", rich_help_panel=FOLDERS),
]
OnlyPairs = Annotated[
    bool, typer.Option("--only-pairs", help="Leave out label maps that have no partner.", rich_help_panel=FOLDERS)
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Number of processes; otherwise one for every eight cases, 8 at most.",
        rich_help_panel=FOLDERS,
    ),
]
Place = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FOLDER",
        parser=place,
        help="Folder for the scores of --truth, otherwise that of the predictions, or of --weights.",
        rich_help_panel=OUTPUT,
    ),
]
