"""Every command that takes a data set takes it in the same words."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import Call


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> Path:
    """A folder that is downloaded to, with one task in it."""
    monkeypatch.chdir(tmp_path)
    made = call("phantom", "data/Task04_Hippocampus", "--kind", "thorax", "--cases", "5", "--shape", "16,16,16")
    assert made.code == 0, made.err
    return tmp_path


@pytest.mark.parametrize("words", [("check",), ("preview", "--set", "sampling.patch_size=[32,32,32]")])
def test_a_task_is_named_after_a_colon(tasks: Path, call: Call, words: tuple[str, ...]) -> None:
    assert call(*words, "--dataset", "decathlon:Task04").code == 0
    Path("preview.png").unlink(missing_ok=True)
    other = call(*words, "--dataset", "decathlon:Task05")
    assert other.code == 2
    assert "task 'Task05' is not there; data holds Task04_Hippocampus" in other.err


@pytest.mark.parametrize("command", ["check", "preview", "train"])
def test_two_experiments_at_once_are_refused(tasks: Path, call: Call, command: str) -> None:
    both = call(command, "--dataset", "decathlon", "--config", "mine.yaml")
    assert both.code == 2
    assert "--dataset and --config each name" in both.err


def test_the_check_divides_as_training_would(tasks: Path, call: Call) -> None:
    outside = call("check", "--dataset", "decathlon:4", "--fold", "7")
    assert outside.code == 2
    assert "fold 7 of 5" in outside.err
    assert call("check", "--dataset", "decathlon:4", "--fold", "all").code == 0


def test_text_that_yaml_cannot_read_is_to_be_quoted(tasks: Path, call: Call) -> None:
    broken = call("check", "--dataset", "folders", "--root", "data", "--set", "dataset.images={id}/{id}.nii.gz")
    assert broken.code == 2
    assert """quote it twice: --set 'dataset.images="{id}/{id}.nii.gz"'""" in broken.err
