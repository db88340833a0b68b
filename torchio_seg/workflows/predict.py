"""`torchio-seg predict`: from volumes to label maps in the volumes' own space."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

from torchio_seg.distributed import ALONE, Peers
from torchio_seg.errors import TorchioSegError, UsageError
from torchio_seg.progress import Progress, Silent
from torchio_seg.records import Case
from torchio_seg.volumes.together import clear_up
from torchio_seg.workflows import dicom_outputs
from torchio_seg.workflows.beside import Beside
from torchio_seg.workflows.inputs import find_cases, settle_series
from torchio_seg.workflows.models import LoadedModel
from torchio_seg.workflows.overlap import Ahead, Task
from torchio_seg.workflows.predict_case import Opened, Output, Planned, compute_case, open_case, write_case
from torchio_seg.workflows.predict_files import settled_before, targets_of, without_outputs
from torchio_seg.workflows.predictions import Failed, Predictions, Skipped, Written

log = logging.getLogger(__name__)


def predict(  # noqa: PLR0913 (what a command is given)
    model: LoadedModel,
    inputs: Sequence[str],
    output: Output,
    *,
    series: str | None = None,
    implicit: bool = False,
    progress: Progress | None = None,
    peers: Peers = ALONE,
) -> Predictions:
    """Predict every case, peers each their share, and tell what became of it; files of an earlier call are kept.

    `series` says which one is meant where an input is DICOM with several.
    """
    begun = time.monotonic()
    model = replace(model, budgets=replace(model.budgets, num_local=peers.num_local))
    plan = peers.from_main(lambda: _plan(model, inputs, output, series))
    for each in plan:
        if isinstance(each.settled, Failed) and peers.is_main:
            log.warning("%s", each.settled.error)
    own = peers.part([each for each in plan if each.settled is None])
    mine: list[Written | Failed] = []
    progress = progress or Silent()
    outcomes = _Outcomes(mine, progress, is_single=len(plan) == 1)
    try:
        _predict_all(model, own, output, outcomes, implicit=implicit, progress=progress)
    except (KeyboardInterrupt, SystemExit):
        if output.on_stop is not None and peers.is_main:
            output.on_stop(_so_far(plan, mine, time.monotonic() - begun))
        raise
    made = peers.whole(mine)
    for outcome in (outcome for number, outcome in enumerate(made) if number % peers.num_ranks != peers.rank):
        for warning in outcome.warnings if isinstance(outcome, Written) else (outcome.error,):
            log.warning("%s", warning)
    left = iter(made)
    return Predictions(tuple(each.settled or next(left) for each in plan), time.monotonic() - begun)


def _so_far(plan: Sequence[Planned], made: Sequence[Written | Failed], seconds: float) -> Predictions:
    """What became of the cases that were come to the end of, in the order of the cases."""
    done: dict[str, Written | Failed | Skipped] = {outcome.case.id: outcome for outcome in made}
    done |= {each.case.id: each.settled for each in plan if each.settled is not None}
    outcomes = tuple(done[each.case.id] for each in plan if each.case.id in done)
    return Predictions(outcomes, seconds, num_left=len(plan) - len(outcomes))


def _plan(model: LoadedModel, inputs: Sequence[str], output: Output, series: str | None) -> list[Planned]:
    """What each case will get; what cannot be is refused before anything is computed."""
    cases = without_outputs(model, find_cases(inputs, model.card.channels, series, output.place), output)
    series = settle_series(cases, series)
    dicom_outputs.require_dicom(cases, output.to)
    if set(output.to) & set(dicom_outputs.ENDINGS):
        dicom_outputs.tell_codes(model)
    plan = []
    for case in cases:
        files = targets_of(model, case, output, alone=len(cases) == 1)
        plan.append(Planned(case, files, settled_before(case, files, output, alone=len(cases) == 1), series))
    refused = [each.settled.error for each in plan if isinstance(each.settled, Failed)]
    if refused and len(refused) == len(plan):
        raise UsageError(f"{refused[0]}. It is so with all {len(plan)} cases")
    for folder in {file.parent for each in plan for file in each.files.values()}:
        if num := clear_up(folder):
            log.info("%s: %d unfinished files of a call that was killed are removed", folder, num)
    return plan


def _predict_all(
    model: LoadedModel,
    plan: Sequence[Planned],
    output: Output,
    outcomes: _Outcomes,
    *,
    implicit: bool,
    progress: Progress,
) -> None:
    """Each in turn; the next one is read while the network works, and the last one written, where memory allows it."""
    calls = [partial(open_case, model, each, implicit=implicit) for each in plan]
    progress.start("volumes", len(plan))
    try:
        with closing(Ahead(calls, unwanted=Opened.close)) as reading:
            beside = Beside(model.fitting, reading, outcomes.settle, probabilities=output.probabilities)
            for each in plan:
                try:
                    computed = compute_case(model, reading.result(), output, progress, beside=beside)
                except TorchioSegError as error:
                    outcomes.fail(each.case, error)
                else:
                    outcomes.write(each.case, partial(write_case, model, computed, output))
        outcomes.settle()
    except (KeyboardInterrupt, SystemExit) as stop:
        outcomes.settle()
        whole = [all(file.exists() for file in each.files.values()) for each in plan]
        done = sum(isinstance(outcome, Written) for outcome in outcomes.made) if output.overwrite else sum(whole)
        stop.add_note(
            f"stopped: {done} of {len(plan)} volumes are written, none of them in part; the same command goes on with "
            "the others"
        )
        raise
    finally:
        outcomes.settle()
        progress.finish()


class _Outcomes:
    """What became of the cases in their order, of which the last may still be being written."""

    def __init__(self, made: list[Written | Failed], progress: Progress, *, is_single: bool) -> None:
        self.made = made
        self._progress = progress
        self._is_single = is_single
        self._writing: tuple[Case, Task[Written]] | None = None

    def write(self, case: Case, call: Callable[[], Written]) -> None:
        """Begin to write it once the one before is written."""
        self.settle()
        self._writing = case, Task(call)

    def fail(self, case: Case, error: TorchioSegError) -> None:
        self.settle()
        self.made.append(Failed(case, error))
        if not self._is_single:
            log.warning("%s", error)
        self._progress.advance()

    def settle(self) -> None:
        """Wait for what is being written."""
        if self._writing is None:
            return
        case, task = self._writing
        task.wait()
        self._writing = None
        try:
            self.made.append(task.result())
        except TorchioSegError as error:
            self.fail(case, error)
        else:
            self._progress.advance()
