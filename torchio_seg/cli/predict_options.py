"""The options of torchio-seg predict alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from torchio_seg.cli.options import OUTPUT, SETTINGS
from torchio_seg.cli.places import place

MODEL, MEMORY = "Which model", "Memory"

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="VOLUME...",
        help="Files, folders or patterns; of several channels also CHANNEL=FILE for each.",
        show_default=False,
    ),
]
ModelPlaces = Annotated[
    list[Path] | None,
    typer.Option(
        "--model",
        metavar="RUN|FILE",
        help="Folder of a run, a model or an ensemble, or an exported file; otherwise the newest run. Given several "
        "times: the mean of all.",
    ),
]
Place = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        metavar="FOLDER|FILE",
        parser=place,
        help="Folder to write to; for one volume also a file.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Series = Annotated[
    str | None,
    typer.Option(
        metavar="WHICH",
        help="Which DICOM series to use where there are several: its number, UID, description or *part of it*.",
    ),
]
To = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND,...",
        help="Write nifti, and for DICOM series dicom-seg or rtstruct; otherwise the format of the input.",
        rich_help_panel=OUTPUT,
    ),
]
Probabilities = Annotated[
    bool,
    typer.Option("--probabilities", help="Write the probabilities too, as a 4-D file.", rich_help_panel=OUTPUT),
]
Uncertainty = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="Write how unsure each voxel is: entropy, or with --tta disagreement.",
        rich_help_panel=OUTPUT,
    ),
]
Regions = Annotated[bool, typer.Option("--regions", help="Write a mask of each region too.", rich_help_panel=OUTPUT)]
Codes = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="YAML file of the terms that DICOM is to use (docs/dicom.md).", rich_help_panel=OUTPUT
    ),
]
Summary = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE|-",
        help="Write a summary as JSON: what was found and what it took; - prints it.",
        rich_help_panel=OUTPUT,
    ),
]
Mirror = Annotated[
    bool,
    typer.Option(
        "--tta",
        help="Average over mirror images, along the axes that training flipped; slower.",
        rich_help_panel=SETTINGS,
    ),
]
SkipEmpty = Annotated[
    bool,
    typer.Option(
        "--skip-empty",
        help="Compute patches that are the same everywhere, as air is, only once; the labels stay the same.",
        rich_help_panel=SETTINGS,
    ),
]
Largest = Annotated[
    list[str] | None,
    typer.Option(
        "--keep-largest",
        metavar="REGION|all",
        help="Keep only the largest piece of a region. Repeat it for several.",
        rich_help_panel=SETTINGS,
    ),
]
Blending = Annotated[
    str | None,
    typer.Option(
        metavar="HOW",
        help="How overlapping patches are joined: crop, average, hann or gaussian.",
        rich_help_panel=SETTINGS,
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(metavar="TYPE", help="Numbers to compute with: fp32, bf16 or fp16.", rich_help_panel=SETTINGS),
]
Nonfinite = Annotated[
    str | None,
    typer.Option(
        metavar="refuse|zero",
        help="What to do about NaN and infinite voxels: refuse the volume, or read them as 0.",
        rich_help_panel=SETTINGS,
    ),
]
RamBudget = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="Memory to use at most, as 4GiB; otherwise what is free.", rich_help_panel=MEMORY
    ),
]
VramBudget = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="Memory of the GPU to use at most; otherwise what is free.", rich_help_panel=MEMORY
    ),
]
