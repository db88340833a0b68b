from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from torchio_seg.errors import UsageError
from torchio_seg.workflows import runs


def test_latest_points_to_the_newest_run(tmp_path: Path) -> None:
    folders = [runs.create(tmp_path, "brain") for _ in range(3)]
    assert (tmp_path / "latest").resolve() == folders[-1].resolve()
    assert not (tmp_path / "latest").readlink().is_absolute()


def test_trainings_that_begin_in_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: runs.create(tmp_path, "brain"), range(60)))
    assert len(set(folders)) == 60


def test_a_file_in_the_way_of_the_runs_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(UsageError, match=r"runs/brain.* cannot be made"):
        runs.create(tmp_path / "runs", "brain")


def test_a_folder_that_holds_anything_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("x")
    with pytest.raises(UsageError, match="already holds"):
        runs.claim(tmp_path)
    assert runs.claim(tmp_path / "new" / "run") is None


def test_two_trainings_cannot_write_to_one_folder(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from torchio_seg.workflows import runs\n"
        "with runs.locked(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with pytest.raises(UsageError, match="another training"), runs.locked(tmp_path):
            pass
        other.kill()
    with runs.locked(tmp_path):
        pass


def test_the_journal_is_strict_json_even_for_what_is_not_finite(tmp_path: Path) -> None:
    journal = runs.Journal(tmp_path / "metrics.jsonl")
    journal.log({"kind": "step", "loss": math.nan, "norm": math.inf, "step": 1})
    text = (tmp_path / "metrics.jsonl").read_text()
    found = json.loads(text, parse_constant=pytest.fail)
    assert found.pop("time") == pytest.approx(time.time(), abs=600)
    assert found == {"kind": "step", "loss": None, "norm": None, "step": 1}
    journal.finish()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "st')
    again = runs.Journal(tmp_path / "metrics.jsonl")
    assert len(runs.read_journal(tmp_path / "metrics.jsonl")) == 1
    again.log({"kind": "validation", "step": 1})
    again.log({"kind": "step", "step": 2})
    again.log({"kind": "validation", "step": 2})
    again.log({"kind": "step", "step": 3})
    again.keep_until(2, 1)
    again.log({"kind": "step", "step": 3, "again": True})
    again.finish()
    kept = runs.read_journal(tmp_path / "metrics.jsonl")
    assert [(each["step"], each.get("again")) for each in kept if each["kind"] == "step"] == [
        (1, None),
        (2, None),
        (3, True),
    ]
    assert [each["step"] for each in kept if each["kind"] == "validation"] == [1], "the second is done again"


def test_a_model_is_named_by_run_or_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        runs.find_checkpoint(tmp_path / "nothing")
    with pytest.raises(UsageError, match="neither"):
        runs.find_checkpoint(tmp_path)
    with pytest.raises(UsageError, match="no trained run"):
        runs.newest_trained(tmp_path)
    for moment, name in ((100, "zzz-my-old-run"), (200, "20260102-000000-a-b")):
        last = tmp_path / "x" / name / "checkpoints" / "last"
        last.mkdir(parents=True)
        (last / "model.json").write_text("{}")
        os.utime(last / "model.json", (moment, moment))
    draft = tmp_path / "x" / "killed" / "checkpoints" / ".last.1.tmp"
    draft.mkdir(parents=True)
    (draft / "model.json").write_text("{}")
    newest = runs.newest_trained(tmp_path)
    assert newest.name == "20260102-000000-a-b"
    assert runs.find_checkpoint(newest) == last
    assert runs.run_of(last) == newest
    best = newest / "checkpoints" / "best"
    best.mkdir()
    (best / "model.json").write_text("{}")
    assert runs.find_checkpoint(newest) == best


def test_the_current_folder_may_be_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (".", ""):
        with pytest.raises(UsageError, match="neither a checkpoint folder nor a run"):
            runs.find_checkpoint(Path(place))
    (tmp_path / "checkpoints" / "last").mkdir(parents=True)
    (tmp_path / "checkpoints" / "last" / "model.json").write_text("{}")
    assert runs.find_checkpoint(Path()) == tmp_path / "checkpoints" / "last"
