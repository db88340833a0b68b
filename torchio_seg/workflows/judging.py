"""How a training's model is judged: by the validation cases while it trains, by those kept apart at its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from torchio_seg.distributed import Peers
from torchio_seg.metrics import mean_dice, summarize
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
                measures=self.best.measures,
            )
        losses = self.peers.whole(losses)
        summaries = summarize(scores)
        loss = sum(losses) / len(losses) if losses else None
        dice = {summary.region: summary.mean_dice for summary in summaries}
        return Validation(mean_dice(summaries), loss, dice, len(ids), self.best.of(scores))

    def rehearse(self) -> Upkeep:
        """What validations will take, by one case."""
        cases = self.plan.dataset.choose((self.plan.split.validation or self.held_out)[:1])
        start = time.monotonic()
        evaluate_cases(self.predictor, cases, self.plan.dataset, measures=self.best.measures)
        each = time.monotonic() - start if cases else 0.0
        num_all, few = len(self.plan.split.validation), self.settings.validation_cases
        num_cases = (min(num_all, few or num_all), num_all, len(self.held_out))
        between, last, ending = (each * -(-num // self.peers.num_ranks) for num in num_cases)
        return Upkeep(between, last + ending)

    def evaluate(self, pictured: Pictured, progress: Progress) -> Evaluation:
        """The model on the test part, or on the validation part where there is no test."""
        with pictured(self.part, True) as on_prediction:
            scores = evaluate_cases(
                self.predictor,
                self.plan.dataset.choose(self.held_out),
                self.plan.dataset,
                progress=progress,
                on_prediction=on_prediction,
                peers=self.peers,
            )
        return Evaluation(self.part, scores)

    def _loss_of(self, logits: torch.Tensor, label_map: torch.Tensor) -> float:
        masks = encode(label_map[None], self.plan.dataset.labels)
        with torch.inference_mode():
            return float(self.loss(logits[None], masks))
