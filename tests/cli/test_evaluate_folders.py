"""Two folders of label maps: paired by name, held to one grid and one set of labels, scored and written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from small_runs import Call

from torchio_seg.volumes.nifti import create, read_label

AFFINE = np.diag([2.0, 1.0, 1.0, 1.0])


def write(folder: Path, name: str, *boxes: tuple[int, int, int], affine: np.ndarray = AFFINE, ending: str = "") -> None:
    """A label map with these values from one plane to another."""
    folder.mkdir(exist_ok=True)
    label = np.zeros((16, 14, 12), np.uint8)
    for value, first, last in boxes:
        label[first:last, 2:10, 2:9] = value
    create(folder / f"{name}{ending}.nii.gz", label, affine, overwrite=True)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four cases: one right, one moved by 2 mm, one whose second label is missed, one where it is invented."""
    predicted, truth = tmp_path / "predicted", tmp_path / "truth"
    for name, guess, fact in (
        ("a", [(1, 2, 6), (2, 8, 12)], [(1, 2, 6), (2, 8, 12)]),
        ("b", [(1, 3, 7), (2, 9, 13)], [(1, 2, 6), (2, 8, 12)]),
        ("c", [(1, 2, 6)], [(1, 2, 6), (2, 8, 12)]),
        ("d", [(1, 2, 6), (2, 8, 12)], [(1, 2, 6)]),
    ):
        write(predicted, name, *guess, ending="_seg")
        write(truth, name, *fact)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {(row["case"], row["region"]): row for row in csv.DictReader(file)}


def test_every_case_and_class_is_scored_and_written(work: Path, call: Call) -> None:
    result = call("evaluate", "predicted", "--truth", "truth", "--metrics", "all", "--workers", 1)
    assert result.code == 0, result.err
    found = rows(work / "predicted" / "scores.csv")
    assert list(found) == [(case, f"label {value}") for case in "abcd" for value in (1, 2)]
    assert (
        found["a", "label 1"] | {"dice": "1.000000", "hd95": "0.000000", "lesion_f1": "1.000000"}
        == found["a", "label 1"]
    )
    moved = found["b", "label 2"]
    assert (moved["dice"], moved["hd95"], moved["volume_error_ml"]) == ("0.750000", "2.000000", "0.000000")
    missed = found["c", "label 2"]
    assert (missed["dice"], missed["hd95"], missed["missed"], missed["volume_error"]) == (
        "0.000000",
        "n/a",
        "True",
        "-1.000000",
    )
    assert (found["d", "label 2"]["hd95"], found["d", "label 2"]["invented"]) == ("n/a", "True")
    content = json.loads((work / "predicted" / "scores.json").read_text())
    hd95 = content["metrics"]["hd95"]
    assert (hd95["unit"], hd95["better"]) == ("mm", "lower")
    assert [(region["mean"], region["num_scored"]) for region in hd95["regions"]] == [(0.5, 4), (1.0, 2)]
    assert hd95["mean"] == 0.75
    counts = {row["region"]: (row["num_missed"], row["num_invented"]) for row in content["regions"]}
    assert counts == {"label 1": (0, 0), "label 2": (1, 1)}
    assert "hd95 (mm)" in result.out
    assert {path.name for path in (work / "predicted").iterdir() if "scores" in path.name} == {
        "scores.csv",
        "scores.json",
    }


def test_a_missed_region_costs_the_diagonal_where_the_rule_says_so(work: Path, call: Call) -> None:
    call("evaluate", "predicted", "--truth", "truth", "--empty", "one", "-o", "scored", "--workers", 1)
    missed = float(rows(work / "scored" / "scores.csv")["c", "label 2"]["hd95"])
    assert missed == pytest.approx(np.linalg.norm([32, 14, 12]), abs=1e-6)


@pytest.mark.slow
def test_two_processes_find_what_one_finds(work: Path, call: Call) -> None:
    for workers in (1, 2):
        result = call("evaluate", "predicted", "--truth", "truth", "-o", f"by_{workers}", "--workers", workers)
        assert result.code == 0, result.err
    for name in ("scores.csv", "scores.json"):
        assert (work / "by_1" / name).read_bytes() == (work / "by_2" / name).read_bytes()


def test_regions_may_overlap_and_voxels_may_be_left_open(work: Path, call: Call) -> None:
    write(work / "truth", "c", (1, 2, 6), (9, 8, 12))
    regions = ("--region", "both=1,2", "--region", "second=2", "--ignore", 9)
    result = call("evaluate", "predicted", "--truth", "truth", *regions, "--metrics", "dice", "--workers", 1)
    assert result.code == 0, result.err
    found = rows(work / "predicted" / "scores.csv")
    assert found["c", "both"]["dice"] == "1.000000"
    assert found["c", "second"]["dice"] == "n/a"
    assert found["d", "both"]["dice"] == f"{2 / 3:.6f}"


def test_label_maps_stored_along_other_axes_are_turned(work: Path, call: Call) -> None:
    for case in "abcd":
        path = work / "predicted" / f"{case}_seg.nii.gz"
        volume = read_label(path, [0, 1, 2])
        flip = np.diag([-1.0, 1, 1, 1])
        flip[0, 3] = 15
        create(path, volume.array[0][::-1], volume.affine @ flip, overwrite=True)
    assert call("evaluate", "predicted", "--truth", "truth", "--workers", 1).code == 0
    assert rows(work / "predicted" / "scores.csv")["a", "label 2"]["dice"] == "1.000000"


def test_label_maps_without_a_partner_are_named_and_left_out_only_on_demand(work: Path, call: Call) -> None:
    (work / "predicted" / "a_seg.nii.gz").unlink()
    write(work / "predicted", "z", (1, 2, 4))
    result = call("evaluate", "predicted", "--truth", "truth")
    assert result.code == 1
    assert "1 of 4 label maps in truth have none of their name in predicted: a;" in result.err
    assert "1 of 4 label maps in predicted have none of their name in truth: z." in result.err
    result = call("evaluate", "predicted", "--truth", "truth", "--only-pairs", "--workers", 1)
    assert result.code == 0
    assert "left out: 1 of 4 label maps in truth" in result.err
    assert {case for case, _ in rows(work / "predicted" / "scores.csv")} == {"b", "c", "d"}


def test_scores_that_are_there_are_replaced_only_when_asked(work: Path, call: Call) -> None:
    words = ["evaluate", "predicted", "--truth", "truth", "--workers", 1, "--metrics", "dice"]
    assert call(*words).code == 0
    before = (work / "predicted" / "scores.json").read_bytes()
    write(work / "predicted", "b", (1, 2, 6), ending="_seg")
    refused = call(*words)
    assert refused.code == 2
    assert "--overwrite replaces it" in refused.err
    assert (work / "predicted" / "scores.json").read_bytes() == before
    assert call(*words, "--overwrite").code == 0
    assert (work / "predicted" / "scores.json").read_bytes() != before


def test_all_metrics_fit_on_a_screen_of_80_columns(work: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = call("evaluate", "predicted", "--truth", "truth", "--workers", 1, "--metrics", "all").out
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 95  # sentences wrap, tables do not
    assert shown.count("volume_error_ml (ml)") == 1
    assert all(len(line) <= 80 for line in shown.splitlines() if line[:1] in set("│┃├"))


def test_other_grids_are_named_and_nothing_is_written(work: Path, call: Call) -> None:
    write(work / "predicted", "b", (1, 2, 6), affine=np.eye(4), ending="_seg")
    result = call("evaluate", "predicted", "--truth", "truth")
    assert result.code == 1
    assert "1 of 4 predictions are not on the grid of their truth: b (voxels lie up to 15 mm apart)" in result.err
    assert not (work / "predicted" / "scores.csv").exists()


def test_labels_outside_the_set_are_named(work: Path, call: Call) -> None:
    write(work / "predicted", "b", (7, 2, 6), ending="_seg")
    result = call("evaluate", "predicted", "--truth", "truth", "--workers", 1)
    assert result.code == 1
    assert "b_seg.nii.gz: holds the values" in result.err
    assert "7" in result.err
    assert not (work / "predicted" / "scores.csv").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predicted", "--truth", "./predicted"], "predicted and --truth are one folder"),
        (["predicted", "--truth", "nowhere"], "nowhere is not there; give a folder of label maps"),
        (["--truth", "truth"], "name the folder of the predicted ones before it"),
        (["predicted", "--truth", "truth", "--split", "test"], "--split goes with a run or --weights, not --truth"),
        (["predicted", "--only-pairs"], "--only-pairs goes with two folders of label maps"),
        (["predicted", "--truth", "truth", "--region", "core"], "--region core: give a name and its label values"),
        (["predicted", "--truth", "truth", "--metrics", "hd59"], "no metric 'hd59', did you mean 'hd95'?"),
        (["predicted", "--truth", "truth", "--empty", "two"], "--empty: got 'two' (allowed: nan, one, zero)"),
        (["predicted", "--truth", "truth", "--tolerance", "-1"], "give a number of millimetres from 0 on"),
    ],
)
def test_what_cannot_be_meant_is_answered_in_a_sentence(work: Path, call: Call, words: list[str], said: str) -> None:
    result = call("evaluate", *words)
    assert result.code == 2
    assert said in result.err
    assert not list(work.rglob("scores.*"))
