"""Who is shown which cases, and what is said meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from torchio_seg.config.sections import Preprocessing
from torchio_seg.metrics import score_label_maps
from torchio_seg.progress import Silent
from torchio_seg.records import Case, Dataset, Labels, Split
from torchio_seg.subjects import read_case_label, read_channels
from torchio_seg.tracking.guarded import Guarded
from torchio_seg.tracking.interface import Cell, Nothing, Shown
from torchio_seg.volumes.nifti import create
from torchio_seg.workflows.evaluate import Predicted
from torchio_seg.workflows.gallery import Gallery

SHAPE = (6, 5, 8)
SPLIT = Split(training=("t0", "t1", "t2", "t3"), validation=("v0", "v1"), test=("e0", "e1"))


class Looking(Nothing):
    """Keeps rows, or fails at the first."""

    def __init__(self, cases: int, slices: Any, *, fails: bool = False) -> None:
        self.shown = Shown(cases, slices)
        self.fails = fails
        self.tables: dict[str, list[tuple[Cell, ...]]] = {}

    def table(self, key: str, columns: Sequence[str]) -> Any:  # noqa: ARG002 (the contract of trackers)
        rows = self.tables[key] = []
        fails = self.fails

        class Rows:
            def add(self, *cells: Cell) -> None:
                if fails:
                    raise ConnectionError("gone")
                rows.append(cells)

            def finish(self) -> None:
                """Nothing to close."""

        return Rows()


class Watching(Silent):
    """Counts the parts of each piece of work against what was announced."""

    def __init__(self) -> None:
        self.open: list[list[Any]] = []
        self.done: list[tuple[str, int, int]] = []

    def start(self, what: str, total: int | None) -> None:
        self.open.append([what, total, 0])

    def advance(self, parts: int = 1, **figures: float) -> None:  # noqa: ARG002 (the protocol's)
        self.open[-1][2] += parts

    def finish(self) -> None:
        self.done.append(tuple(self.open.pop()))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    cases = []
    for name in (*SPLIT.training, *SPLIT.validation, *SPLIT.test):
        label = np.zeros(SHAPE, np.uint8)
        label[1:4, 1:3, 2:6] = 1
        files = tmp_path / f"{name}.nii.gz", tmp_path / f"{name}_label.nii.gz"
        create(files[0], np.random.default_rng(0).normal(size=SHAPE).astype(np.float32), np.eye(4))
        create(files[1], label, np.eye(4))
        cases.append(Case(name, (files[0],), files[1]))
    return Dataset("d", ("MR",), Labels.of_classes({0: "background", 1: "liver"}), tuple(cases))


def gallery_for(dataset: Dataset, *looking: Looking) -> tuple[Gallery, Watching]:
    progress = Watching()
    audiences = [Guarded("theirs", lambda each=each: each) for each in looking]  # type: ignore[misc]
    return Gallery(audiences, dataset, Preprocessing(), split=SPLIT, progress=progress), progress


def predicted(dataset: Dataset, case_id: str) -> Predicted:
    """As the truth has it."""
    [case] = dataset.choose([case_id])
    label_map = read_case_label(case, [0, 1]).array[0]
    scores = score_label_maps(case_id, label_map, label_map, dataset.labels)
    return Predicted(case, read_channels(case.images, 1), label_map, label_map, scores)


def places(rows: Sequence[tuple[Cell, ...]]) -> list[tuple[Cell, ...]]:
    return list(dict.fromkeys(row[:2] for row in rows))


def test_the_data_is_shown_to_each_as_far_as_it_is_wished(dataset: Dataset) -> None:
    few, all_of_it = Looking(1, 2), Looking(0, "all")
    gallery, progress = gallery_for(dataset, few, all_of_it)
    gallery.show_data()
    assert places(few.tables["media/data"]) == [("train", 0), ("validation", 0)]
    assert len(few.tables["media/data"]) == 4
    whole = [*(("train", n) for n in range(4)), ("validation", 0), ("validation", 1)]
    assert places(all_of_it.tables["media/data"]) == whole
    assert len(all_of_it.tables["media/data"]) == 6 * SHAPE[2]
    assert all(total == done for _, total, done in progress.done), "all that was announced is done"
    assert ("slices of t0", SHAPE[2], SHAPE[2]) in progress.done
    assert progress.done[-1] == ("drawing cases", 6, 6)
    assert not progress.open


def test_one_whose_drawing_fails_takes_nothing_from_the_others(dataset: Dataset) -> None:
    failing, other = Looking(2, 1, fails=True), Looking(2, 1)
    gallery, progress = gallery_for(dataset, failing, other)
    gallery.show_data()
    assert len(other.tables["media/data"]) == 4
    assert gallery.trained_on == ("t0", "t1")
    assert not progress.open


@pytest.mark.parametrize(("cases", "wanted"), [(1, ("t0",)), (20, ("t0", "t1", "t2")), (0, ("t0", "t1", "t2"))])
def test_of_training_cases_no_more_than_a_few_are_predicted(
    cases: int, wanted: tuple[str, ...], dataset: Dataset
) -> None:
    gallery, _ = gallery_for(dataset, Looking(cases, "all"))
    assert gallery.trained_on == wanted
    assert gallery_for(dataset)[0].trained_on == ()


def test_predictions_stand_under_their_part_and_only_those_that_are_scored_in_the_test(dataset: Dataset) -> None:
    looking = Looking(1, 1)
    gallery, _ = gallery_for(dataset, looking)
    with gallery.predictions("validation", False) as show:
        assert show is not None
        show(predicted(dataset, "v1"))  # as where only some cases have their turn
        show(predicted(dataset, "v0"))
    assert places(looking.tables["media/validation_predictions"]) == [("validation", 1)]
    with gallery.predictions("test", True) as show:
        assert show is not None
        for case in ("t0", "e0", "e1"):
            show(predicted(dataset, case))
    assert places(looking.tables["media/predictions"]) == [("train", 0), ("test", 0)]
    assert [row[0] for row in looking.tables["media/test_predictions"]] == ["e0"]
    with gallery.predictions("training", True) as show:
        assert show is not None
        show(predicted(dataset, "t1"))
    assert [row[0] for row in looking.tables["media/test_predictions"]] == ["t1"]


def test_nobody_who_looks_costs_nothing(dataset: Dataset) -> None:
    gallery, progress = gallery_for(dataset)
    gallery.show_data()
    with gallery.predictions("test", True) as show:
        assert show is None
    assert progress.done == []


def test_a_case_is_recorded_with_all_its_scores(dataset: Dataset) -> None:
    assert predicted(dataset, "e0").record == {
        "kind": "case",
        "case": "e0",
        "dice": {"liver": 1.0},
        "measured": {},
    }
