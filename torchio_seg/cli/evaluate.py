"""torchio-seg evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchio_seg.cli import evaluate_options as only
from torchio_seg.cli.means import show_means
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
from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import gather, parse_overlap, require_experiment, tracking
from torchio_seg.errors import UsageError
from torchio_seg.files import near

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torchio_seg.metrics import Measures
    from torchio_seg.records import RegionScore
    from torchio_seg.workflows.evaluate_folders import Folders

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
    from torchio_seg.workflows.beforehand import PARTS, require_model, require_run, require_word

    require_experiment(weights, dataset, config)
    require_word("--split", split, PARTS)
    of_models: dict[str, object] = {"--split": split, "--root": root, "--wandb": wandb, "--device": device}
    of_models |= {"--trust": trust, "--weights": weights, "--overlap": overlap, "--set": set_}
    flags = {"dataset.root": root, "prediction.overlap": parse_overlap(overlap), **tracking(wandb)}
    changes = gather({"device": device or "auto", **flags}, set_)
    measures = _measures(metrics, tolerance, empty)
    if truth is not None:
        from torchio_seg.workflows.evaluate_folders import Folders

        _refuse(of_models, "goes with a run or --weights, not --truth")
        regions = tuple(region or ())
        folders = Folders(_predicted(run), truth, regions, ignore, only_pairs, output, overwrite=overwrite)
        _evaluate_folders(folders, measures, workers)
        return
    of_folders = {"--region": region, "--ignore": ignore, "--only-pairs": only_pairs, "--workers": workers}
    _refuse(of_folders, "goes with two folders of label maps: name the true ones by --truth")
    if weights is not None:
        _refuse({"--wandb": wandb}, "goes with a run, not --weights")
        _refuse({str(run): run}, f"is a model of ours and --weights {weights} another; name one of them")
        place = None if output is None else _free(output, split or PARTS[1], overwrite=overwrite)
        _evaluate_weights((weights, dataset, config), split, measures, changes=changes, trust=trust, output=place)
        return
    _refuse({"--output": output}, "goes with --truth or --weights; the scores of a run are written into its own folder")
    require_model(run)
    if run is None:
        require_run(runs)
    _evaluate_run(run, runs, split, measures, changes=changes, trust=trust, overwrite=overwrite)


def _predicted(run: Path | None) -> Path:
    if run is None:
        raise UsageError("--truth names the true label maps; name the folder of the predicted ones before it")
    return run


def _free(output: Path, part: str, *, overwrite: bool) -> Path:
    """The folder, in which there are no scores of the part, or they may be replaced."""
    from torchio_seg.reports.scores import require_no_scores

    require_no_scores(output / "evaluation" / part, overwrite=overwrite)
    return output


def _evaluate_folders(folders: Folders, measures: Measures, num_workers: int | None) -> None:
    from torchio_seg.workflows.evaluate_folders import evaluate_folders

    scores, stem = evaluate_folders(folders, measures, num_workers=num_workers, progress=Screen.shared())
    _report("Dice", scores, stem)


def _evaluate_weights(
    named: tuple[Path, str | None, Path | None],
    split: str | None,
    measures: Measures,
    *,
    changes: dict[str, Any],
    trust: bool,
    output: Path | None,
) -> None:
    from torchio_seg.config.resolve import choose
    from torchio_seg.workflows.evaluate import write_evaluation
    from torchio_seg.workflows.from_elsewhere import Foreign, evaluate_weights

    weights, dataset, config = named
    foreign = Foreign(weights, choose(dataset, config, changes), trust=trust)
    loaded, evaluation = evaluate_weights(
        foreign, split or "validation", progress=Screen.shared(), measures=measures, output=output
    )
    stem = None if output is None else write_evaluation(output, evaluation, loaded.card)
    _report(f"Dice on the {evaluation.part} cases", evaluation.scores, stem)


def _evaluate_run(  # noqa: PLR0913 (which, and how)
    run: Path | None,
    runs: Path,
    split: str | None,
    measures: Measures,
    *,
    changes: dict[str, Any],
    trust: bool,
    overwrite: bool,
) -> None:
    """The run of a folder, or the newest of those below another."""
    from torchio_seg.workflows.evaluate_run import evaluate_run
    from torchio_seg.workflows.opening import load_model
    from torchio_seg.workflows.runs import newest_trained

    screen = Screen.shared()
    loaded = load_model(run or newest_trained(runs), changes=changes, trust=trust)
    screen.say(f"model {loaded.folder}")
    evaluation, stem = evaluate_run(loaded, split, progress=screen, measures=measures, overwrite=overwrite)
    _report(f"Dice on the {evaluation.part} cases", evaluation.scores, stem)


def _measures(metrics: str, tolerance: float, empty: str) -> Measures:
    """As the user types them."""
    from torchio_seg.metrics import Measures, parse_empty, parse_metrics

    rule = parse_empty(empty)
    return Measures(parse_metrics(metrics), tolerance, rule, penalize=rule != "nan")


def _refuse(flags: Mapping[str, object], reason: str) -> None:
    """A flag that the other form of the command has is a misunderstanding."""
    if given := [flag for flag, value in flags.items() if value]:
        raise UsageError(f"{given[0]} {reason}")


def _report(title: str, scores: Sequence[RegionScore], stem: Path | None) -> None:
    """Dice of each case; what was scored, missed and invented; each metric with how sure its mean is."""
    from torchio_seg.metrics import mean_dice, summarize

    screen, summaries = Screen.shared(), summarize(scores)
    screen.table_of_cases(scores)
    screen.table_of_scores(title, summaries, mean_dice(summaries))
    show_means(scores)
    if stem is not None:
        screen.say(f"written to {near(stem)}.csv and {stem.name}.json")
