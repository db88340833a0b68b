"""torchio-seg evaluate."""

from __future__ import annotations

from pathlib import Path

from torchio_seg.cli import evaluate_options as only
from torchio_seg.cli.evaluating import (
    Elsewhere,
    Maps,
    Wanted,
    parse_measures,
    refuse,
    score_maps,
    score_run,
    score_weights,
)
from torchio_seg.cli.options import (
    ConfigFile,
    DatasetName,
    Device,
    Overlap,
    Root,
    RunsFolder,
    Set,
    Trust,
    Wandb,
    WeightsFile,
)
from torchio_seg.cli.shared import gather, parse_overlap, require_experiment, tracking

DEFAULT = "dice,hd95,surface_dice"


def evaluate(  # noqa: PLR0913 (flags are what the command line is made of)
    run: only.Run = None,
    *,
    split: only.SplitPart = None,
    overwrite: only.Overwrite = False,
    metrics: only.Metrics = DEFAULT,
    tolerance: only.Tolerance = 1.0,
    empty: only.Empty = "nan",
    truth: only.Truth = None,
    region: only.Region = None,
    ignore: only.Ignore = None,
    only_pairs: only.OnlyPairs = False,
    workers: only.Workers = None,
    output: only.Place = None,
    runs: RunsFolder = Path("runs"),
    wandb: Wandb = None,
    device: Device = None,
    overlap: Overlap = None,
    set_: Set = None,
    weights: WeightsFile = None,
    config: ConfigFile = None,
    dataset: DatasetName = None,
    root: Root = None,
    trust: Trust = False,
) -> None:
    """Score a model on the labelled cases of a split, or label maps against true ones, case by case.

    torchio-seg evaluate runs/latest --split test --metrics all

    torchio-seg evaluate predicted/ --truth labelsTs/ --region whole=1,2,4 --region core=1,4

    torchio-seg evaluate --config btcv.yaml --weights UNETR.pth --overlap 0.7 --root BTCV
    """
    from torchio_seg.workflows.beforehand import PARTS, require_word

    require_experiment(weights, dataset, config)
    require_word("--split", split, PARTS)
    of_models: dict[str, object] = {"--split": split, "--root": root, "--wandb": wandb, "--device": device}
    of_models |= {"--trust": trust, "--weights": weights, "--overlap": overlap, "--set": set_}
    of_folders = {"--region": region, "--ignore": ignore, "--only-pairs": only_pairs, "--workers": workers}
    flags = {"dataset.root": root, "prediction.overlap": parse_overlap(overlap), **tracking(wandb)}
    changes = gather({"device": device or "auto", **flags}, set_)
    wanted = Wanted(parse_measures(metrics, tolerance, empty), split, changes, trust=trust, overwrite=overwrite)
    if truth is not None:
        refuse(of_models, "goes with a run or --weights, not --truth")
        maps = Maps(run, truth, tuple(region or ()), ignore, only_pairs, workers, output)
        score_maps(maps, wanted)
        return
    refuse(of_folders, "goes with two folders of label maps: name the true ones by --truth")
    if weights is not None:
        refuse({"--wandb": wandb}, "goes with a run, not --weights")
        refuse({str(run): run}, f"is a model of ours and --weights {weights} another; name one of them")
        score_weights(Elsewhere(weights, dataset, config, output), wanted)
    else:
        refuse({"--output": output}, "goes with --truth or --weights; the scores of a run are written into its folder")
        score_run(run, runs, wanted)
