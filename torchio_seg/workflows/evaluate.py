"""`torchio-seg evaluate`: a trained model against the label maps of a part of its data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torchio_seg.distributed import ALONE, Peers
from torchio_seg.metrics import Summary, mean_dice, region_masks, score_case, summarize
from torchio_seg.progress import Progress, Silent
from torchio_seg.reports.scores import write_scores
from torchio_seg.subjects import read_case_label, read_channels
from torchio_seg.transforms.preprocessing import labels_to_model_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import torch

    from torchio_seg.checkpoint import ModelCard
    from torchio_seg.predictor.native import Predictor
    from torchio_seg.records import Case, Dataset, RegionScore


@dataclass(frozen=True)
class Evaluation:
    """The scores of one part of the cases."""

    part: str
    scores: list[RegionScore]

    @property
    def summaries(self) -> list[Summary]:
        return summarize(self.scores)

    @property
    def mean_dice(self) -> float | None:
        return mean_dice(self.summaries)


def evaluate_cases(
    predictor: Predictor,
    cases: Sequence[Case],
    dataset: Dataset,
    *,
    progress: Progress | None = None,
    on_logits: Callable[[torch.Tensor, torch.Tensor], Any] | None = None,
    peers: Peers = ALONE,
) -> list[RegionScore]:
    """Predict each case whole and score it on its own grid; `on_logits` also sees logits and labels as trained on.

    Peers divide the cases among them, and all get all scores.
    """
    progress = progress or Silent()
    names = [region.name for region in dataset.labels.regions]
    scores: list[list[RegionScore]] = []
    own = peers.part(cases)
    progress.start("cases", len(own))
    try:
        for case in own:
            image = read_channels(case.images, len(dataset.channels), nonfinite=predictor.recipe.nonfinite)
            label = read_case_label(case, sorted(dataset.labels.names))
            if on_logits is None:
                prediction = predictor(image.array, image.affine, progress, probabilities=False)
            else:
                logits, grids = predictor.logits(image.array, image.affine, progress)
                on_logits(logits, labels_to_model_grid(label.array, grids))
                prediction = predictor.finish(logits, grids, probabilities=False)
            predicted = prediction.masks & (label.array[0] != dataset.labels.ignore)
            scores.append(score_case(case.id, predicted, region_masks(label.array[0], dataset.labels), names))
            progress.advance()
    finally:
        progress.finish()
    return [score for of_case in peers.whole(scores) for score in of_case]


def write_evaluation(run: Path, evaluation: Evaluation, card: ModelCard) -> Path:
    """evaluation/PART.csv and .json in the run's folder; returns the path without suffix."""
    folder = run / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"part": evaluation.part, "dataset": card.dataset, "model": card.progress, "sha256": card.sha256}
    stem = folder / evaluation.part
    write_scores(stem, evaluation.scores, summaries=evaluation.summaries, mean=evaluation.mean_dice, facts=facts)
    return stem
