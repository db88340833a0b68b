"""torchio-seg evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from torchio_seg.cli.means import show_means
from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import (
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
    gather,
    parse_overlap,
    require_experiment,
    tracking,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torchio_seg.metrics import Measures
    from torchio_seg.records import RegionScore

MEASURES, FOLDERS = "What is measured", "Two folders of label maps"
DEFAULT = "dice,hd95,surface_dice"


def evaluate(  # noqa: PLR0913 (flags are what the command line is made of)
    run: Annotated[
        Path | None,
        typer.Argument(
            help="Run folder; the newest otherwise. With --truth, predicted label maps.", show_default=False
        ),
    ] = None,
    *,
    split: Annotated[
        str | None, typer.Option(help="training, validation or test (of a run the default, where there is one).")
    ] = None,
    weights: WeightsFile = None,
    dataset: DatasetName = None,
    config: ConfigFile = None,
    root: Root = None,
    overlap: Overlap = None,
    set_: Set = None,
    wandb: Wandb = None,
    device: Device = None,
    runs: RunsFolder = Path("runs"),
    trust: Trust = False,
    metrics: Annotated[
        str, typer.Option(metavar="NAME,...|all", help="See docs/metrics.md.", rich_help_panel=MEASURES)
    ] = DEFAULT,
    tolerance: Annotated[float, typer.Option(metavar="MM", help="Of surface Dice.", rich_help_panel=MEASURES)] = 1.0,
    empty: Annotated[
        str,
        typer.Option(
            metavar="nan|one|zero",
            help="A region neither there nor found is not scored, scored as right, or as wrong.",
            rich_help_panel=MEASURES,
        ),
    ] = "nan",
    truth: Annotated[
        Path | None, typer.Option(help="True label maps, of the predictions' names.", rich_help_panel=FOLDERS)
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=V,V", help="Else every value is a class; may be repeated.", rich_help_panel=FOLDERS),
    ] = None,
    ignore: Annotated[
        int | None, typer.Option(metavar="V", help="True value of voxels not to score.", rich_help_panel=FOLDERS)
    ] = None,
    only_pairs: Annotated[
        bool, typer.Option("--only-pairs", help="Leave out label maps without a partner.", rich_help_panel=FOLDERS)
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; else one for eight cases, 8 at most.", rich_help_panel=FOLDERS)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Folder of the scores; else that of the predictions.", rich_help_panel=FOLDERS
        ),
    ] = None,
) -> None:
    """Score a model on the labelled cases of a split, or label maps against true ones, case by case.

    torchio-seg evaluate runs/latest --split test --metrics all

    torchio-seg evaluate --config btcv.yaml --weights UNETR.pth --overlap 0.7 --root BTCV

    torchio-seg evaluate predicted/ --truth labelsTs/ --region whole=1,2,4 --region core=1,4
    """
    measures = _measures(metrics, tolerance, empty)
    require_experiment(weights, dataset, config)
    of_folders = {"--region": region, "--ignore": ignore, "--only-pairs": only_pairs, "--workers": workers}
    of_models: dict[str, object] = {
        "--split": split,
        "--root": root,
        "--wandb": wandb,
        "--device": device,
        "--trust": trust,
    }
    of_models |= {"--weights": weights, "--overlap": overlap, "--set": set_}
    flags = {"dataset.root": root, "prediction.overlap": parse_overlap(overlap), **tracking(wandb)}
    changes = gather({"device": device or "auto", **flags}, set_)
    if truth is not None:
        _refuse(of_models, "goes with a run or --weights, not --truth")
        only = (tuple(region or ()), ignore, only_pairs, output)
        _evaluate_folders(run, truth, only, measures, num_workers=workers)
        return
    _refuse(of_folders, "goes with two folders of label maps: name the true ones by --truth")
    if weights is not None:
        _refuse({"--wandb": wandb}, "goes with a run, not --weights")
        _refuse({str(run): run}, f"is a model of ours and --weights {weights} another; name one of them")
        _evaluate_weights((weights, dataset, config), split, measures, changes=changes, trust=trust, output=output)
        return
    _refuse({"--output": output}, "goes with --truth or --weights; the scores of a run are written into its own folder")
    _evaluate_run(run or runs, split, measures, changes=changes, is_newest=run is None, trust=trust)


def _evaluate_folders(
    predicted: Path | None,
    truth: Path,
    more: tuple[tuple[str, ...], int | None, bool, Path | None],
    measures: Measures,
    *,
    num_workers: int | None,
) -> None:
    from torchio_seg.errors import UsageError
    from torchio_seg.workflows.evaluate_folders import Folders, evaluate_folders

    if predicted is None:
        raise UsageError("--truth names the true label maps; name the folder of the predicted ones before it")
    folders = Folders(predicted, truth, *more)
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


def _evaluate_run(
    place: Path,
    split: str | None,
    measures: Measures,
    *,
    changes: dict[str, Any],
    is_newest: bool,
    trust: bool,
) -> None:
    """The run of a folder, or the newest of those below it."""
    from torchio_seg.workflows.evaluate_run import evaluate_run
    from torchio_seg.workflows.models import load_model
    from torchio_seg.workflows.runs import newest_trained

    screen = Screen.shared()
    loaded = load_model(newest_trained(place) if is_newest else place, changes=changes, trust=trust)
    screen.say(f"model {loaded.folder}")
    evaluation, stem = evaluate_run(loaded, split, progress=screen, measures=measures)
    _report(f"Dice on the {evaluation.part} cases", evaluation.scores, stem)


def _measures(metrics: str, tolerance: float, empty: str) -> Measures:
    """As the user types them."""
    from torchio_seg.metrics import Measures, parse_empty, parse_metrics

    rule = parse_empty(empty)
    return Measures(parse_metrics(metrics), tolerance, rule, penalize=rule != "nan")


def _refuse(flags: Mapping[str, object], reason: str) -> None:
    """A flag that the other form of the command has is a misunderstanding."""
    if given := [flag for flag, value in flags.items() if value]:
        from torchio_seg.errors import UsageError

        raise UsageError(f"{given[0]} {reason}")


def _report(title: str, scores: Sequence[RegionScore], stem: Path | None) -> None:
    """Dice of each case; what was scored, missed and invented; each metric with how sure its mean is."""
    from torchio_seg.metrics import mean_dice, summarize

    screen, summaries = Screen.shared(), summarize(scores)
    screen.table_of_cases(scores)
    screen.table_of_scores(title, summaries, mean_dice(summaries))
    show_means(scores)
    if stem is not None:
        screen.say(f"written to {stem}.csv and {stem.name}.json")
