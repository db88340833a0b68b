"""The memory benchmark's tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from measured_points import MEGA, TRAINING, bench, filled, taken

from torchio_seg.workflows.memory_benchmark import Selection
from torchio_seg.workflows.memory_output import rows
from torchio_seg.workflows.memory_tables import as_typed, notes, tables


def test_the_share_of_the_whole_is_told_and_marked_where_it_is_estimated(tmp_path: Path) -> None:
    own = bench()
    results = filled(tmp_path, (32, 64, None), own)
    table = rows(results.points)
    assert [row["of_whole"] for row in table] == [
        pytest.approx(found.memory / taken(own, None).memory, abs=1e-4) for found in results.points.values()
    ]
    refused = replace(taken(own, None), fits=False, why="memory", asked=2 * 10**9)
    results.measured[TRAINING] = refused
    estimated = rows(results.points)
    assert [row["of_whole"] for row in estimated[:2]] == [row["of_whole"] for row in table[:2]]
    (table_of_training,) = tables(estimated)
    first, _, last = table_of_training.parts["fp32"]
    assert first[2].startswith("~")
    assert last == ("whole 160x160x96", "too much", "", "~1.53 GB", "")
    assert any(note.startswith("too much: more than") for note in notes(estimated))
    assert estimated[2]["asked_bytes"] == 2 * 10**9
    assert estimated[2]["estimated_bytes"] == pytest.approx(taken(own, None).peak, rel=1e-6), "of the whole process"


def test_the_notes_say_what_the_table_has_of_what_was_too_much(tmp_path: Path) -> None:
    def told(edges: tuple[int, ...], asked: int = 2 * 10**9, limit: int = 3 * 2**29) -> tuple[str, str]:
        results = filled(tmp_path, edges)
        more = {"fits": False, "why": "memory", "asked": asked, "limit": limit, "peak": 0}
        results.measured[TRAINING] = replace(taken(results.bench, None), **more)
        table = rows(results.points)
        (each,) = tables(table)
        return next(note for note in notes(table) if note.startswith("too much")), each.parts["fp32"][-1][3]

    start = "too much: more than 1.5 GiB (1.61 GB)"
    assert told((32, 64)) == (f"{start}; ~ is what the process would take, by the line", "~1.53 GB")
    assert told((32,)) == (f"{start}; > is what it had when it was ended", "> 2 GB")
    assert told((32,), asked=0) == (start, "")
    assert told((32,), asked=0, limit=2 * 10**9) == ("too much: more than 2 GB", "")


def test_every_limit_that_was_exceeded_is_told_and_where_the_time_starts(tmp_path: Path) -> None:
    results = filled(tmp_path, ())
    for edge, limit in ((32, 2**30), (64, 10**9)):
        failed = replace(taken(results.bench, edge), fits=False, why="memory", limit=limit)
        results.measured[failed.point] = failed
    slow = replace(taken(results.bench, None), fits=False, why="time", most_seconds=60.0)
    results.measured[slow.point] = slow
    found = list(notes(rows(results.points)))
    assert "too much: more than 1 GB or 1 GiB (1.07 GB)" in found
    assert "too slow: more than 1 min, from the end of the imports on" in found


@pytest.mark.parametrize(
    ("num_bytes", "words"),
    [
        (6 * 2**30, "6 GiB (6.44 GB)"),
        (3 * 2**29, "1.5 GiB (1.61 GB)"),
        (1500 * 2**20, "1500 MiB (1.57 GB)"),
        (500 * 10**6, "500 MB"),
        (12 * 10**9, "12 GB"),
        (2**30 + 4096, "1.07 GB"),
    ],
)
def test_a_limit_is_told_as_it_was_typed(num_bytes: int, words: str) -> None:
    assert as_typed(num_bytes) == words


def test_every_prediction_is_compared_with_one_estimate_of_the_whole_volume(tmp_path: Path) -> None:
    results = filled(tmp_path, ())
    for point in Selection(("unet",), (32, 64), ("fp32",), training=False).points():
        found = replace(taken(results.bench, point.patch), point=point)
        more = found.voxels * (0 if point.aggregation == "streaming" else 1000)  # each way has a line of its own
        failed = {} if point.patch is not None else {"fits": False, "why": "memory"}
        results.measured[point] = replace(found, peak=found.peak + more, **failed)
    shown = [row for row in rows(results.points) if row["fits"]]
    assert len(shown) == 14
    wholes = {round(row["memory_bytes"] / row["of_whole"] / MEGA, -1) for row in shown}
    assert len(wholes) == 1, "of_whole has four places"


def test_only_trainings_of_one_time_stand_beside_each_other_and_the_time_is_told(tmp_path: Path) -> None:
    results = filled(tmp_path, (32, 64, None))

    def trained(patch: int | None, max_time: str, dice: float) -> dict[str, Any]:
        return {"network": "unet", "patch": patch, "precision": "fp32", "max_time": max_time, "dice": dice}

    long = [trained(32, "2h", 0.9), trained(64, "2h", 0.8)]
    accuracy = [*long, trained(32, "10m", 0.5), trained(None, "10m", 0.4)]
    shown = {time: rows(results.points, accuracy, time) for time in (None, "10m", "2h", "1m")}
    assert [row["dice"] for row in shown[None]] == [row["dice"] for row in shown["10m"]] == [0.5, None, 0.4]
    assert [row["dice"] for row in shown["2h"]] == [0.9, 0.8, None]
    assert [row["trained_for"] for row in shown["2h"]] == ["2h", "2h", None]
    assert any(note.startswith("Dice: of the best model after 2h") for note in notes(shown["2h"]))
    assert [table.columns[-1] for table in tables(shown["1m"])] == ["time"]
    assert not any("Dice" in note for note in notes(shown["1m"]))


def test_every_table_fits_eighty_columns(tmp_path: Path) -> None:
    own = bench((240, 240, 155))
    results = filled(tmp_path, (), own)
    for point in Selection(("resencunet",), (128,), ("fp32",)).points():
        found = taken(own, point.patch)
        failed = replace(found, fits=False, why="memory", asked=999 * 10**9)
        results.measured[point] = replace(
            found if point.patch else failed, point=point, seconds=3599.0, peak=999 * 10**9
        )
    dice = [{"network": "resencunet", "patch": 128, "precision": "fp32", "max_time": "10m", "dice": 0.9}]
    for table in tables(rows(results.points, dice)):
        lines_ = [table.columns, *(("  " + row[0], *row[1:]) for part in table.parts.values() for row in part)]
        widths = [max(len(line[place]) for line in lines_) for place in range(len(table.columns))]
        headings = max(map(len, table.parts))
        assert max(widths[0], headings) + sum(widths[1:]) + 3 * len(widths) + 1 <= 80, table.title
