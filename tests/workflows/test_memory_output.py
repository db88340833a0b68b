"""The memory benchmark's pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from measured_points import MEGA, TRAINING, bench, filled, taken

from torchio_seg.reports.marks import Text, Triangle
from torchio_seg.workflows.memory_answers import Budget
from torchio_seg.workflows.memory_benchmark import Results
from torchio_seg.workflows.memory_output import picture_of, rows, series_of, write

LIMIT = 1500 * 2**20


def _refuse(results: Results, *edges: int | None, why: str = "memory") -> None:
    for edge in edges:
        point = replace(TRAINING, patch=edge)
        found = taken(results.bench, edge)
        results.measured[point] = replace(found, fits=False, why=why, peak=0, limit=LIMIT, asked=LIMIT + 1)


def _words(results: Results, *budgets: Budget) -> list[str]:
    marks = picture_of("unet", results.points, is_gpu=False, budgets=budgets)
    return [mark.words for mark in marks if isinstance(mark, Text)]


def test_the_curve_goes_on_to_the_whole_volume_and_past_the_patches_without_one(tmp_path: Path) -> None:
    results = filled(tmp_path, (32, 64, None))
    (series,) = series_of(results.points, is_gpu=False)
    assert series.whole is not None
    assert series.whole.how == "measured"
    assert series.whole.edge == pytest.approx((160 * 160 * 96) ** (1 / 3))
    assert series.curve[-1] == pytest.approx((series.whole.edge, series.whole.num_bytes))
    del results.measured[TRAINING]
    (series,) = series_of(results.points, is_gpu=False)
    assert series.whole is None
    assert series.curve[-1][0] == pytest.approx(80)


def test_what_did_not_fit_is_shown_at_its_limit_and_the_curve_runs_above_it(tmp_path: Path) -> None:
    results = filled(tmp_path, (32, 64))
    _refuse(results, 128, None)
    (series,) = series_of(results.points, is_gpu=False)
    assert series.refused[0] == (pytest.approx((128 * 128 * 96) ** (1 / 3)), LIMIT)
    assert series.refused[1] == (series.curve[-1][0], LIMIT)
    assert series.whole is not None
    assert series.whole.how == "by the curve"
    assert series.whole.num_bytes == pytest.approx(taken(results.bench, None).peak)
    assert "memory limit 1500 MiB (1.57 GB)" in _words(results)


def test_a_network_of_which_nothing_fits_says_so_in_its_picture(tmp_path: Path) -> None:
    results = filled(tmp_path, ())
    _refuse(results, 32, None)
    marks = picture_of("unet", results.points, is_gpu=False)
    assert sum(isinstance(mark, Triangle) for mark in marks) == 4, "two, and two of the legend"
    assert "no size was found to fit 1500 MiB (1.57 GB)" in _words(results)
    assert "whole volume: more than 1.57 GB" in _words(results)
    results.measured |= filled(tmp_path, (32,)).points
    assert not any(words.startswith("no size") for words in _words(results))


def test_what_took_too_long_is_no_matter_of_memory(tmp_path: Path) -> None:
    results = filled(tmp_path, (32,))
    _refuse(results, 64, None, why="time")
    (series,) = series_of(results.points, is_gpu=False)
    assert not series.refused
    assert series.whole is None
    del results.measured[replace(TRAINING, patch=32)]
    assert "no size was measured" in _words(results)


def test_only_budgets_of_the_memory_that_is_drawn_are_lines_in_it(tmp_path: Path) -> None:
    results = filled(tmp_path, (32, 64))
    found = _words(results, Budget(6 * 2**30, as_gpu=False), Budget(700 * MEGA, as_gpu=True))
    assert [words for words in found if words.startswith("budget")] == ["budget 6 GiB (6.44 GB)"]


def test_pictures_of_other_networks_stay_as_they_are(tmp_path: Path) -> None:
    results = filled(tmp_path, (32, 64), bench())
    for found in [*results.points.values()]:
        other = replace(found, point=replace(found.point, network="segresnet"))
        results.measured[other.point] = other
    table = rows(results.points)
    names = {"points.csv", "segresnet.svg", "segresnet.png"}
    files = write(tmp_path, results.points, table, is_gpu=False, networks={"segresnet"})
    assert {path.name for path in files} == names == {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "points.csv").read_text().count("unet") == 2
