"""torchio-seg benchmark memory, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_runs import Call

WORDS = ("benchmark", "memory", "--device", "cpu", "--shape", "32,32,32", "--precisions", "fp32", "--work", "training")


def test_a_folder_that_is_a_file_and_a_wrong_word_are_refused_before_anything_is_measured(
    call: Call, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    refused = call(*WORDS, "-o", tmp_path / "taken")
    assert refused.code == 2
    assert "name a folder" in refused.err
    for place in (tmp_path / "taken" / "below", "/proc/nowhere"):
        refused = call(*WORDS, "-o", place)
        assert refused.code == 2
        assert "cannot be made" in refused.err
        assert "name another folder" in refused.err
    assert "--shape 0,32,32" in call(*WORDS, "--shape", "0,32,32", "-o", tmp_path / "new").err
    assert "--accuracy-time soon" in call(*WORDS, "--accuracy-time", "soon", "-o", tmp_path / "new").err
    assert "fp64" in call(*WORDS, "--precisions", "fp64", "-o", tmp_path / "new").err
    for option in ("--memory-limit", "--ram-budget", "--vram-budget"):
        assert f"{option} 10: give an amount" in call(*WORDS, option, "10", "-o", tmp_path / "new").err
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_accuracy_stands_beside_memory_and_is_not_trained_for_twice(call: Call, tmp_path: Path) -> None:
    words = (
        *(*WORDS, "--patches", "16", "--checkpointing", "off", "--with-accuracy", "--accuracy-time", "8s"),
        *("-o", tmp_path / "out", "--set", "network.channels=[4,8]", "--set", "dataset.cases=6"),
    )
    first = call(*words)
    assert first.code == 0, first.err
    found = json.loads((tmp_path / "out" / "points.json").read_text())["accuracy"]
    assert [(each["network"], each["patch"], each["max_time"]) for each in found] == [
        ("unet", 16, "8s"),
        ("unet", None, "8s"),
    ]
    assert all(0 <= each["dice"] <= 1 and each["steps"] > 1 for each in found)
    for each in found:
        assert f"{each['dice']:.3f}" in first.out
    kept = (tmp_path / "out" / "points.json").read_bytes()
    assert call(*words).code == 0
    assert (tmp_path / "out" / "points.json").read_bytes() == kept
    refused = call(*words, "--set", "optimization.learning_rate=0.5")
    assert refused.code == 2
    assert "settings.optimization.learning_rate" in refused.err


@pytest.mark.slow
def test_a_limit_that_no_point_meets_is_told_and_the_command_ends_well(call: Call, tmp_path: Path) -> None:
    done = call(
        *WORDS,
        "--patches",
        "16",
        "--checkpointing",
        "off",
        "--memory-limit",
        "300MB",
        "-o",
        tmp_path / "out",
        "--set",
        "network.channels=[8,16]",
    )
    assert done.code == 0
    assert done.out.count("too much ") == 2
    assert "too much: more than 300 MB" in done.out
    assert max(map(len, done.out.splitlines())) <= max(80, len(str(tmp_path)) + 40), "paths alone are longer"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"points.json", "points.csv", "unet.svg", "unet.png"}
    points = json.loads((tmp_path / "out" / "points.json").read_text())["points"]
    assert all(point["fits"] is False and point["asked"] >= 3e8 for point in points)
