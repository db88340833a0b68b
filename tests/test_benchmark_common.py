"""What benchmarks share, and that all of them do."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
BENCHMARKS = REPOSITORY / "benchmarks"
NO_MEASUREMENTS = {"common", "write_docs", "phantom_pictures", "accuracy_picture"}
SCRIPTS = sorted(path for path in BENCHMARKS.glob("*.py") if path.stem not in NO_MEASUREMENTS)


@pytest.fixture
def common(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import common as module

    yield module
    del sys.modules["common"]


def test_each_round_has_every_name_once_and_is_begun_by_another(common: ModuleType) -> None:
    order: list[tuple[int, str]] = []
    found = common.in_turn(("a", "b", "c"), 4, lambda name, number: order.append((number, name)) or number)
    assert found == {name: [0, 1, 2, 3] for name in "abc"}
    assert [name for number, name in order if number == 1] == ["b", "c", "a"]
    assert len(order) == len(set(order)) == 12


def test_figures_are_told_by_median_and_quartiles(common: ModuleType) -> None:
    runs = [{"wall_s": float(value)} for value in (5, 1, 3, 2, 4)]
    assert common.medians(runs, ("wall_s",)) == {"wall_s": 3.0, "wall_s_quartiles": [2.0, 4.0]}
    assert common.medians(runs[:1], ("wall_s",)) == {"wall_s": 5.0, "wall_s_quartiles": [5.0, 5.0]}
    (row,) = common.rows("by", {"us": runs}, ("wall_s",))
    assert row["by"] == "us"
    assert row["runs"] == runs


def test_work_and_memory_of_a_run_are_its_own(common: ModuleType) -> None:
    def work() -> None:
        bytearray(b"x") * (64 * 2**20)
        sum(range(200_000))

    found = common.measured(work)
    assert 50 < found["peak_mib"] < 200
    assert 0 < found["cpu_s"] < 10 * found["wall_s"]


def test_a_result_is_strict_and_says_where_it_comes_from(
    common: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["benchmarks/bench_x.py", "--root", "/some/where/Task04", "--folder", "/tmp/x", "--rounds", "3"]  # noqa: S108
    monkeypatch.setattr(sys, "argv", words)
    common.keep(tmp_path / "new" / "x.json", "seconds", ("numpy", "no-such-package"), {"results": [1.5]})
    found = json.loads((tmp_path / "new" / "x.json").read_text())
    assert found["command"] == "python benchmarks/bench_x.py --root Task04 --rounds 3"
    assert set(found["machine"]["versions"]) == {"numpy"}
    assert {"what", "commit", "machine", "results"} <= set(found)
    with pytest.raises(ValueError, match="JSON"):
        common.keep(tmp_path / "bad.json", "seconds", (), {"results": [float("nan")]})
    assert not (tmp_path / "bad.json").exists()


def test_quick_results_are_no_results(common: ModuleType) -> None:
    def output(*words: str) -> Path:
        given: argparse.Namespace = common.parser("words", rounds=3).parse_args(words)
        return Path(common.output_of(given, "x"))

    assert output() == BENCHMARKS / "results" / "x.json"
    assert output("--quick") == REPOSITORY / "build" / "benchmarks" / "x.json"
    assert output("--quick", "--output", "y.json") == Path("y.json")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_benchmark_uses_what_they_share_and_is_run_by_make_bench(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "common.parser(" in text
    assert "common.keep(" in text
    assert "given.quick" in text
    for private in ("ArgumentParser(", "write_text(", "statistics.quantiles", "statistics.median"):
        allowed = path.stem in {"tracking", "bench_accuracy"} and private != "ArgumentParser("
        assert allowed or private not in text, private
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    (quick,) = re.findall(r"^QUICK := (.*)$", makefile, re.MULTILINE)
    assert path.stem in quick.split()
