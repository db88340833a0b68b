"""Reports stay readable on a narrow screen, and names stay whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from torchio_seg.check.finding import Finding, Report
from torchio_seg.check.text import gathered, summary, to_lines

ROOT = Path("/data")
LONG = "sub-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789"


def test_only_names_are_longer_than_the_screen() -> None:
    reason = f"holds the same voxels as {ROOT / 'im'}/{LONG}.nii.gz of case {LONG}, which is for training " * 3
    finding = Finding("error", "leaked-image", reason, "keep one " * 30, LONG, ROOT / "im" / f"{LONG}.nii.gz")
    lines = list(to_lines(Report((finding,)), ROOT, width=60))
    assert f"  {LONG}  im/{LONG}.nii.gz" in lines
    assert all(len(line) <= 60 for line in lines if LONG not in line)
    assert sum(line.count(LONG) for line in lines) == 2 + 3 * 2


def test_a_name_with_blanks_is_not_broken() -> None:
    name = "a case of many words in one name"
    finding = Finding("warning", "repeated-image", f"holds the same voxels as {name} " * 5, "keep one", "b")
    text = "\n".join(to_lines(Report((finding,)), ROOT, width=50, names={name}))
    assert text.count(name) == 5


def test_a_finding_about_the_whole_data_set_says_so() -> None:
    finding = Finding("error", "absent-class", "cyst (2) stands nowhere", "correct it")
    assert list(to_lines(Report((finding,)), ROOT))[:3] == [
        "1 error",
        "  whole data set",
        "    cyst (2) stands nowhere; correct it",
    ]


def test_a_finding_is_one_line() -> None:
    finding = Finding("error", "constant-channel", "constant", "drop it", "b", ROOT / "b.nii.gz")
    assert str(finding) == "case b: /data/b.nii.gz: constant; drop it"
    assert str(Finding("error", "layout", "no list", "")) == "no list"


@pytest.mark.parametrize(
    ("files", "read", "seconds", "words"),
    [
        (340, 340, 12.3, "170 cases, 340 files read in 12 s: 0 errors, 1 warning"),
        (340, 0, 0.05, "170 cases, 340 files known from before in 0.1 s: 0 errors, 1 warning"),
        (340, 12, 1.26, "170 cases, 340 files (12 read, 328 known from before) in 1.3 s: 0 errors, 1 warning"),
    ],
)
def test_the_last_line_counts(files: int, read: int, seconds: float, words: str) -> None:
    warning = Finding("warning", "empty-label", "empty", "look")
    assert summary(Report((warning,), 170, files, read, seconds)) == words


def test_what_is_to_be_said_of_several_cases_alike_is_one_sentence() -> None:
    empty = [
        Finding("warning", "empty-label", "nothing is marked", "look", f"c{number}", Path(f"{number}.nii"))
        for number in range(3)
    ]
    other = Finding("warning", "rounded-labels", "5 voxels are rounded", "fine", "c1", Path("1.nii"))
    whole = [Finding("warning", "absent-class", f"{name} is nowhere", "look") for name in ("lung", "heart")]
    assert gathered([*empty, other, *whole]) == [
        "3 cases (c0, c1, c2): nothing is marked; look",
        "case c1: 1.nii: 5 voxels are rounded; fine",
        "lung is nowhere; look",
        "heart is nowhere; look",
    ]
