"""`torchio-seg download` and `torchio-seg datasets`, as far as they go without a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import Call

from torchio_seg.cli.datasets import WIDEST
from torchio_seg.config.resolve import shipped


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def a_task(folder: Path) -> None:
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
        (folder / name / "a.nii.gz").write_bytes(b"x")
    (folder / "dataset.json").write_text(
        '{"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "a"},'
        ' "training": [{"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}]}'
    )


@pytest.mark.parametrize("name", ["decathlon:Task04", "decathlon:4", "Task04_Hippocampus", "HIPPOCAMPUS"])
def test_what_is_there_is_left_alone_and_can_be_trained(call: Call, name: str) -> None:
    a_task(Path("data/Task04_Hippocampus"))
    result = call("download", name)
    assert result.code == 0
    assert "data/Task04_Hippocampus: 1 cases with labels already, nothing to do" in result.out
    assert "train --dataset decathlon --root data/Task04_Hippocampus" in result.out


def test_brats_means_the_first_task_and_trains_the_brats_experiment(call: Call) -> None:
    a_task(Path("elsewhere"))
    a_task(Path("data/Task01_BrainTumour"))
    assert "train --dataset brats --root data/Task01_BrainTumour" in call("download", "brats").out
    assert "train --dataset brats --root elsewhere" in call("download", "brats", "--root", "elsewhere").out


def test_something_else_in_its_place_is_neither_used_nor_touched(call: Call) -> None:
    a_task(Path("data/Task04_Hippocampus"))
    Path("data/Task04_Hippocampus/labelsTr/a.nii.gz").unlink()
    result = call("download", "hippocampus")
    assert result.code == 1
    assert "holds something else than the complete data set; move it away" in result.err
    assert "labelsTr/a.nii.gz" in result.err
    assert Path("data/Task04_Hippocampus/dataset.json").exists()


def test_a_file_in_its_place_is_refused(call: Call) -> None:
    Path("file").write_text("x")
    result = call("download", "hippocampus", "--root", "file")
    assert (result.code, "file is a file" in result.err) == (2, True)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("btcv", "synapse.org/Synapse:syn3193805"),
        ("lctsc", "www.cancerimagingarchive.net/collection/lctsc"),
        ("brats2021", "syn27046444"),
        ("BRATS2018", "www.med.upenn.edu/cbica/brats2020"),
        ("decathlon", "torchio-seg download decathlon:Task04"),
        ("folders", "--root YOUR_FOLDER"),
    ],
)
def test_what_no_command_fetches_is_explained(call: Call, name: str, words: str) -> None:
    result = call("download", name)
    assert result.code == 2
    assert f"{name} is not fetched by a command" in result.err
    assert words in result.err
    assert list(Path().iterdir()) == []


def test_an_unknown_name_is_answered_with_the_nearest_one(call: Call) -> None:
    for command in ("download", "datasets"):
        result = call(command, "hipocampus")
        assert result.code == 2
        assert "did you mean 'hippocampus'" in result.err
        assert "Task10_Colon" in result.err


def test_the_list_says_where_data_was_found_and_where_not(call: Call) -> None:
    before = call("datasets").out
    assert "not there: data/decathlon" in before
    assert "made when it is first trained" in before
    a_task(Path("data/decathlon"))
    after = call("datasets").out
    assert "found in data/decathlon" in after
    assert "not there: data/decathlon" not in after
    for name in shipped():
        assert f"\n{name} (" in f"\n{after}"


def test_a_data_set_is_explained_with_the_experiments_that_use_it(call: Call) -> None:
    result = call("datasets", "decathlon:Task04")
    assert result.code == 0
    for words in ("1 anterior, 2 posterior", "CC BY-SA 4.0", "about 28 MB", "download decathlon:Task04", "decathlon: "):
        assert words in result.out


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_experiment_can_be_asked_for(call: Call, name: str) -> None:
    result = call("datasets", name)
    assert result.code == 0
    assert f"{name}: " in result.out


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_wider_than_the_screen(call: Call, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in ((), ("brats",), ("btcv",), ("lctsc",), ("datalist",), ("Task03",)):
        lines = call("datasets", *words).out.splitlines()
        commands = [line for line in lines if "torchio-seg" in line]  # the way to the program is as long as it is
        assert max(len(line) for line in lines if line not in commands) <= min(columns, WIDEST)
