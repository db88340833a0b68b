"""Tables of a training's cases for its tracker: the data before the first step, predictions after validations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from torchio_seg.reports.pictures import (
    COMPARISON_COLUMNS,
    Scan,
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
from torchio_seg.workflows.preview import choose_paints, window_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from torchio_seg.config.sections import Preprocessing
    from torchio_seg.progress import Progress
    from torchio_seg.records import Case, Dataset, Split
    from torchio_seg.tracking.guarded import Guarded
    from torchio_seg.tracking.interface import Cell, Rows, Slices
    from torchio_seg.volumes.nifti import Volume
    from torchio_seg.workflows.evaluate import OnPrediction, Predicted

Place = tuple[str, int]
"""A part of the data, and the number of a case in it."""
Table = tuple["Rows", "Callable[[Scan, Slices], Iterator[tuple[Cell, ...]]]"]
"""With what makes its rows."""

MOST_IN_BETWEEN = 3
"""Cases, of each of which one slice is shown, after a validation: training waits while they are drawn."""


class Gallery:
    """Shows a tracker what it wants to see of the cases; should drawing fail, the tracker is let go of."""

    def __init__(self, tracker: Guarded, dataset: Dataset, preprocessing: Preprocessing) -> None:
        self.tracker = tracker
        self.dataset = dataset
        self.preprocessing = preprocessing
        self._paints = choose_paints(dataset)

    def show_data(self, split: Split, progress: Progress) -> None:
        """A table of training and validation cases with what is labelled in them."""
        if (shown := self.tracker.shown) is None:
            return
        parts = {"train": split.training, "validation": split.validation}
        chosen = [(part, n, case) for part, ids in parts.items() for n, case in enumerate(_first(ids, shown.cases))]
        rows = self.tracker.table(DATA, data_columns(len(self.dataset.channels)))
        progress.start("drawing cases", len(chosen))
        try:
            for part, number, case_id in chosen:
                [case] = self.dataset.choose([case_id])
                self.tracker.attempt(partial(self._add_data, rows, case, (part, number), shown.slices), None)
                progress.advance()
        finally:
            progress.finish()
        rows.finish()

    @contextmanager
    def predictions(self, part: str, is_last: bool) -> Iterator[OnPrediction | None]:
        """What to call with each case that is predicted inside the block; its end shows them.

        After a validation a few cases are shown, at the end all that is wanted, and a table of the test too.
        """
        if (shown := self.tracker.shown) is None:
            yield None
            return
        shown = shown if is_last else _few(shown)
        regions = [region.name for region in self.dataset.labels.regions]
        columns = prediction_columns(len(self.dataset.channels), regions)
        tables: list[Table] = [(self.tracker.table(PREDICTIONS if is_last else VALIDATION, columns), prediction_rows)]
        if is_last:
            tables.append((self.tracker.table(TEST, COMPARISON_COLUMNS), comparison_rows))
        num_seen = 0

        def show(predicted: Predicted) -> None:
            nonlocal num_seen
            num_seen += 1
            if not shown.cases or num_seen <= shown.cases:
                self.tracker.attempt(partial(self._add_predicted, tables, predicted, (part, num_seen - 1), shown), None)

        yield show
        for rows, _ in tables if num_seen else ():
            rows.finish()

    def _add_data(self, rows: Rows, case: Case, place: Place, slices: Slices) -> None:
        image = read_channels(case.images, len(self.dataset.channels), nonfinite=self.preprocessing.nonfinite)
        label_map = read_case_label(case, sorted(self.dataset.labels.names)).array[0]
        for row in data_rows(self._scan(case, place, image, label_map), slices):
            rows.add(*row)

    def _add_predicted(self, tables: Sequence[Table], predicted: Predicted, place: Place, shown: Shown) -> None:
        scan = self._scan(predicted.case, place, predicted.image, predicted.label_map)
        scan = self._with_prediction(scan, predicted)
        for rows, make in tables:
            for row in make(scan, shown.slices):
                rows.add(*row)

    def _scan(self, case: Case, place: Place, image: Volume, label_map: NDArray[Any]) -> Scan:
        orientation = Orientation.to_ras(image.affine)
        turned, labels = orientation.apply(image.array), orientation.apply(label_map[None])[0]
        window, is_ct = self.preprocessing.window, self.dataset.is_ct
        windows = [window or window_of(channel, labels, self._paints, is_ct=is_ct) for channel in turned]
        regions = {region.name: region.labels for region in self.dataset.labels.regions}
        return Scan(case.id, place, turned, windows=windows, label_map=labels, regions=regions, predicted={}, dice={})

    def _with_prediction(self, scan: Scan, predicted: Predicted) -> Scan:
        masks = Orientation.to_ras(predicted.image.affine).apply(predicted.masks)
        names = (region.name for region in self.dataset.labels.regions)
        dice = {score.region: score.dice for score in predicted.scores}
        return replace(scan, predicted=dict(zip(names, masks, strict=True)), dice=dice)


def _first(ids: tuple[str, ...], number: int) -> tuple[str, ...]:
    return ids[:number] if number else ids


def _few(shown: Shown) -> Shown:
    return Shown(cases=min(shown.cases or MOST_IN_BETWEEN, MOST_IN_BETWEEN), slices=1)
