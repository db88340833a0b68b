"""`torchio-seg prepare` and `store` as a user types them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_runs import TINY, Call

from torchio_seg import lock
from torchio_seg.volumes.nifti import create, read


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCHIO_SEG_STORE", str(tmp_path / "store"))
    return tmp_path


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("store/cases/[!.]*/case.json"))


def test_what_is_prepared_is_what_training_takes(here: Path, call: Call) -> None:
    prepared = call("prepare", "--dataset", "phantom", *TINY)
    assert prepared.code == 0, prepared.err
    assert re.search(rf"8 cases ready, 2\.\d+ MB in {here / 'store'}", prepared.out)
    made = {path: path.parent.stat().st_ctime_ns for path in entries(here)}
    assert len(made) == 8
    trained = call("train", "--dataset", "phantom", *TINY, "--epochs", 1)
    assert trained.code == 0, trained.err
    assert "preparing" not in trained.err
    assert {path: path.parent.stat().st_ctime_ns for path in entries(here)} == made
    listed = call("store", "list")
    assert re.search(r"phantom\w*: voxels as they are, float16\n +8 cases +2\.\d+ MB +used today", listed.out)
    assert "clean" not in listed.out


def test_what_changed_is_of_no_use_and_cleaned(here: Path, call: Call) -> None:
    call("prepare", "--dataset", "phantom", *TINY)
    image = here / "data/phantom/imagesTr/phantom_002.nii.gz"
    shutil.copy(here / "data/phantom/imagesTr/phantom_001.nii.gz", image)
    (here / "data/phantom/labelsTr/phantom_003.nii.gz").unlink()
    draft = here / "store/cases/.0123.tmp"
    draft.mkdir()
    assert "torchio-seg store clean takes away what is of no use" in call("store", "list").out.replace("\n", " ")
    would = call("store", "clean", "--dry-run")
    assert "2 entries" in would.out
    assert "would be taken away" in would.out
    assert len(entries(here)) == 8
    done = call("store", "clean")
    assert "phantom_002.nii.gz, which has changed" in done.out
    assert len(entries(here)) == 7
    assert not draft.exists()
    assert "nothing to take away" in call("store", "clean").out
    assert re.search(r"phantom_003: \d+ kB, its files are gone", call("store", "clean", "--gone").out)
    assert "6 entries" in call("store", "clean", "--unused-for", 0).out
    assert entries(here) == []
    assert "holds no prepared case" in call("store", "list").out


def test_a_store_in_use_is_not_cleaned(here: Path, call: Call) -> None:
    call("prepare", "--dataset", "phantom", *TINY)
    with lock.together(here / "store" / "in-use"):
        refused = call("store", "clean", "--all")
    assert refused.code == 1
    assert "is in use by another process; wait" in refused.err
    assert len(entries(here)) == 8
    assert call("store", "clean", "--all").code == 0
    assert entries(here) == []


def test_a_running_training_keeps_its_store(here: Path, call: Call) -> None:
    command = [sys.executable, "-m", "torchio_seg", "train", "--dataset", "phantom", *TINY, "--epochs", "500"]
    with subprocess.Popen(command, cwd=here, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as training:
        try:
            deadline = time.monotonic() + 300
            while not list(here.glob("runs/phantom/*/checkpoints/last")) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert call("store", "clean", "--all").code == 1
            assert entries(here)
        finally:
            training.kill()
    assert call("store", "clean", "--all").code == 0


def test_a_folder_that_cannot_be_made_is_named(here: Path, call: Call) -> None:
    (here / "file").write_text("x")
    for command in (["prepare", "--dataset", "phantom", *TINY], ["train", "--dataset", "phantom", *TINY]):
        result = call(*command, "--set", f"sampling.store={here / 'file' / 'store'}")
        assert result.code == 1
        assert "sampling.store=FOLDER or TORCHIO_SEG_STORE" in result.err


def test_weighted_patches_need_their_maps(here: Path, call: Call) -> None:
    call("prepare", "--dataset", "phantom", *TINY)
    weighted = ["train", "--dataset", "phantom", *TINY, "--set", "sampling.mode=weighted", "--epochs", 1]
    assert "mode weighted and a map belong together" in call(*weighted).err
    assert "it must hold {case}" in call(*weighted, "--set", "sampling.map=map.nii.gz").err
    maps = [*weighted, "--set", "sampling.map=maps/{case}.nii.gz"]
    missing = call(*maps)
    assert missing.code == 1
    assert "maps/phantom_" in missing.err
    (here / "data/phantom/maps").mkdir()
    for path in (here / "data/phantom/labelsTr").glob("*.nii.gz"):
        label = read(path)
        create(here / "data/phantom/maps" / path.name, 1 + 9 * (label.array[0] > 0).astype(np.float32), label.affine)
    trained = call(*maps)
    assert trained.code == 0, trained.err
    assert "with a sampling map" in " ".join(call("store", "list").out.split())


def test_unknown_classes_are_named_with_those_there_are(here: Path, call: Call) -> None:
    call("phantom", "cohort", "--cases", 5)
    result = call("train", "--dataset", "phantom", *TINY, "--set", "sampling.classes=[oedem]")
    assert result.code == 2
    assert "the data set has no oedem; it has" in result.err
    assert "whole_tumor" in result.err
