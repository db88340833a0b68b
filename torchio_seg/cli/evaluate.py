"""torchio-seg evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    WeightsFile,
    gather,
    parse_overlap,
    require_experiment,
)

if TYPE_CHECKING:
    from torchio_seg.workflows.evaluate import Evaluation


def evaluate(  # noqa: PLR0913 (flags are what the command line is made of)
    run: Annotated[Path | None, typer.Argument(help="Run folder; the newest otherwise.", show_default=False)] = None,
    *,
    split: Annotated[
        str | None,
        typer.Option(help="training, validation or test (of a run the default, where there is one)."),
    ] = None,
    weights: WeightsFile = None,
    dataset: DatasetName = None,
    config: ConfigFile = None,
    root: Root = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="With --weights: folder for the scores.", rich_help_panel="Output"),
    ] = None,
    overlap: Overlap = None,
    set_: Set = None,
    device: Device = None,
    runs: RunsFolder = Path("runs"),
    trust: Trust = False,
) -> None:
    """Score a trained model on the labelled cases of its split, case by case.

    torchio-seg evaluate runs/latest

    torchio-seg evaluate --config btcv.yaml --weights UNETR.pth --overlap 0.7 --root BTCV
    """
    from torchio_seg.errors import UsageError

    require_experiment(weights, dataset, config)
    flags = {"device": device or "auto", "dataset.root": root, "prediction.overlap": parse_overlap(overlap)}
    changes = gather(flags, set_)
    if weights is not None:
        if run is not None:
            raise UsageError(f"{run} is a model of ours and --weights {weights} another; name one of them")
        from torchio_seg.config.resolve import choose
        from torchio_seg.workflows.evaluate import write_evaluation
        from torchio_seg.workflows.from_elsewhere import Foreign, evaluate_weights

        foreign = Foreign(weights, choose(dataset, config, changes), trust=trust)
        loaded, evaluation = evaluate_weights(foreign, split or "validation", progress=Screen.shared())
        _show(evaluation, None if output is None else write_evaluation(output, evaluation, loaded.card))
        return
    if output is not None:
        raise UsageError(f"-o {output}: the scores of a run are written into its own folder; leave -o out")
    from torchio_seg.workflows.evaluate_run import evaluate_run
    from torchio_seg.workflows.models import load_model
    from torchio_seg.workflows.runs import newest_trained

    loaded = load_model(run or newest_trained(runs), changes=changes, trust=trust)
    Screen.shared().say(f"model {loaded.folder}")
    _show(*evaluate_run(loaded, split, progress=Screen.shared()))


def _show(evaluation: Evaluation, stem: Path | None) -> None:
    screen = Screen.shared()
    screen.table_of_cases(evaluation.scores)
    screen.table_of_scores(f"Dice on the {evaluation.part} cases", evaluation.summaries, evaluation.mean_dice)
    if stem is not None:
        screen.say(f"written to {stem}.csv and {stem.name}.json")
