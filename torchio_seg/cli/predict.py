"""torchio-seg predict."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import (
    BatchSize,
    ConfigFile,
    DatasetName,
    Device,
    Overlap,
    PatchSize,
    Root,
    RunsFolder,
    Trust,
    Wandb,
    WeightsFile,
    gather,
    parse_bytes,
    parse_overlap,
    parse_size,
    require_experiment,
    tracking,
)

if TYPE_CHECKING:
    from torchio_seg.distributed import Peers
    from torchio_seg.workflows.models import LoadedModel
    from torchio_seg.workflows.predictions import Predictions

SETTINGS = "Settings"
BUDGETS = "Budgets"
PRINTED = "-"
"""In place of the summary's file."""
AGAIN = "Volumes that were written are whole; the same command goes on with the others"


@dataclass(frozen=True)
class Given:
    """What the user says of the model."""

    model: Path | None
    weights: Path | None
    dataset: str | None
    config: Path | None
    runs: Path
    trust: bool
    mirror: bool

    @property
    def is_newest(self) -> bool:
        """Whether nothing is said, so that it is the newest run."""
        return self.model is None and self.weights is None


def predict(  # noqa: PLR0913 (flags are what the command line is made of)
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="VOLUME...", help="Files, folders, patterns, or CHANNEL=FILE for each channel."),
    ],
    *,
    series: Annotated[
        str | None,
        typer.Option(metavar="WHICH", help="Of DICOM with several series: number, UID or description."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Run, model or ensemble folder, or exported file; else the newest run.")
    ] = None,
    weights: WeightsFile = None,
    dataset: DatasetName = None,
    config: ConfigFile = None,
    root: Root = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder, or file for one volume.", rich_help_panel="Output")
    ] = Path(),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.", rich_help_panel="Output")
    ] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write a 4-D file of them too.", rich_help_panel="Output")
    ] = False,
    uncertainty: Annotated[
        str | None,
        typer.Option(
            "--uncertainty",
            metavar="KIND",
            help="Write how unsure each voxel is: entropy, or with --tta disagreement.",
            rich_help_panel="Output",
        ),
    ] = None,
    regions: Annotated[
        bool, typer.Option("--regions", help="Write one mask for each region too.", rich_help_panel="Output")
    ] = False,
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND[,KIND]",
            help="nifti, and of DICOM series dicom-seg or rtstruct; else in the format of the input.",
            rich_help_panel="Output",
        ),
    ] = None,
    codes: Annotated[
        Path | None, typer.Option(help="YAML file of terms for classes in DICOM.", rich_help_panel="Output")
    ] = None,
    json_: Annotated[
        str | None,
        typer.Option(
            "--json",
            metavar="FILE|-",
            help="Write what was found, and what it took, as JSON; - prints it.",
            rich_help_panel="Output",
        ),
    ] = None,
    patch_size: PatchSize = None,
    overlap: Overlap = None,
    blending: Annotated[
        str | None, typer.Option(help="crop, average, hann or gaussian.", rich_help_panel=SETTINGS)
    ] = None,
    tta: Annotated[
        bool,
        typer.Option(
            "--tta",
            help="Average over mirror images, along the axes that training flipped; slower.",
            rich_help_panel=SETTINGS,
        ),
    ] = False,
    empty: Annotated[
        bool,
        typer.Option(
            "--skip-empty",
            help="Ask only once about patches that are the same everywhere, as air; the labels stay.",
            rich_help_panel=SETTINGS,
        ),
    ] = False,
    largest: Annotated[
        list[str] | None,
        typer.Option(
            "--keep-largest",
            metavar="REGION|all",
            help="Keep only a region's largest piece; may be repeated.",
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    batch_size: BatchSize = None,
    precision: Annotated[str | None, typer.Option(help="fp32, bf16 or fp16.", rich_help_panel=SETTINGS)] = None,
    nonfinite: Annotated[
        str | None, typer.Option(help="NaN and infinite voxels: refuse, or zero.", rich_help_panel=SETTINGS)
    ] = None,
    wandb: Wandb = None,
    device: Device = None,
    ram_budget: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Of memory, as 4GiB; else what is free.", rich_help_panel=BUDGETS),
    ] = None,
    vram_budget: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Of the GPU's memory; else what is free.", rich_help_panel=BUDGETS),
    ] = None,
    runs: RunsFolder = Path("runs"),
    trust: Trust = False,
) -> None:
    """Segment volumes, in their own space.

    torchio-seg predict scan.nii.gz

    torchio-seg predict scans/ -o masks/ --json masks/summary.json goes on where it was stopped.

    torchio-seg predict study.zip --series 4 -o liver.mha

    torchio-seg predict series/ --to dicom-seg,rtstruct -o results/

    torchio-seg predict scan.nii.gz --config btcv.yaml --weights UNETR.pth, where others trained the network.

    torchio-seg predict FLAIR=a.nii.gz T1w=b.nii.gz T1gd=c.nii.gz T2w=d.nii.gz -o patient7.nii.gz

    torchrun --nproc-per-node 4 -m torchio_seg predict scans/ ... divides them among four GPUs.
    """
    from torchio_seg.distributed import joined
    from torchio_seg.workflows.budgets import Budgets
    from torchio_seg.workflows.dicom_outputs import parse_kinds, read_codes
    from torchio_seg.workflows.models import keep_largest, skip_empty, with_uncertainty
    from torchio_seg.workflows.predict import predict as workflow
    from torchio_seg.workflows.predict_case import Output
    from torchio_seg.workflows.predict_tracked import track_predictions

    given = Given(model, weights, dataset, config, runs, trust, tta)
    _require_one_model(given, root)
    kinds = parse_kinds(to or ())
    flags = {
        "prediction.patch_size": parse_size(patch_size, "--patch-size"),
        "prediction.overlap": parse_overlap(overlap),
        "dataset.root": root,
        "prediction.blending": blending,
        "prediction.batch_size": batch_size,
        "training.precision": precision,
        "preprocessing.nonfinite": nonfinite,
        "device": device or "auto",
        "codes": read_codes(codes, kinds) if codes else None,
        **tracking(wandb),
    }
    budgets = Budgets(parse_bytes(ram_budget, "--ram-budget"), parse_bytes(vram_budget, "--vram-budget"))
    what = Output(
        output,
        overwrite=overwrite,
        probabilities=probabilities,
        regions=regions,
        to=kinds,
        uncertainty=() if uncertainty is None else (uncertainty,),
    )
    with joined("prediction", AGAIN) as peers:
        screen = Screen.shared()
        if not peers.is_main:
            screen.say_only_failures()
        is_stdout_taken = peers.is_main and json_ == PRINTED
        with screen.results_beside_messages() if is_stdout_taken else nullcontext():
            peers.from_main(lambda: _require_summary(json_))
            loaded = keep_largest(_open(given, gather(flags, None), peers), largest or [])
            loaded = with_uncertainty(loaded, uncertainty) if uncertainty is not None else loaded
            loaded = replace(skip_empty(loaded) if empty else loaded, budgets=budgets)
            screen.say(f"model {loaded.folder}: {loaded.card.dataset}, channels {', '.join(loaded.card.channels)}")
            for note in loaded.notes:
                screen.say(note)
            if json_ is not None:
                what = replace(what, on_stop=lambda done: _summarize(done.to_json(loaded), json_))
            predictions = workflow(
                loaded, inputs, what, series=series, implicit=given.is_newest, progress=screen, peers=peers
            )
            if json_ is not None and peers.is_main:
                _summarize(predictions.to_json(loaded), json_)
            _report(predictions)
            if wandb is not None and peers.is_main:
                track_predictions(loaded, predictions, output, progress=screen)
    if predictions.failed:
        raise typer.Exit(1)


def _require_one_model(given: Given, root: Path | None) -> None:
    from torchio_seg.errors import UsageError

    require_experiment(given.weights, given.dataset, given.config)
    if given.weights is not None and given.model is not None:
        raise UsageError(f"--model {given.model} and --weights {given.weights} each name a model; give one of them")
    if root is not None and given.weights is None:
        raise UsageError(f"--root {root}: a model of ours needs no data to predict; the folder is for --weights alone")


def _open(given: Given, changes: dict[str, Any], peers: Peers) -> LoadedModel:
    """The model that was named, or the newest run."""
    if given.weights is not None:
        from torchio_seg.config.resolve import choose
        from torchio_seg.workflows.from_elsewhere import Foreign, open_weights

        experiment = choose(given.dataset, given.config, changes)
        foreign = Foreign(given.weights, experiment, given.trust, given.mirror, peers.local_rank)
        return peers.in_turn(lambda: open_weights(foreign, progress=Screen.shared()))
    from torchio_seg.workflows.models import load_model
    from torchio_seg.workflows.runs import newest_trained

    place = peers.from_main(lambda: given.model or newest_trained(given.runs))
    return load_model(place, changes=changes, trust=given.trust, mirror=given.mirror, local_rank=peers.local_rank)


def _require_summary(json_: str | None) -> None:
    """Refuse a file for the summary that is none, before anything is computed."""
    from torchio_seg.errors import UsageError

    if json_ in {None, PRINTED}:
        return
    path = Path(str(json_))
    if path.suffix != ".json" or path.is_dir():
        raise UsageError(f"--json {json_}: name a file that ends in .json, or - to print it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--json {json_}: the folder {path.parent} cannot be made: {error.strerror}") from error


def _summarize(document: dict[str, Any], json_: str) -> None:
    from torchio_seg.files import write_json

    if json_ == PRINTED:
        sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
    else:
        write_json(Path(json_), document)


def _report(predictions: Predictions) -> None:
    """Show what was written, what was there, and what could not be; a single case that could not is an error."""
    screen = Screen.shared()
    for item in predictions.written:
        found = ", ".join(f"{name} {voxels}" for name, voxels in item.voxels.items())
        screen.say(f"{item.files[0]}: voxels of {found}")
        for file in item.files[1:]:
            screen.say(f"{file}")
    num_cases = len(predictions.outcomes)
    if predictions.skipped:
        num = len(predictions.skipped)
        screen.say(f"{num} of {num_cases} were there already and are as they were; --overwrite predicts them again")
    if predictions.failed and num_cases == 1:
        raise predictions.failed[0].error
    if predictions.failed:
        screen.say(f"{len(predictions.failed)} of {num_cases} could not be predicted:")
        for failed in predictions.failed:
            screen.say(f"  {failed.error}")
