"""`torchio-seg evaluate`: a trained model against the label maps of a part of its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from torchio_seg import machine
from torchio_seg.distributed import ALONE, Peers
from torchio_seg.metrics import DICE_ONLY, Measures, Summary, mean_dice, means, score_label_maps, summarize
from torchio_seg.progress import Progress, Silent
from torchio_seg.reports.scores import write_scores
from torchio_seg.subjects import read_case_label, read_channels
from torchio_seg.transforms.preprocessing import labels_to_model_grid
from torchio_seg.volumes.geometry import spacing_of
from torchio_seg.workflows import side_by_side
from torchio_seg.workflows.budgets import Budgets, Fitting
from torchio_seg.workflows.runs import EVALUATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from torchio_seg.checkpoint import ModelCard
    from torchio_seg.predictor.predictor import Predictor
    from torchio_seg.records import Case, Dataset, Labels, RegionScore
    from torchio_seg.volumes.nifti import Volume


@dataclass(frozen=True)
class Evaluation:
    """The scores of one part of the cases."""

    part: str
    scores: list[RegionScore]
    measures: Measures = DICE_ONLY

    @property
    def summaries(self) -> list[Summary]:
        return summarize(self.scores)

    @property
    def mean_dice(self) -> float | None:
        return mean_dice(self.summaries)

    @property
    def record(self) -> dict[str, Any]:
        """What metrics.jsonl says of it."""
        dice = {summary.region: summary.mean_dice for summary in self.summaries}
        found = {"mean_dice": self.mean_dice, "dice": dice, "measured": means(self.scores)}
        return {"kind": "evaluation", "part": self.part, **found}


@dataclass(frozen=True)
class Predicted:
    """A case that was predicted whole and scored."""

    case: Case
    image: Volume
    label_map: NDArray[Any]
    """I J K."""
    found: NDArray[Any]
    """I J K, as predicted."""
    scores: list[RegionScore]

    @property
    def record(self) -> dict[str, Any]:
        """What the record of an evaluation says of it."""
        dice = {score.region: score.dice for score in self.scores}
        more = {f"{name}/{score.region}": value for score in self.scores for name, value in score.more.items()}
        return {"kind": "case", "case": self.case.id, "dice": dice, "measured": more}


OnPrediction = Callable[[Predicted], None]
OnLogits = Callable[["torch.Tensor", "torch.Tensor"], Any]
Unscored = tuple["Case", "Volume", "NDArray[Any]", "NDArray[Any]"]
"""What a `Predicted` begins with."""
MOST_BESIDE = 4
"""Cases that are scored while the next ones are predicted: each is kept in memory."""


_MASK_BYTES = 4
"""Of a voxel, in the masks of the one region that is scored."""


def evaluate_cases(  # noqa: PLR0913 (who is told of what)
    predictor: Predictor,
    cases: Sequence[Case],
    dataset: Dataset,
    *,
    progress: Progress | None = None,
    on_logits: OnLogits | None = None,
    on_prediction: OnPrediction | None = None,
    peers: Peers = ALONE,
    measures: Measures = DICE_ONLY,
) -> list[RegionScore]:
    """Predict each case whole and score it on its own grid.

    `on_logits` also sees logits and labels as trained on, `on_prediction` each case with its scores, in their order.

    Peers divide the cases among them, and all get all scores.
    """
    progress = progress or Silent()
    scores: list[list[RegionScore]] = []
    own = peers.part(cases)
    fitting = Fitting(predictor, len(dataset.channels), Budgets())
    predict = partial(_predict, predictor, fitting, dataset=dataset, on_logits=on_logits, progress=progress)
    score = partial(_score, labels=dataset.labels, measures=measures)
    spare = peers.of_machine(machine.num_processors()) - 1
    beside = 0 if measures.are_counts else min(spare, MOST_BESIDE)
    progress.start("cases", len(own))
    try:
        for predicted in side_by_side.trailing(
            score, map(predict, own), beside, num_bytes=_num_bytes, num_local=peers.num_local
        ):
            scores.append(predicted.scores)
            if on_prediction is not None:
                on_prediction(predicted)
            progress.advance()
    finally:
        progress.finish()
    return [score for of_case in peers.whole(scores) for score in of_case]


def _predict(
    predictor: Predictor,
    fitting: Fitting,
    case: Case,
    *,
    dataset: Dataset,
    on_logits: OnLogits | None,
    progress: Progress,
) -> Unscored:
    image = read_channels(case.images, len(dataset.channels), nonfinite=predictor.recipe.nonfinite)
    label = read_case_label(case, sorted(dataset.labels.names))
    [placed] = fitting.placed_for(image)
    if on_logits is None:
        prediction = placed(image.array, image.affine, progress, probabilities=False)
    else:
        logits, grids = placed.logits(image.array, image.affine, progress)
        on_logits(logits, labels_to_model_grid(label.array, grids))
        prediction = placed.finish(logits, grids, probabilities=False)
    return case, image, label.array[0], prediction.label_map


def _score(unscored: Unscored, labels: Labels, measures: Measures) -> Predicted:
    case, image, label_map, found = unscored
    spacing = spacing_of(image.affine)
    return Predicted(*unscored, score_label_maps(case.id, found, label_map, labels, measures=measures, spacing=spacing))


def _num_bytes(unscored: Unscored) -> int:
    """What a case takes until it is scored."""
    _, image, label_map, found = unscored
    return image.array.nbytes + label_map.nbytes + found.nbytes + _MASK_BYTES * label_map.size


def stem_of(run: Path, part: str) -> Path:
    """The file of a part's scores, without suffix."""
    return run / EVALUATION / part


def what_scores_depend_on(card: ModelCard, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The model's weights, and the settings by which it predicts."""
    used = {
        "prediction": settings["prediction"],
        "precision": settings["training"]["precision"],
        "nonfinite": settings["preprocessing"]["nonfinite"],
    }
    return {"sha256": card.sha256, "settings": used}


def write_evaluation(
    run: Path, evaluation: Evaluation, card: ModelCard, settings: Mapping[str, Any] | None = None
) -> Path:
    """evaluation/PART.csv and .json in the run's folder; returns the path without suffix.

    `settings`: of the experiment that predicted, where it is not the model's own.
    """
    stem = stem_of(run, evaluation.part)
    stem.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "part": evaluation.part,
        "dataset": card.dataset,
        "model": card.progress,
        **what_scores_depend_on(card, settings or card.experiment),
        "measures": asdict(evaluation.measures),
    }
    write_scores(stem, evaluation.scores, summaries=evaluation.summaries, mean=evaluation.mean_dice, facts=facts)
    return stem
