"""How a training's model is judged: by the validation cases while it trains, by those kept apart at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from torchio_seg.distributed import Peers
from torchio_seg.metrics import METRICS, Measures, mean_dice, means, parse_metrics, summarize
from torchio_seg.predictor.native import Predictor
from torchio_seg.progress import Progress
from torchio_seg.records import Validation
from torchio_seg.targets import encode
from torchio_seg.timing import Upkeep
from torchio_seg.workflows.best import Best, parse_best
from torchio_seg.workflows.evaluate import Evaluation, OnPrediction, evaluate_cases

if TYPE_CHECKING:
    from torchio_seg.config.sections import Training
    from torchio_seg.step import Loss
    from torchio_seg.workflows.assembly import Plan

Pictured = Callable[[str, bool], AbstractContextManager[OnPrediction | None]]
"""Who looks at predictions of a part of the cases, and whether they are the last."""


@dataclass(frozen=True)
class Judge:
    """Predicts the cases that a training does not learn from, and scores them."""

    settings: Training
    plan: Plan
    predictor: Predictor
    loss: Loss
    """Of one case."""
    peers: Peers

    def __post_init__(self) -> None:
        _ = self.measures  # a metric that there is not is found before anything is trained

    @property
    def held_out(self) -> tuple[str, ...]:
        """The cases that the best model is scored on at the end."""
        return self.plan.split.test or self.plan.split.validation

    @property
    def part(self) -> str:
        """What those cases are called."""
        return "test" if self.plan.split.test else "validation"

    def is_done(self, folder: Path) -> bool:
        """Whether a run's folder holds the scores of those cases, so that they need not be touched again."""
        return (folder / "evaluation" / f"{self.part}.json").exists()

    @cached_property
    def best(self) -> Best:
        """What tells the best model."""
        return parse_best(self.settings.best, [region.name for region in self.plan.dataset.labels.regions])

    @cached_property
    def measures(self) -> Measures:
        """What validations measure: what tells the best model, by its rule for what is missed, and what is watched."""
        watched = parse_metrics(",".join(self.settings.metrics)) if self.settings.metrics else ()
        names = {*watched, *self.best.measures.names}
        return replace(self.best.measures, names=tuple(name for name in METRICS if name in names))

    def validate(self, pictured: Pictured, subset: int | None, progress: Progress) -> Validation:
        """Dice and loss of whole-volume predictions of the validation cases, or of the n-th few of them."""
        ids, few = self.plan.split.validation, self.settings.validation_cases
        if subset is not None and few is not None and few < len(ids):
            ids = tuple(ids[(subset * few + number) % len(ids)] for number in range(few))
        losses: list[float] = []
        with pictured("validation", False) as on_prediction:
            scores = evaluate_cases(
                self.predictor,
                self.plan.dataset.choose(ids),
                self.plan.dataset,
                progress=progress,
                on_logits=lambda logits, label: losses.append(self._loss_of(logits, label)),
                on_prediction=on_prediction,
                peers=self.peers,
                measures=self.measures,
            )
        losses = self.peers.whole(losses)
        summaries = summarize(scores)
        loss = sum(losses) / len(losses) if losses else None
        dice = {summary.region: summary.mean_dice for summary in summaries}
        return Validation(mean_dice(summaries), loss, dice, len(ids), {**self.best.of(scores), **means(scores)})

    def rehearse(self, num_trained_on: int = 0) -> Upkeep:
        """What validations will take, by one case, and the end, where so many training cases are looked at too."""
        cases = self.plan.dataset.choose((self.plan.split.validation or self.held_out)[:1])
        start = time.monotonic()
        evaluate_cases(self.predictor, cases, self.plan.dataset, measures=self.measures)
        each = time.monotonic() - start if cases else 0.0
        num_all, few = len(self.plan.split.validation), self.settings.validation_cases
        num_cases = (min(num_all, few or num_all), num_all, len(self.held_out))
        between, last, ending = (each * -(-num // self.peers.num_ranks) for num in num_cases)
        return Upkeep(between, last + ending + each * num_trained_on)

    def evaluate(self, pictured: Pictured, trained_on: Sequence[str], progress: Progress) -> Evaluation:
        """The model on the test part, or on the validation part where there is no test.

        Training cases are predicted for the pictures alone, and by the process that draws them.
        """
        measures = replace(self.measures, penalize=False)  # as torchio-seg evaluate has it
        with pictured(self.part, True) as on_prediction:
            if on_prediction is not None:
                seen = self.plan.dataset.choose(trained_on)
                evaluate_cases(self.predictor, seen, self.plan.dataset, progress=progress, on_prediction=on_prediction)
            scores = evaluate_cases(
                self.predictor,
                self.plan.dataset.choose(self.held_out),
                self.plan.dataset,
                progress=progress,
                on_prediction=on_prediction,
                peers=self.peers,
                measures=measures,
            )
        return Evaluation(self.part, scores, measures)

    def _loss_of(self, logits: torch.Tensor, label_map: torch.Tensor) -> float:
        masks = encode(label_map[None], self.plan.dataset.labels)
        with torch.inference_mode():
            return float(self.loss(logits[None], masks))
