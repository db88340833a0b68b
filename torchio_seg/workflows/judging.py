"""How a training's model is judged: by the validation cases while it trains, by those kept apart at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from torchio_seg.distributed import Peers
from torchio_seg.errors import TrainingError
from torchio_seg.machine import is_out_of_memory
from torchio_seg.metrics import METRICS, Measures, mean_dice, means, parse_metrics, summarize
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.progress import Progress
from torchio_seg.records import Validation, ValidationLeft
from torchio_seg.targets import encode
from torchio_seg.timing import Upkeep
from torchio_seg.transforms.preprocessing import find_grids
from torchio_seg.volumes.nifti import read_geometry
from torchio_seg.workflows.best import Best, parse_best
from torchio_seg.workflows.evaluate import Evaluation, OnPrediction, evaluate_cases
from torchio_seg.workflows.rotation import Rotation

if TYPE_CHECKING:
    from torchio_seg.config.sections import Training
    from torchio_seg.step import Loss
    from torchio_seg.workflows.assembly import Plan

Pictured = Callable[[str, bool], AbstractContextManager[OnPrediction | None]]
"""Who looks at predictions of a part of the cases, and whether they are the last."""


@contextmanager
def _named_where_memory_ends() -> Iterator[None]:
    """Fewer patches in a step are no cure for a case that is too large."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        said = str(error).partition(". ")[0]
        raise TrainingError(
            f"out of memory while a case was predicted whole: {said}. What was trained is saved. A validation holds "
            "the logits of a case, every class of every voxel: give the process more memory, or train anew in larger "
            "voxels (--set preprocessing.spacing=[X,Y,Z])"
        ) from error


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
        names = {"dice", *watched, *self.best.measures.names}
        return replace(self.best.measures, names=tuple(name for name in METRICS if name in names))

    @cached_property
    def rotation(self) -> Rotation:
        """What is known of the validation cases."""
        return Rotation(self.plan.split.validation, self.settings.validation_cases)

    def validate(
        self, pictured: Pictured, should_stop: Callable[[], bool], turn: int | None, progress: Progress
    ) -> Validation:
        """Whole-volume predictions of the validation cases, or of those whose turn it is, beside what is known.

        A stop is heeded after each case, but for several processes, which have other numbers of them.
        """
        losses: list[float] = []

        def take(logits: torch.Tensor, label_map: torch.Tensor) -> None:
            if self.peers.num_ranks == 1 and should_stop():
                raise ValidationLeft
            losses.append(self._loss_of(logits, label_map))

        with _named_where_memory_ends(), pictured("validation", False) as on_prediction:
            scores = evaluate_cases(
                self.predictor,
                self.plan.dataset.choose(self.rotation.turn(turn)),
                self.plan.dataset,
                progress=progress,
                on_logits=take,
                on_prediction=on_prediction,
                peers=self.peers,
                measures=self.measures,
            )
        self.rotation.renew(scores, self.peers.whole(losses))
        return self._validation()

    def _validation(self) -> Validation:
        """By the latest prediction of each case."""
        known = self.rotation.known
        scores = [score for found in known for score in found.scores]
        summaries = summarize(scores)
        return Validation(
            mean_dice(summaries),
            sum(found.loss for found in known) / len(known) if known else None,
            {summary.region: summary.mean_dice for summary in summaries},
            len(known),
            {**self.best.of(scores), **means(scores)},
            self.rotation.is_complete,
        )

    def rehearse(self, trained_on: Sequence[str] = ()) -> Upkeep:
        """What validations will take, and the end, where these training cases are looked at too: the time of one case,
        by how much more work the others are."""
        rotation, work = self.rotation, self.work(trained_on)
        if not work:
            return Upkeep(0.0, 0.0)
        middle = sorted(work, key=lambda case: work[case])[len(work) // 2]
        dataset, measures = self.plan.dataset, self.measures
        start = time.monotonic()
        evaluate_cases(self.predictor, dataset.choose([middle]), dataset, on_logits=self._loss_of, measures=measures)
        each = (time.monotonic() - start) / work[middle]

        def seconds(cases: Sequence[str]) -> float:
            """Until the last process is done with its part."""
            ranks = range(self.peers.num_ranks)
            return each * max(sum(work[case] for case in cases[rank :: self.peers.num_ranks]) for rank in ranks)

        turns = [seconds(rotation.turn(number)) for number in range(rotation.length)]
        looking = each * sum(work[case] for case in trained_on)
        return Upkeep(sum(turns) / len(turns), seconds(rotation.cases) + seconds(self.held_out) + looking)

    def work(self, trained_on: Sequence[str] = ()) -> dict[str, int]:
        """What each case to be predicted costs: the voxels of all its patches, and its own."""
        window, recipe = self.predictor.window, self.predictor.recipe
        work: dict[str, int] = {}
        for case in self.plan.dataset.choose(
            tuple(dict.fromkeys((*self.plan.split.validation, *self.held_out, *trained_on)))
        ):
            geometry = read_geometry(case.images[0])
            patches = window.grid(find_grids(geometry.shape, geometry.affine, recipe).model_shape)
            work[case.id] = len(patches.places) * prod(window.patch_size) + prod(geometry.shape)
        return work

    def evaluate(self, pictured: Pictured, trained_on: Sequence[str], progress: Progress) -> Evaluation:
        """The model on the test part, or on the validation part where there is no test.

        Training cases are predicted for the pictures alone, and by the process that draws them.
        """
        measures = replace(self.measures, penalize=False)  # as torchio-seg evaluate has it
        with _named_where_memory_ends(), pictured(self.part, True) as on_prediction:
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
