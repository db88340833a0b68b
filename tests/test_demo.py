"""The headline, held: what `torchio-seg demo` reaches, and that it is not given away by intensities alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_demonstration_reaches_what_the_readme_says(tmp_path: Path, seed: int) -> None:
    command = [sys.executable, "-m", "torchio_seg", "demo", "--seed", str(seed)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = (tmp_path / "runs" / "latest").resolve()
    scores = json.loads((run / "evaluation" / "test.json").read_text())
    assert scores["mean_dice"] >= 0.80
    for region in scores["regions"]:
        assert region["mean_dice"] >= 0.70, region
    [prediction] = (run / "predictions").iterdir()
    for place in (run, prediction, run / "metrics.jsonl", run / "checkpoints" / "best"):
        assert str(place.relative_to(tmp_path.resolve())) in done.stdout
    assert done.stdout.split("next:")[1].count("torchio-seg") == 4


@pytest.mark.slow
def test_single_voxels_do_not_tell_the_tumour(tmp_path: Path) -> None:
    """A random forest on the four intensities stays below 0.5; with its neighbourhood it does not."""
    command = [sys.executable, str(BENCHMARKS / "phantom_difficulty.py"), "--seeds", "0", "--set", "noise=0.22"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    voxels, context = (line for line in done.stdout.splitlines() if line.startswith("seed 0"))
    assert _mean(voxels) < 0.5
    assert _mean(context) > 0.8


def _mean(line: str) -> float:
    return float(line.split("'mean': ")[1].split(",", maxsplit=1)[0])
