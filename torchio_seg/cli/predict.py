"""torchio-seg predict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import BatchSize, Device, PatchSize, RunsFolder, Trust, gather, parse_size

if TYPE_CHECKING:
    from torchio_seg.workflows.predict import Written

SETTINGS = "Settings"


def predict(  # noqa: PLR0913 (flags are what the command line is made of)
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="VOLUME...", help="Files, folders, patterns, or CHANNEL=FILE for each channel."),
    ],
    *,
    model: Annotated[
        Path | None, typer.Option(help="Run, model or ensemble folder, or exported file; else the newest run.")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder, or file for one volume.", rich_help_panel="Output")
    ] = Path(),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.", rich_help_panel="Output")
    ] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write a 4-D file of them too.", rich_help_panel="Output")
    ] = False,
    regions: Annotated[
        bool, typer.Option("--regions", help="Write one mask for each region too.", rich_help_panel="Output")
    ] = False,
    patch_size: PatchSize = None,
    overlap: Annotated[
        float | None, typer.Option(help="Share of a patch, 0 to below 1.", rich_help_panel=SETTINGS)
    ] = None,
    blending: Annotated[
        str | None, typer.Option(help="crop, average, hann or gaussian.", rich_help_panel=SETTINGS)
    ] = None,
    batch_size: BatchSize = None,
    precision: Annotated[str | None, typer.Option(help="fp32, bf16 or fp16.", rich_help_panel=SETTINGS)] = None,
    nonfinite: Annotated[
        str | None, typer.Option(help="NaN and infinite voxels: refuse, or zero.", rich_help_panel=SETTINGS)
    ] = None,
    device: Device = None,
    runs: RunsFolder = Path("runs"),
    trust: Trust = False,
) -> None:
    """Segment volumes, in their own space.

    torchio-seg predict scan.nii.gz

    torchio-seg predict FLAIR=a.nii.gz T1w=b.nii.gz T1gd=c.nii.gz T2w=d.nii.gz -o patient7.nii.gz
    """
    from torchio_seg.workflows.models import load_model
    from torchio_seg.workflows.predict import Output
    from torchio_seg.workflows.predict import predict as workflow
    from torchio_seg.workflows.runs import newest_trained

    flags = {
        "prediction.patch_size": parse_size(patch_size, "--patch-size"),
        "prediction.overlap": overlap,
        "prediction.blending": blending,
        "prediction.batch_size": batch_size,
        "training.precision": precision,
        "preprocessing.nonfinite": nonfinite,
        "device": device or "auto",
    }
    screen = Screen.shared()
    loaded = load_model(model or newest_trained(runs), changes=gather(flags, None), trust=trust)
    screen.say(f"model {loaded.folder}: {loaded.card.dataset}, channels {', '.join(loaded.card.channels)}")
    for note in loaded.notes:
        screen.say(note)
    what = Output(output, overwrite=overwrite, probabilities=probabilities, regions=regions)
    written, failures = workflow(loaded, inputs, what, implicit=model is None, progress=screen)
    _report(written, failures)


def _report(written: list[Written], failures: list[str]) -> None:
    """Show what was written and what could not be."""
    screen = Screen.shared()
    for item in written:
        found = ", ".join(f"{name} {voxels}" for name, voxels in item.voxels.items())
        screen.say(f"{item.files[0]}: voxels of {found}")
        for file in item.files[1:]:
            screen.say(f"{file}")
    if failures:
        screen.say(f"{len(failures)} of {len(failures) + len(written)} could not be predicted:")
        for failure in failures:
            screen.say(f"  {failure}")
        raise typer.Exit(1)
