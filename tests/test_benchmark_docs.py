"""docs/benchmarks.md says what lies in benchmarks/results."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from torchio_seg import components

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results"
PAGE = (REPOSITORY / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_the_page_and_its_pictures_are_in_step_with_the_results() -> None:
    command = [sys.executable, "benchmarks/write_docs.py", "--check"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_result_has_a_section_with_a_command_that_is_there() -> None:
    sections = dict(part.partition("\n")[::2] for part in PAGE.split("\n## ")[1:])
    names = {title.partition(":")[0].lower(): text for title, text in sections.items()}
    assert names.keys() == {path.stem.replace("_", " ") for path in RESULTS.glob("*.json")}
    for name, text in names.items():
        assert "`python benchmarks/" in text, name
    scripts = {word for line in PAGE.splitlines() for word in line.strip("`").split() if word.startswith("benchmarks/")}
    for script in scripts:
        if script.rstrip("`,").endswith(".py"):
            assert (REPOSITORY / script.rstrip("`,")).exists(), script


def test_every_shipped_network_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    selection = importlib.import_module("bench_memory")
    assert {network for network, work in selection.PARTS if work == "training"} == set(components.names("networks"))


def test_results_are_strict_json() -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    for path in RESULTS.glob("*.json"):
        json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
