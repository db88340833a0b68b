"""What the user may name, and which cases come of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from torchio_seg.errors import DataError, UsageError
from torchio_seg.records import Case
from torchio_seg.subjects import read_channels
from torchio_seg.volumes.nifti import create
from torchio_seg.workflows.inputs import find_cases

BRATS = ("FLAIR", "T1w", "T1gd", "T2w")


def volume(path: Path, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    create(path, np.zeros((channels, 4, 4, 4), np.int16), np.eye(4))
    return path


def four_files(folder: Path, name: str, endings: tuple[str, ...] = BRATS, mark: str = "_") -> list[Path]:
    return [volume(folder / f"{name}{mark}{ending}.nii.gz") for ending in endings]


def test_a_file_of_all_channels_is_a_case(tmp_path: Path) -> None:
    path = volume(tmp_path / "sub.01.nii.gz", 4)
    [case] = find_cases([str(path)], BRATS)
    assert (case.id, case.images) == ("sub.01", (path,))


@pytest.mark.parametrize(
    ("endings", "mark"),
    [(BRATS, "_"), (("flair", "t1w", "t1gd", "t2w"), "-"), (("0000", "0001", "0002", "0003"), "_")],
)
def test_files_of_one_channel_are_grouped_by_the_ends_of_their_names(
    tmp_path: Path, endings: tuple[str, ...], mark: str
) -> None:
    first = four_files(tmp_path, "a", endings, mark)
    second = four_files(tmp_path, "b", endings, mark)
    cases = find_cases([str(tmp_path)], BRATS)
    assert [(case.id, list(case.images)) for case in cases] == [("a", first), ("b", second)]


def test_channels_can_be_assigned_in_any_order(tmp_path: Path) -> None:
    files = dict(zip(BRATS, four_files(tmp_path, "p"), strict=True))
    [case] = find_cases([f"{channel}={files[channel]}" for channel in reversed(BRATS)], BRATS)
    assert case.images == tuple(files.values())
    assert case.id == "p"


def test_folders_patterns_and_files_can_be_mixed(tmp_path: Path) -> None:
    volume(tmp_path / "one" / "a.nii.gz")
    volume(tmp_path / "two" / "b.nii")
    (tmp_path / "one" / "notes.txt").write_text("x")
    volume(tmp_path / "one" / ".partial-1.nii.gz")
    cases = find_cases([str(tmp_path / "one"), str(tmp_path / "t*" / "*.nii")], ["MRI"])
    assert [case.id for case in cases] == ["a", "b"]


def test_a_file_of_all_channels_may_have_a_name_that_ends_like_a_channel(tmp_path: Path) -> None:
    whole = volume(tmp_path / "pat_0003.nii.gz", 4)
    split = four_files(tmp_path, "other")
    assert find_cases([str(tmp_path)], BRATS) == [Case("pat_0003", (whole,)), Case("other", tuple(split))]


@pytest.mark.parametrize("name", ["broken.nii.gz", "pat_0003.nii.gz"])
def test_a_file_that_cannot_be_read_is_a_case_whose_own_error_comes_later(tmp_path: Path, name: str) -> None:
    good = volume(tmp_path / "good.nii.gz", 4)
    broken = tmp_path / name
    broken.write_bytes(b"not a volume")
    cases = find_cases([str(tmp_path)], BRATS)
    assert {case.images for case in cases} == {(good,), (broken,)}
    with pytest.raises(DataError, match="not gzip"):
        read_channels((broken,), len(BRATS))


def test_a_channel_that_cannot_be_read_stays_with_its_case(tmp_path: Path) -> None:
    files = four_files(tmp_path, "a")
    files[2].write_bytes(b"")
    assert find_cases([str(tmp_path)], BRATS) == [Case("a", tuple(files))]


@pytest.mark.parametrize(
    ("endings", "mark"),
    [(("flair", "t1", "t1ce", "t2", "seg"), "_"), (("t2f", "t1n", "t1c", "t2w", "seg"), "-")],
)
def test_folders_of_brats_are_cases_and_their_label_maps_are_no_image(
    tmp_path: Path, endings: tuple[str, ...], mark: str
) -> None:
    files = {name: four_files(tmp_path / "set" / name, name, endings, mark)[:4] for name in ("case1", "case2")}
    expected = [Case(name, tuple(paths)) for name, paths in files.items()]
    assert find_cases([str(tmp_path / "set")], BRATS) == expected
    assert find_cases([str(tmp_path / "set" / "case2")], BRATS) == expected[1:]
    with pytest.raises(UsageError, match="only label maps"):
        find_cases([str(tmp_path / "set" / "case1" / f"case1{mark}seg.nii.gz")], BRATS)


def test_files_of_one_name_are_called_by_as_many_of_their_folders_as_tell_them_apart(tmp_path: Path) -> None:
    files = {name: volume(tmp_path / name / "ct.nii.gz") for name in ("a/p1", "a/p2", "b/p1")}
    volume(tmp_path / "a" / "p1" / "mr.nii.gz")
    for inputs in ([str(tmp_path / "a")], [str(tmp_path / "a" / "p?" / "*.gz")]):
        assert {case.id for case in find_cases(inputs, ["CT"])} == {"p1_ct", "p2_ct", "mr"}
    cases = find_cases([str(file) for file in files.values()], ["CT"])
    assert {case.id: case.images[0] for case in cases} == {
        f"{name.replace('/', '_')}_ct": file for name, file in files.items()
    }


def test_a_file_is_called_by_the_folders_that_a_link_to_it_lies_in(tmp_path: Path) -> None:
    for name in ("p1", "p2"):
        store = volume(tmp_path / "store" / f"hash of {name}" / "content.nii.gz")
        (tmp_path / name).mkdir()
        (tmp_path / name / "ct.nii.gz").symlink_to(store)
    cases = find_cases([str(tmp_path / name) for name in ("p1", "p2")], ["CT"])
    assert [case.id for case in cases] == ["p1_ct", "p2_ct"]


def test_cases_of_several_channels_with_one_name_are_told_apart_by_their_folders_too(tmp_path: Path) -> None:
    files = {name: four_files(tmp_path / name, "scan") for name in ("p1", "p2")}
    cases = find_cases([str(tmp_path)], BRATS)
    assert cases == [Case(f"{name}_scan", tuple(parts)) for name, parts in files.items()]


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        (["gone.nii.gz"], UsageError, "no file or folder gone"),
        (["no*.nii.gz"], UsageError, "matches"),
        (["empty"], UsageError, "holds no"),
        (["FLAIR=a_FLAIR.nii.gz", "T1w=a_T1w.nii.gz"], UsageError, "no file for channel T1gd, T2w"),
        (["a_FLAIR.nii.gz", "a_T1w.nii.gz"], DataError, "no file for channel T1gd, T2w"),
        (["single.nii.gz"], DataError, "has 1 channel, the model takes 4"),
        (
            ["FLAIR=gone.nii.gz", *(f"{c}=a_{c}.nii.gz" for c in BRATS[1:])],
            UsageError,
            "no file for channel FLAIR: gone.nii.gz does not exist",
        ),
        (["FLAIR=a_FLAIR.nii.gz", "flair=a_0000.nii.gz"], UsageError, "channel FLAIR is given twice"),
        (
            ["FLAIR=a_FLAIR.nii.gz", "T3w=a_T1w.nii.gz"],
            UsageError,
            "T3w=a_T1w.nii.gz names none of the model's channels",
        ),
        (["FLARE=a_FLAIR.nii.gz"], UsageError, "no channel 'FLARE', did you mean 'FLAIR'"),
        (["a_FLAIR.nii.gz", "a_0000.nii.gz"], UsageError, "are both channel FLAIR of a"),
        (["x/same.nii.gz", "y/../x/same.nii.gz"], UsageError, "one name, same_seg"),
        (["x/same.nii.gz", "y/same.nii.gz", "x_same.nii.gz"], UsageError, "one name, x_same_seg"),
    ],
)
def test_what_cannot_be_a_case_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: list[str], error: type[Exception], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    four_files(Path(), "a")
    volume(Path("a_0000.nii.gz"))
    volume(Path("single.nii.gz"))
    volume(Path("x/same.nii.gz"), 4)
    volume(Path("y/same.nii.gz"), 4)
    volume(Path("x_same.nii.gz"), 4)
    with pytest.raises(error, match=words):
        find_cases(inputs, BRATS)
