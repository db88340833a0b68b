"""The largest patch for a budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from measured_points import MEGA, TRAINING, bench, filled, taken

from torchio_seg.workflows.memory_answers import Answer, Budget, answer, find_largest_patch, read_budgets, sizes_of
from torchio_seg.workflows.memory_benchmark import Results, Selection, read
from torchio_seg.workflows.memory_tables import answer_notes, answer_tables


def shown(answer: Answer) -> str:
    (table,) = answer_tables([answer])
    return " ".join(word for part in table.parts.values() for row in part for word in row)


def test_the_largest_patch_fits_and_the_next_does_not(tmp_path: Path) -> None:
    results = filled(tmp_path, (32, 48, 64, 80, 96, 112, 128))
    budget = Budget(round(300 * MEGA + 500 * 100**3), as_gpu=False)
    answer = find_largest_patch(results, TRAINING, sizes_of(results.bench, "unet"), budget, verify=True)
    assert answer.largest is not None
    assert answer.next is not None
    assert (answer.largest.size, answer.next.size) == ((96, 96, 96), (112, 112, 96))
    assert answer.largest.num_bytes <= budget.num_bytes < answer.next.num_bytes
    assert shown(answer) == "fp32 96x96x96 742 MB 112x112x96 902 MB"
    assert answer.to_json()["largest"] == {"size": [96, 96, 96], "bytes": 742368000, "tried": True, "why": ""}


def test_a_budget_beyond_what_may_be_taken_is_answered_by_the_line_and_says_so(tmp_path: Path) -> None:
    results = filled(tmp_path, (32, 64), bench(limit=500 * MEGA))
    answer = find_largest_patch(
        results, TRAINING, sizes_of(results.bench, "unet"), Budget(800 * MEGA, as_gpu=False), verify=True
    )
    assert answer.largest is not None
    assert answer.largest.found is None
    assert shown(answer) == "fp32 96x96x96 ~742 MB 112x112x96 ~902 MB"
    assert any("by the line alone" in note for note in answer_notes([answer], is_gpu=False))


def test_what_was_measured_to_exceed_a_budget_is_not_named_by_the_line(tmp_path: Path) -> None:
    results = filled(tmp_path, (32, 64, 96))
    more = taken(results.bench, 64)
    results.measured[more.point] = replace(more, peak=more.peak + 90 * MEGA)
    budget = Budget(more.peak + 50 * MEGA, as_gpu=False)
    found = find_largest_patch(results, TRAINING, sizes_of(results.bench, "unet"), budget, verify=False)
    assert found.largest is not None
    assert found.next is not None
    assert (found.largest.size, found.next.size) == ((48, 48, 48), (64, 64, 64))
    assert found.next.num_bytes == more.peak + 90 * MEGA


@pytest.mark.parametrize(("budget", "is_tried"), [(2**30, True), (2**30 + 1, False)])
def test_main_memory_stands_for_a_gpus_where_imports_have_room_beside_it(
    tmp_path: Path, budget: int, is_tried: bool
) -> None:
    results = filled(tmp_path, (32, 48), bench((64, 64, 64), limit=2 * 2**30))
    slow = replace(taken(results.bench, 64), fits=False, why="time", most_seconds=10**6)
    results.measured[slow.point] = slow
    sizes = {edge: (edge, edge, edge) for edge in (32, 48, 64)}
    found = find_largest_patch(results, TRAINING, sizes, Budget(budget, as_gpu=True), verify=True)
    assert found.largest is not None
    assert found.largest.size == ((48, 48, 48) if is_tried else (64, 64, 64)), "by the line alone nothing is too slow"


def test_a_size_that_took_too_long_is_not_named_and_larger_ones_are_not_tried(tmp_path: Path) -> None:
    results = filled(tmp_path, (32, 64, 80))
    slow = replace(TRAINING, patch=96)
    results.measured[slow] = replace(taken(results.bench, 96), fits=False, why="time", most_seconds=600.0)
    answer = find_largest_patch(
        results, TRAINING, sizes_of(results.bench, "unet"), Budget(10**12, as_gpu=False), verify=True
    )
    assert shown(answer) == "fp32 80x80x80 556 MB 96x96x96 too slow"
    assert len(results.points) == 4


@pytest.mark.parametrize(
    ("budget", "title"),
    [
        (Budget(6 * 2**30, as_gpu=False), "largest patch for 6 GiB (6.44 GB)"),
        (Budget(12 * 2**30, as_gpu=True), "largest patch for 12 GiB (12.9 GB) of a GPU"),
        (Budget(700 * MEGA, as_gpu=False), "largest patch for 700 MB"),
    ],
)
def test_a_budget_is_told_as_it_was_given(budget: Budget, title: str) -> None:
    (table,) = answer_tables([Answer(TRAINING, budget, None, None, None)])
    assert table.title == title


def test_too_few_patches_name_nothing(tmp_path: Path) -> None:
    budget = Budget(10**9, as_gpu=True)
    answer = find_largest_patch(filled(tmp_path, (32,)), TRAINING, {32: (32, 32, 32)}, budget, verify=False)
    assert shown(answer).strip() == "fp32 not known"
    assert len(list(answer_notes([answer], is_gpu=False))) == 2, "why, and that a CPU is no GPU"


def test_a_later_run_keeps_what_an_earlier_one_named_and_names_the_same_anew(tmp_path: Path) -> None:
    results = filled(tmp_path, (32, 64))
    chosen = Selection(("unet",), (32, 64), ("fp32",), (False,), prediction=False, whole=False)
    answer(results, chosen, read_budgets(400 * MEGA, 500 * MEGA), verify=False)
    again = Results.open(results.path, results.bench)
    further = taken(again.bench, 80)
    again.measured[further.point] = further
    again.save()
    kept = {each["budget_bytes"]: each["next"]["tried"] for each in read(again.path)["answers"]}
    assert kept == {400 * MEGA: True, 500 * MEGA: False}, "80 was not measured then"
    answer(again, chosen, read_budgets(500 * MEGA, 600 * MEGA), verify=False)
    named = {each["budget_bytes"]: each["next"]["tried"] for each in read(again.path)["answers"]}
    assert named == {400 * MEGA: True, 500 * MEGA: True, 600 * MEGA: False}
    assert len(again.answers) == 2


def test_budgets_are_those_that_were_given() -> None:
    assert read_budgets(None, None) == []
    assert read_budgets(10, 20) == [Budget(10, as_gpu=False), Budget(20, as_gpu=True)]
