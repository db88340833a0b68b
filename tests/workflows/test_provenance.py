"""Commits and the fingerprint of data."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from torchio_seg.config.resolve import load, shipped
from torchio_seg.records import Split
from torchio_seg.workflows.cases import load_dataset
from torchio_seg.workflows.provenance import commit_of, fingerprint


def test_a_commit_is_named_and_so_are_changes_to_it(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    assert commit_of(tmp_path) is None
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "code.py").write_text("a = 1\n")
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    commit = commit_of(tmp_path)
    assert commit is not None
    assert len(commit) == 40
    (tmp_path / "code.py").write_text("a = 2\n")
    assert commit_of(tmp_path) == f"{commit}+changes"


def test_the_fingerprint_follows_voxels_and_division_not_places(tmp_path: Path) -> None:
    settings = {"dataset.cases": 3, "dataset.shape": [16, 16, 16]}
    dataset = load_dataset(load(shipped()["phantom"], {**settings, "dataset.root": str(tmp_path / "one")}))
    ids = [case.id for case in dataset.cases]
    split = Split((ids[0], ids[1]), (ids[2],))
    before = fingerprint(dataset, split)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    moved = load_dataset(load(shipped()["phantom"], {**settings, "dataset.root": str(tmp_path / "two")}))
    assert fingerprint(moved, split) == before
    assert fingerprint(dataset, Split((ids[0], ids[2]), (ids[1],))) != before
    other = {**settings, "dataset.seed": 1, "dataset.root": str(tmp_path / "three")}
    assert fingerprint(load_dataset(load(shipped()["phantom"], other)), split) != before
