"""torchio-seg plan, and train on a layout that no experiment is shipped for."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import Call

from torchio_seg.config.resolve import load

OWN_LAYOUT = """
from torchio_seg.datasets import folders


def build(root):
    return folders.build(root, label_names={1: "left lung", 2: "right lung", 3: "heart", 4: "oesophagus", 5: "cord"})
"""
SMALL = ("--set", "device=cpu", "--set", "split.validation=1", "--set", "sampling.num_workers=0")


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> Path:
    monkeypatch.chdir(tmp_path)
    assert (
        call("phantom", "scans", "--layout", "folders", "--kind", "thorax", "--cases", "4", "--shape", "24").code == 0
    )
    return tmp_path


@pytest.mark.parametrize("budget", ["much", "8", "8 apples", "-1GiB", "0GiB", "8XB"])
def test_a_budget_that_is_no_amount_is_one_message(scans: Path, call: Call, budget: str) -> None:
    wrong = call("plan", "--dataset", "folders", "--root", "scans", f"--ram-budget={budget}")
    assert wrong.code == 2
    assert f"--ram-budget {budget}: give an amount of memory above 0 with its unit, as 8GiB" in wrong.err


def test_a_time_that_is_none_is_one_message(scans: Path, call: Call) -> None:
    wrong = call("plan", "--dataset", "folders", "--root", "scans", "--max-time", "soon")
    assert wrong.code == 2
    assert "give a time as 90s, 30m" in wrong.err


def test_a_plan_is_not_replaced_unasked(scans: Path, call: Call) -> None:
    Path("plan.yaml").write_text("mine")
    refused = call("plan", "--dataset", "folders", "--root", "scans")
    assert refused.code == 2
    assert "plan.yaml is there already" in refused.err
    assert Path("plan.yaml").read_text() == "mine"


def test_a_name_that_is_nothing_lists_what_there_is(scans: Path, call: Call) -> None:
    wrong = call("plan", "--dataset", "foldrs", "--root", "scans")
    assert wrong.code == 2
    assert "no shipped experiment or layout 'foldrs', did you mean 'folders'?" in wrong.err


def test_the_plan_is_shown_and_written(scans: Path, call: Call) -> None:
    words = ("--dataset", "folders", "--root", "scans", "--max-time", "1h", "--vram-budget", "2GiB", *SMALL)
    done = call("plan", *words, "-o", "mine.yaml")
    assert done.code == 0, done.err
    assert "train --config mine.yaml" in done.out
    for what in ("voxel size", "patch", "batch", "network", "RAM", "VRAM         not known", "an epoch"):
        assert f"  {what}" in done.out, what
    assert load(Path("mine.yaml")).training.max_time == "1h"
    assert Path("mine.fingerprint.json").is_file()


@pytest.mark.slow
def test_a_layout_of_ones_own_is_planned_and_trained(scans: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mine.py").write_text(OWN_LAYOUT)
    monkeypatch.syspath_prepend(str(scans))
    short = ("--set", "sampling.patches_per_case=1")
    done = call("train", "--dataset", "mine.build", "--root", "scans", "--epochs", "1", *SMALL, *short, "-o", "run")
    assert done.code == 0, done.err
    assert "no experiment is called mine.build, so one is planned" in done.out
    text = Path("run/plan.yaml").read_text()
    assert "no mirroring: what few steps teach" in " ".join(text.replace("#", "").split())
    assert load(Path("run/plan.yaml")).training.epochs == 1
    assert Path("run/plan.fingerprint.json").is_file()


def test_a_network_that_does_not_fit_is_a_sentence(scans: Path, call: Call) -> None:
    words = ("--dataset", "folders", "--root", "scans", "--max-time", "1h", *SMALL)
    wrong = call("plan", *words, "--set", "loss.dice_weight=0", "--set", "loss.ce_weight=0")
    assert wrong.code == 2
    assert "Traceback" not in wrong.err


def test_a_plan_finds_what_was_prepared_for_it(scans: Path, call: Call) -> None:
    words = ("--dataset", "folders", "--root", "scans", "--set", "sampling.store=store")
    assert call("prepare", *words, "--set", "split.validation=1").code == 0
    kept = sorted(path.name for path in Path("store").rglob("*"))
    one = ("--set", "training.channels_last=false", "--set", "training.batch_size=1")  # one trial is enough for this
    assert call("plan", *words, "--max-time", "200h", *SMALL, *one).code == 0  # no machine is too busy for its grid
    assert sorted(path.name for path in Path("store").rglob("*")) == kept


@pytest.mark.slow
def test_a_cross_validation_of_a_layout_follows_one_plan(scans: Path, call: Call) -> None:
    settings = ("sampling.patches_per_case=1", "split.folds=2", "sampling.patch_size=[24,24,24]")
    short = [word for setting in settings for word in ("--set", setting)]
    words = ("crossval", "--dataset", "folders", "--root", "scans", "--epochs", "1", *SMALL, *short, "-o", "cv")
    done = call(*words)
    assert done.code == 0, done.err
    assert load(Path("cv/plan.yaml")).sampling.patch_size == (24, 24, 24)
    again = call(*words)
    assert again.code == 0, again.err
    assert "goes on by the plan that it was begun with" in again.err
