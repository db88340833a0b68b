"""Scores as files: what is written of what was scored, missed, invented and empty."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from torchio_seg.metrics import mean_dice, summarize
from torchio_seg.records import RegionScore
from torchio_seg.reports.scores import COLUMNS, write_scores

SCORES = [
    RegionScore("a, b", "liver", 2 / 3, 10, 20),
    RegionScore("a, b", "tumour", 0.0, 5, 0),
    RegionScore("c", "liver", 0.0, 0, 7),
    RegionScore("c", "tumour", None, 0, 0),
]
MEASURED = {"scored": SCORES[0], "missed": SCORES[1], "invented": SCORES[2], "empty": SCORES[3]}


@pytest.fixture(scope="module")
def stem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stem = tmp_path_factory.mktemp("scores") / "test"
    summaries = summarize(SCORES)
    write_scores(stem, SCORES, summaries=summaries, mean=mean_dice(summaries), facts={"part": "test", "epoch": 3})
    return stem


def test_two_files_are_written_and_nothing_else(stem: Path) -> None:
    assert {path.name for path in stem.parent.iterdir()} == {"test.csv", "test.json"}


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("scored", ["a, b", "liver", "0.666667", "10", "20", "False", "False"]),
        ("missed", ["a, b", "tumour", "0.000000", "5", "0", "True", "False"]),
        ("invented", ["c", "liver", "0.000000", "0", "7", "False", "True"]),
        ("empty", ["c", "tumour", "n/a", "0", "0", "False", "False"]),
    ],
)
def test_a_line_of_the_csv(stem: Path, what: str, expected: list[str]) -> None:
    with stem.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == list(COLUMNS)
    assert len(rows) == len(SCORES)
    assert rows[SCORES.index(MEASURED[what])] == expected


@pytest.mark.parametrize("what", MEASURED)
def test_a_case_of_the_json_is_exact(stem: Path, what: str) -> None:
    content = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
    score = MEASURED[what]
    assert content["cases"][SCORES.index(score)] == {
        "case": score.case,
        "region": score.region,
        "dice": score.dice,
        "true_voxels": score.true_voxels,
        "predicted_voxels": score.predicted_voxels,
        "missed": what == "missed",
        "invented": what == "invented",
    }


def test_the_json_says_what_was_scored_and_sums_it_up(stem: Path) -> None:
    content = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
    assert (content["part"], content["epoch"]) == ("test", 3)
    assert content["mean_dice"] == pytest.approx((1 / 3 + 0) / 2)  # liver: 2/3 and invented; tumour: missed only
    counts = {
        row["region"]: (row["num_scored"], row["num_missed"], row["num_invented"], row["num_empty"])
        for row in content["regions"]
    }
    assert counts == {"liver": (2, 0, 1, 0), "tumour": (1, 1, 0, 1)}


def test_nothing_scored_is_still_a_pair_of_files(tmp_path: Path) -> None:
    write_scores(tmp_path / "none", [], summaries=[], mean=None, facts={})
    assert (tmp_path / "none.csv").read_text(encoding="utf-8") == ",".join(COLUMNS) + "\n"
    assert json.loads((tmp_path / "none.json").read_text(encoding="utf-8")) == {
        "mean_dice": None,
        "regions": [],
        "metrics": {},
        "cases": [],
    }
