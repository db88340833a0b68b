"""Prediction divided among two processes, and stopped: what is written, what is said, and by whom."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml

LISTENING = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\nfrom torchio_seg.cli import main; main()"
)
"""The program, where whoever runs the tests in the background has SIGINT ignored."""
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "torchio_seg")


@pytest.fixture
def work(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the run, and five scans in `in`, the second and fourth of which are broken."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to(trained / "runs")
    (tmp_path / "in").mkdir()
    for number, image in enumerate(sorted((trained / "data" / "phantom" / "imagesTr").glob("*.nii.gz"))[:5]):
        shutil.copy(image, tmp_path / "in")
        if number in {1, 3}:
            (tmp_path / "in" / image.name).write_bytes(image.read_bytes()[:-500])
    return tmp_path


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, timeout=200)


def told(work: Path, name: str) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((work / name).read_text())
    return summary


@pytest.mark.slow
def test_two_processes_write_what_one_does_and_one_of_them_speaks(work: Path) -> None:
    alone = run("-m", "torchio_seg", "predict", "in", "--device", "cpu", "-o", "alone", "--json", "alone.json")
    both = run(*TORCHRUN, "predict", "in", "--device", "cpu", "-o", "both", "--json", "both.json")
    assert alone.returncode == 1, alone.stderr
    assert both.returncode != 0
    assert both.stdout.count("2 of 5 could not be predicted") == 1, (both.stdout, both.stderr)
    assert both.stdout.count("model runs") == 1
    written = ["phantom_000_seg.nii.gz", "phantom_002_seg.nii.gz", "phantom_004_seg.nii.gz"]
    assert sorted(path.name for path in (work / "both").iterdir()) == written
    for name in written:
        ours, theirs = (np.asarray(nib.load(work / folder / name).dataobj) for folder in ("both", "alone"))
        assert np.array_equal(ours, theirs)
    summaries = [told(work, name) for name in ("both.json", "alone.json")]
    facts = [
        [(case["id"], case["status"], case.get("regions"), case.get("error")) for case in summary["cases"]]
        for summary in summaries
    ]
    assert facts[0] == facts[1]
    assert [case["status"] for case in summaries[0]["cases"]] == ["written", "failed", "written", "failed", "written"]


@pytest.mark.slow
def test_what_is_wrong_for_both_is_said_once(work: Path) -> None:
    done = run(*TORCHRUN, "predict", "in", "--device", "cpu", "--model", "gone")
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1, done.stderr


NOTING = """
import functools, os, time
from pathlib import Path
from torchio_seg.datasets import phantom

def note(what):
    with Path("order.txt").open("a") as file:
        file.write(what + os.environ.get("RANK", "0") + " ")

@functools.wraps(phantom.build)
def build(*args, **options):
    note("from ")
    time.sleep(2)
    dataset = phantom.build(*args, **options)
    note("to ")
    return dataset
"""
"""A data set of the user's own, which notes who asks for it."""


@pytest.mark.slow
def test_two_processes_learn_preprocessing_one_after_the_other(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_folder = (work / "runs" / "latest").resolve()
    (work / "noting.py").write_text(NOTING)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(work), os.environ.get("PYTHONPATH", "")]))
    settings = yaml.safe_load((run_folder / "config.yaml").read_text())
    settings["dataset"]["name"] = "noting.build"
    settings["preprocessing"]["normalization"] = "percentile"  # which is learnt from the training cases
    (work / "own.yaml").write_text(yaml.safe_dump(settings))
    words = ["predict", "in/phantom_000.nii.gz", "in/phantom_002.nii.gz", "--config", "own.yaml", "--device", "cpu"]
    words += ["--weights", str(run_folder / "checkpoints" / "best" / "model.safetensors")]
    for name, start in (("alone", ("-m", "torchio_seg")), ("both", TORCHRUN)):
        monkeypatch.setenv("TORCHIO_SEG_STORE", str(work / f"store_{name}"))
        done = run(*start, *words, "--root", f"data_{name}", "-o", name)
        assert done.returncode == 0, done.stderr
    assert (work / "order.txt").read_text() == "from 0 to 0 from 0 to 0 from 1 to 1 "
    for name in ("phantom_000_seg.nii.gz", "phantom_002_seg.nii.gz"):
        ours, theirs = (np.asarray(nib.load(work / folder / name).dataobj) for folder in ("both", "alone"))
        assert np.array_equal(ours, theirs)


@pytest.mark.slow
def test_ctrl_c_says_what_is_written_and_the_same_command_goes_on(work: Path) -> None:
    for number in range(5):
        for copy in range(20):
            shutil.copy(work / "in" / "phantom_000.nii.gz", work / "in" / f"copy_{number}_{copy:02d}.nii.gz")
    for broken in ("phantom_001", "phantom_003"):
        (work / "in" / f"{broken}.nii.gz").unlink()
    words = ["predict", "in", "--device", "cpu", "-o", "out"]
    with subprocess.Popen([sys.executable, "-c", LISTENING, *words], stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while len(list(work.glob("out/*_seg.nii.gz"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    files = sorted(path.name for path in (work / "out").iterdir())
    assert 0 < len(files) < 103
    assert f"stopped: {len(files)} of 103 volumes are written" in said
    done = run("-m", "torchio_seg", *words)
    assert done.returncode == 0, done.stderr
    assert f"{len(files)} of 103 were there already" in done.stdout
    assert len(list((work / "out").iterdir())) == 103
