"""What `torchio-seg runs` tells is what the runs wrote down."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from small_runs import Call

from torchio_seg.config.dumping import to_yaml
from torchio_seg.config.resolve import load, shipped
from torchio_seg.errors import UsageError
from torchio_seg.workflows import runs
from torchio_seg.workflows.overview import compare, look_at, survey_runs


def write(run: Path, records: list[dict[str, Any]], **changes: Any) -> Path:
    run.mkdir(parents=True)
    experiment = load(shipped()["phantom"], {key.replace("__", "."): value for key, value in changes.items()})
    (run / "config.yaml").write_text(to_yaml(experiment))
    (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return run


def validation(epoch: int, dice: float | None, *, improved: bool) -> dict[str, Any]:
    by_region = {"core": dice, "edema": None}
    found = {"mean_dice": dice, "dice": by_region, "improved": improved}
    return {"kind": "validation", "epoch": epoch, "step": 10 * epoch, **found}


def test_the_best_is_that_of_the_best_checkpoint_not_the_last_nor_the_highest_ever(tmp_path: Path) -> None:
    records = [
        {"kind": "step", "epoch": 0, "step": 1, "loss": 1.0},
        validation(1, 0.4, improved=True),
        validation(2, 0.6, improved=True),
        validation(3, 0.7, improved=False),
        {"kind": "evaluation", "part": "test", "mean_dice": 0.5, "epoch": 2, "step": 20},
    ]
    found = look_at(write(tmp_path / "run", records, training__epochs=7))
    assert (found.best_dice, dict(found.evaluations)) == (0.6, {"test": 0.5})
    assert (found.position, found.planned) == ({"epoch": 3, "step": 30}, ("epochs", 7))


def test_what_was_evaluated_afterwards_counts_where_it_is_the_later(tmp_path: Path) -> None:
    end = {"kind": "evaluation", "part": "test", "mean_dice": 0.5, "epoch": 3, "step": 30, "time": 100}
    run = write(tmp_path / "run", [end])
    (run / "evaluation").mkdir()
    case = {"kind": "case", "part": "test", "case": "a", "dice": {"core": 0.9}}
    for part, time in (("test", 200), ("validation", 50)):
        records = [case, {**end, "part": part, "mean_dice": time / 1000, "time": time}]
        (run / "evaluation" / f"{part}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    assert dict(look_at(run).evaluations) == {"test": 0.2, "validation": 0.05}
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({**end, "mean_dice": 0.6, "time": 300}) + "\n")
    assert look_at(run).evaluations["test"] == 0.6


def test_how_many_steps_fit_the_time_is_known_once_the_run_knows(tmp_path: Path) -> None:
    timed = {"training__max_time": "1h"}
    budget = {"kind": "budget", "num_steps": 840, "step": 20, "epoch": 0}
    assert look_at(write(tmp_path / "a", [], **timed)).planned is None
    assert look_at(write(tmp_path / "b", [budget], **timed)).planned == ("steps", 840)


def test_runs_are_found_in_series_too_once_and_newest_last(tmp_path: Path) -> None:
    for number, name in enumerate(("phantom/new", "phantom/cv/fold_0", "phantom/cv/fold_1")):
        write(tmp_path / name, [validation(1, 0.1, improved=True)])
        record = tmp_path / name / "metrics.jsonl"
        os.utime(record, (1000 - number, 1000 - number))
    (tmp_path / "latest").symlink_to("phantom/new")
    (tmp_path / "phantom" / "broken").mkdir()
    (tmp_path / "phantom" / "broken" / "config.yaml").write_text("a: [")
    found, unreadable = survey_runs(tmp_path)
    assert [run.folder.name for run in found] == ["fold_1", "fold_0", "new"]
    assert len(unreadable) == 1
    assert "broken cannot be read" in unreadable[0]


def test_a_run_that_is_trained_now_is_told_from_one_that_was(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [])
    with runs.locked(run):
        assert look_at(run).is_running
    assert not look_at(run).is_running


def test_a_run_tells_what_has_become_of_it(tmp_path: Path) -> None:
    end = {"kind": "evaluation", "part": "test", "mean_dice": 0.5, "epoch": 1, "step": 10}
    step = {"kind": "step", "epoch": 3.5, "step": 35}
    two = [validation(epoch, 0.4, improved=True) for epoch in (1, 2)]
    for name, records, state in (
        ("new", [], "stopped before its first step"),
        ("crashed", [*two, {**step, "epoch": 2.1, "step": 21}], "stopped at step 21"),
        ("ended", [*two, validation(3, 0.4, improved=False)], "finished"),
        ("patient", [*two, end], "finished"),
        ("longer", [*two, end, step], "stopped at step 35"),
    ):
        run = write(tmp_path / name, records, training__epochs=3 if name != "longer" else 5)
        assert look_at(run).state == state, name
    with runs.locked(run):
        assert look_at(run).state == "running"


def test_what_differs_is_shown_and_nothing_else(tmp_path: Path) -> None:
    one = write(tmp_path / "one", [validation(1, 0.4, improved=True)], network__dropout=0.5)
    other = write(tmp_path / "other", [validation(1, 0.6, improved=True)], network__name="segresnet")
    result = compare(one, other)
    assert result.settings["network.name"] == ("unet", "segresnet")
    assert result.settings["network.dropout"] == (0.5, 0.2)
    assert result.settings["network.init_filters"][0] is None
    assert not {key for key in result.settings if not key.startswith("network.")}
    assert dict(result.dice) == {"core": (0.4, 0.6), "edema": (None, None), "mean": (0.4, 0.6)}
    with pytest.raises(UsageError, match="is not a run"):
        compare(one, tmp_path)


def test_scores_of_other_cases_are_said_to_be(tmp_path: Path, call: Call) -> None:
    folders = [write(tmp_path / name, [validation(1, 0.4, improved=True)]) for name in ("one", "other", "third")]
    for folder, cases in zip(folders, (["a", "b"], ["b", "a"], ["a", "c"]), strict=True):
        split = {"training": [], "validation": cases, "test": [], "origin": "as given"}
        (folder / "run.json").write_text(json.dumps({"split": split}))
    assert [compare(folders[0], other).same_cases for other in folders[1:]] == [True, False]
    assert "do not compare the models" in call("runs", "compare", folders[0], folders[2]).out
    assert "do not compare the models" not in call("runs", "compare", folders[0], folders[1]).out


def test_the_command_lists_and_compares(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = write(tmp_path / "runs" / "a" / "one", [validation(2, 0.4, improved=True)], training__epochs=3)
    write(tmp_path / "runs" / "a" / "other", [], training__epochs=4)
    listed = call("runs").out
    assert "runs/a/one\n    phantom, unet   2 of 3 epochs   stopped at step 20              best Dice 0.400" in listed
    assert "best Dice n/a" in listed
    compared = call("runs", "compare", one, "runs/a/other").out
    assert "training.epochs" in compared
    assert "network" not in compared
    assert call("runs", "compare", one, tmp_path).code == 2
    assert call("runs", "--runs", "nowhere").code == 2


def test_nothing_of_a_comparison_is_cut_on_a_narrow_terminal(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    steps = [{"name": "scale_shift", "probability": 1.0, "scale": 0.125, "shift": 0.375}]
    best = {**validation(1, 0.4, improved=True), "measured": {"hd95": 12.5, "hd95/core": 12.5}}
    write(tmp_path / "runs" / "a" / "one", [best], training__activation_checkpointing=True, training__clip_norm=None)
    write(tmp_path / "runs" / "a" / "other", [], augmentation__intensity=steps, training__clip_norm=5.0)
    monkeypatch.setenv("COLUMNS", "80")
    lines = call("runs", "compare", "runs/a/one", "runs/a/other").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[:2] == ["A  runs/a/one", "B  runs/a/other"]
    text = " ".join(" ".join(lines).replace("│", " ").split())
    assert "…" not in text
    assert "training.activation_checkpointing True False" in text
    assert "training.clip_norm null 5.0" in text
    for word in ("scale_shift:", "0.125,", "0.375"):
        assert word in text
    assert "hd95 12.500 n/a" in text
