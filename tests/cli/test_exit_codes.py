"""What a command ends with: 2 where what was typed or configured is wrong, 1 where the work on it failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import Call

TYPED = (
    ("predict", "gone.nii.gz"),
    ("predict", "notes.txt"),
    ("predict", "slice.dcm"),
    ("predict", "scan.nii.gz", "--model", "gone"),
    ("predict", "scan.nii.gz", "--model", "empty"),
    ("evaluate", "gone"),
    ("evaluate", "empty"),
    ("evaluate", "gone", "--truth", "empty"),
    ("evaluate", "empty", "--truth", "gone"),
    ("train", "--dataset", "gone"),
    ("train", "--config", "gone.yaml"),
    ("train", "--config", "notes.txt"),
    ("train", "--resume", "gone"),
    ("train", "--resume", "empty"),
    ("train", "--dataset", "phantom", "--init-from", "gone"),
    ("train", "--dataset", "phantom", "--set", "training.epochs=none"),
    *((command, "--dataset", "decathlon", "--root", "gone") for command in ("train", "check", "prepare", "preview")),
    ("train", "--dataset", "decathlon"),
    ("plan", "--dataset", "folders", "--root", "gone"),
    ("crossval", "--dataset", "decathlon", "--root", "gone"),
    ("benchmark", "memory", "--dataset", "decathlon", "--root", "gone"),
    ("export", "gone", "--to", "onnx", "-o", "model.onnx"),
    ("runs", "--runs", "gone"),
    ("runs", "compare", "empty", "gone"),
    ("track", "sync", "gone"),
    ("datasets", "gone"),
    ("download", "gone"),
    ("phantom", "new", "--kind", "head"),
    ("phantom", "new", "--channels", "9"),
    ("phantom", "new", "--layout", "btcv", "--channels", "3"),
    ("phantom", "new", "--layout", "brats2021", "--channels", "3"),
)
FAILED = (
    *(
        ("check", "--dataset", layout, "--root", "empty")
        for layout in ("decathlon", "brats", "btcv", "table", "folders", "nnunet")
    ),
    ("train", "--dataset", "decathlon", "--root", "empty"),
    ("plan", "--dataset", "folders", "--root", "empty"),
    ("crossval", "--dataset", "decathlon", "--root", "empty"),
    ("check", "--dataset", "table", "--root", "notes.txt"),
    ("evaluate", "empty", "--truth", "other"),
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("scan.nii.gz", "slice.dcm", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    for name in ("empty", "other"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("code", "words"),
    [*((2, words) for words in TYPED), *((1, words) for words in FAILED)],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_wrong_words_end_with_2_and_failed_work_with_1(
    place: Path, call: Call, code: int, words: tuple[str, ...]
) -> None:
    before = sorted(place.rglob("*"))
    result = call(*words)
    assert result.code == code, result.err
    assert "unexpected" not in result.err
    assert sorted(place.rglob("*")) == before
