"""The three things that torchio-seg evaluate scores: a run, weights from elsewhere, and two folders of label maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torchio_seg.cli.means import show_means
from torchio_seg.cli.screen import Screen
from torchio_seg.errors import UsageError
from torchio_seg.files import near

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torchio_seg.metrics import Measures
    from torchio_seg.records import RegionScore


@dataclass(frozen=True)
class Wanted:
    """What is measured, and of which cases of a model."""

    measures: Measures
    split: str | None
    changes: dict[str, Any]
    trust: bool
    overwrite: bool


@dataclass(frozen=True)
class Maps:
    """Label maps, and the true ones."""

    predicted: Path | None
    truth: Path
    regions: tuple[str, ...]
    ignore: int | None
    only_pairs: bool
    workers: int | None
    output: Path | None


@dataclass(frozen=True)
class Elsewhere:
    """Weights that were trained elsewhere, and the experiment that says what they are for."""

    weights: Path
    dataset: str | None
    config: Path | None
    output: Path | None


def score_maps(maps: Maps, wanted: Wanted) -> None:
    """The label maps of two folders against each other."""
    from torchio_seg.workflows.evaluate_folders import Folders, evaluate_folders

    if maps.predicted is None:
        raise UsageError("--truth names the true label maps; name the folder of the predicted ones before it")
    place = (maps.predicted, maps.truth, maps.regions, maps.ignore, maps.only_pairs, maps.output)
    folders = Folders(*place, overwrite=wanted.overwrite)
    scores, stem = evaluate_folders(folders, wanted.measures, num_workers=maps.workers, progress=Screen.shared())
    _report("Dice", scores, stem)


def score_weights(elsewhere: Elsewhere, wanted: Wanted) -> None:
    """Weights from elsewhere on the cases of a part, the validation's where none is named."""
    from torchio_seg.workflows.beforehand import PARTS

    output, part = elsewhere.output, wanted.split or PARTS[1]
    if output is not None:
        from torchio_seg.reports.scores import require_no_scores

        require_no_scores(output / "evaluation" / part, overwrite=wanted.overwrite)
    from torchio_seg.config.resolve import choose
    from torchio_seg.workflows.evaluate import write_evaluation
    from torchio_seg.workflows.from_elsewhere import Foreign, evaluate_weights

    experiment = choose(elsewhere.dataset, elsewhere.config, wanted.changes)
    foreign = Foreign(elsewhere.weights, experiment, trust=wanted.trust)
    loaded, evaluation = evaluate_weights(
        foreign, part, progress=Screen.shared(), measures=wanted.measures, output=output
    )
    stem = None if output is None else write_evaluation(output, evaluation, loaded.card)
    _report(f"Dice on the {evaluation.part} cases", evaluation.scores, stem)


def score_run(run: Path | None, runs: Path, wanted: Wanted) -> None:
    """The run of a folder, or the newest of those below another."""
    from torchio_seg.workflows.beforehand import require_model, require_run

    require_model(run)
    if run is None:
        require_run(runs)
    from torchio_seg.workflows.evaluate_run import evaluate_run
    from torchio_seg.workflows.opening import load_model
    from torchio_seg.workflows.runs import newest_trained

    screen = Screen.shared()
    loaded = load_model(run or newest_trained(runs), changes=wanted.changes, trust=wanted.trust)
    screen.say(f"model {loaded.folder}")
    evaluation, stem = evaluate_run(
        loaded, wanted.split, progress=screen, measures=wanted.measures, overwrite=wanted.overwrite
    )
    _report(f"Dice on the {evaluation.part} cases", evaluation.scores, stem)


def parse_measures(metrics: str, tolerance: float, empty: str) -> Measures:
    """As the user types them."""
    from torchio_seg.metrics import Measures, parse_empty, parse_metrics

    rule = parse_empty(empty)
    return Measures(parse_metrics(metrics), tolerance, rule, penalize=rule != "nan")


def refuse(flags: Mapping[str, object], reason: str) -> None:
    """A flag that another form of the command has is a misunderstanding."""
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
