"""torchio-seg predict."""

from __future__ import annotations

from pathlib import Path

from torchio_seg.cli import predict_options as only
from torchio_seg.cli.options import (
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
)
from torchio_seg.cli.predicting import Asked, Files, Source, carry_out
from torchio_seg.cli.shared import parse_overlap, told_once, tracking
from torchio_seg.config.typed import parse_bytes, parse_size


def predict(  # noqa: PLR0913 (flags are what the command line is made of)
    inputs: only.Inputs,
    *,
    output: only.Place = Path(),
    model: only.ModelPlaces = None,
    overwrite: only.Overwrite = False,
    series: only.Series = None,
    to: only.To = None,
    regions: only.Regions = False,
    probabilities: only.Probabilities = False,
    uncertainty: only.Uncertainty = None,
    summary: only.Summary = None,
    codes: only.Codes = None,
    wandb: Wandb = None,
    device: Device = None,
    tta: only.Mirror = False,
    largest: only.Largest = None,
    overlap: Overlap = None,
    skip_empty: only.SkipEmpty = False,
    batch_size: BatchSize = None,
    patch_size: PatchSize = None,
    blending: only.Blending = None,
    precision: only.Precision = None,
    nonfinite: only.Nonfinite = None,
    ram_budget: only.RamBudget = None,
    vram_budget: only.VramBudget = None,
    weights: WeightsFile = None,
    config: ConfigFile = None,
    dataset: DatasetName = None,
    root: Root = None,
    runs: RunsFolder = Path("runs"),
    trust: Trust = False,
) -> None:
    """Segment volumes, each in its own space; stopped, the same command goes on with those that are left.

    torchio-seg predict scan.nii.gz

    torchio-seg predict scans/ -o masks/ --json masks/summary.json

    torchio-seg predict study.zip --series 4 -o liver.mha

    torchio-seg predict series/ --to dicom-seg,rtstruct -o results/

    torchio-seg predict FLAIR=a.nii.gz T1w=b.nii.gz T1gd=c.nii.gz T2w=d.nii.gz -o patient7.nii.gz

    torchio-seg predict scan.nii.gz --config btcv.yaml --weights UNETR.pth

    torchrun --nproc-per-node 4 -m torchio_seg predict scans/ ...
    """
    with told_once():
        asked = Asked(
            inputs=tuple(inputs),
            series=series,
            source=Source(tuple(model or ()), weights, dataset, config, root, runs, trust=trust, mirror=tta),
            files=Files(output, overwrite, probabilities, regions, uncertainty, tuple(to or ()), codes, summary),
            settings={
                "prediction.patch_size": parse_size(patch_size, "--patch-size"),
                "prediction.overlap": parse_overlap(overlap),
                "prediction.blending": blending,
                "prediction.batch_size": batch_size,
                "training.precision": precision,
                "preprocessing.nonfinite": nonfinite,
                "dataset.root": root,
                "device": device or "auto",
                **tracking(wandb),
            },
            skip_empty=skip_empty,
            keep_largest=tuple(largest or ()),
            ram=parse_bytes(ram_budget, "--ram-budget"),
            vram=parse_bytes(vram_budget, "--vram-budget"),
            is_tracked=wandb is not None,
        )
        asked.require_sound()
    carry_out(asked)
