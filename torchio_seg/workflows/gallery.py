"""Tables of a training's cases, for its tracker and its own folder: data before training, predictions after it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from torchio_seg.metrics import as_far_as_known
from torchio_seg.reports.pictures import (
    COMPARISON_COLUMNS,
    Drawn,
    comparison_rows,
    data_columns,
    data_rows,
    prediction_columns,
    prediction_rows,
)
from torchio_seg.subjects import read_case_label, read_channels
from torchio_seg.tracking.figures import DATA, PREDICTIONS, TEST, VALIDATION
from torchio_seg.tracking.interface import Shown
from torchio_seg.volumes.geometry import Orientation
from torchio_seg.volumes.source import InMemory
from torchio_seg.workflows.preview import choose_paints, window_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from torchio_seg.config.sections import Preprocessing
    from torchio_seg.progress import Progress
    from torchio_seg.records import Case, Dataset, Split
    from torchio_seg.tracking.guarded import Guarded
    from torchio_seg.tracking.interface import Cell, Rows, Slices
    from torchio_seg.volumes.nifti import Volume
    from torchio_seg.workflows.evaluate import OnPrediction, Predicted

log = logging.getLogger(__name__)

Place = tuple[str, int]
"""A part of the data, and the number of a case in it."""
Audience = tuple["Guarded", Shown]
"""Who wants to see something, and how much."""
Make = Callable[[Drawn, "Slices"], "Iterator[tuple[Cell, ...]]"]

FEW = 3
"""Cases, and slices of each, that are shown after a validation, and of training cases: training waits for them."""
_NAMES = {"training": "train"}
"""What tables call a part, where that is not its name."""


@dataclass(frozen=True)
class _Table:
    """What one of those who want to see something is shown."""

    audience: Guarded
    shown: Shown
    rows: Rows
    make: Make
    only: str | None = None
    """The part of which it shows cases; None: of all."""

    def wants(self, part: str, number: int) -> bool:
        """Whether it shows the n-th case of a part."""
        return self.only in {None, part} and (not self.shown.cases or number < self.shown.cases)


class Gallery:
    """Shows cases to each of several what it wants to see of them; for whom drawing fails, nothing more is drawn."""

    def __init__(
        self,
        audiences: Sequence[Guarded],
        dataset: Dataset,
        preprocessing: Preprocessing,
        *,
        split: Split,
        progress: Progress,
    ) -> None:
        self.audiences = audiences
        self.dataset = dataset
        self.preprocessing = preprocessing
        self.progress = progress
        self._parts = {"train": split.training, "validation": split.validation, "test": split.test}
        self._places = {case: (part, n) for part, ids in self._parts.items() for n, case in enumerate(ids)}
        self._paints = choose_paints(dataset)

    @property
    def trained_on(self) -> tuple[str, ...]:
        """The training cases that are predicted at the end, only to be looked at."""
        wanted = [_few(shown).cases for _, shown in self._watching()]
        return self._parts["train"][: max(wanted, default=0)]

    def show_data(self) -> None:
        """A table of training and validation cases with what is labelled in them."""
        columns = data_columns(len(self.dataset.channels))
        tables = [_Table(who, shown, who.table(DATA, columns), data_rows) for who, shown in self._watching()]
        parts = ("train", "validation")
        chosen = [
            (case_id, (part, number))
            for part in parts
            for number, case_id in enumerate(self._parts[part])
            if any(table.wants(part, number) for table in tables)
        ]
        if not chosen:
            return
        if any(table.shown.slices == "all" for table in tables):
            log.info("drawing every slice of %d cases before training begins", len(chosen))
        self.progress.start("drawing cases", len(chosen))
        try:
            for case_id, place in chosen:
                [case] = self.dataset.choose([case_id])
                self._draw(tables, place, place[1], partial(self._labelled, case, place))
                self.progress.advance()
        finally:
            self.progress.finish()
        for table in tables:
            table.rows.finish()

    @contextmanager
    def predictions(self, part: str, is_last: bool) -> Iterator[OnPrediction | None]:
        """What to call with each case that is predicted inside the block; its end shows them.

        After a validation a few cases are shown, at the end all that is wanted, and a table of the part alone too.
        """
        tables = [table for each in self._watching() for table in self._of_predictions(each, part, is_last=is_last)]
        if not tables:
            yield None
            return
        seen: Counter[str] = Counter()

        def show(predicted: Predicted) -> None:
            place = self._places.get(predicted.case.id, (part, seen.total()))
            self._draw(tables, place, seen[place[0]], partial(self._predicted, predicted, place))
            seen[place[0]] += 1

        yield show
        for table in tables if seen else ():
            table.rows.finish()

    def _watching(self) -> list[Audience]:
        return [(each, shown) for each in self.audiences if (shown := each.shown) is not None]

    def _of_predictions(self, audience: Audience, part: str, *, is_last: bool) -> Iterator[_Table]:
        who, shown = audience
        columns = prediction_columns(len(self.dataset.channels), [each.name for each in self.dataset.labels.regions])
        if not is_last:
            yield _Table(who, _few(shown), who.table(VALIDATION, columns), prediction_rows)
            return
        yield _Table(who, shown, who.table(PREDICTIONS, columns), prediction_rows)
        yield _Table(who, shown, who.table(TEST, COMPARISON_COLUMNS), comparison_rows, only=_NAMES.get(part, part))

    def _draw(self, tables: Sequence[_Table], place: Place, number: int, look: Callable[[], Drawn]) -> None:
        """Rows of a case, the n-th of its part that is looked at, for each table that wants it."""
        look = cache(look)
        for table in tables:
            if table.wants(place[0], number):
                table.audience.attempt(partial(self._add, table, look), None)

    def _add(self, table: _Table, look: Callable[[], Drawn]) -> None:
        drawn = look()
        self.progress.start(f"slices of {drawn.case}", len(drawn.telling_slices(table.shown.slices)))
        try:
            for row in table.make(drawn, table.shown.slices):
                table.rows.add(*row)
                self.progress.advance()
        finally:
            self.progress.finish()

    def _labelled(self, case: Case, place: Place) -> Drawn:
        image = read_channels(case.images, len(self.dataset.channels), nonfinite=self.preprocessing.nonfinite)
        label_map = read_case_label(case, sorted(self.dataset.labels.names)).array[0]
        return self._drawn(case, place, image, label_map)

    def _predicted(self, predicted: Predicted, place: Place) -> Drawn:
        drawn = self._drawn(predicted.case, place, predicted.image, predicted.label_map)
        known = as_far_as_known(predicted.found, predicted.label_map, self.dataset.labels)
        found = Orientation.to_ras(predicted.image.affine).apply(known[None])[0]
        dice = {score.region: score.dice for score in predicted.scores}
        return replace(drawn, predicted=found, dice=dice)

    def _drawn(self, case: Case, place: Place, image: Volume, label_map: NDArray[Any]) -> Drawn:
        orientation = Orientation.to_ras(image.affine)
        turned, labels = orientation.apply(image.array), orientation.apply(label_map[None])[0]
        window, is_ct = self.preprocessing.window, self.dataset.is_ct
        windows = [window or window_of(channel, labels, self._paints, is_ct=is_ct) for channel in turned]
        regions = {region.name: region.labels for region in self.dataset.labels.regions}
        return Drawn(case.id, place, InMemory(turned), windows=windows, label_map=labels, regions=regions)


def _few(shown: Shown) -> Shown:
    slices = FEW if shown.slices == "all" else min(shown.slices, FEW)
    return Shown(min(shown.cases or FEW, FEW), slices)
