"""What a plan says that a training will take, beside what the training takes."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-m", "torchio_seg"]
NEARLY = 0.15


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    "size", [(), ("training.batch_size=4",), ("sampling.patch_size=[32,32,32]", "network.channels=[32,64,128,256]")]
)
def test_a_training_takes_the_memory_that_its_plan_says(hippocampus: Path, tmp_path: Path, size: Sequence[str]) -> None:
    store = f"sampling.store={tmp_path / 'store'}"
    wishes = [word for each in (*size, store) for word in ("--set", each)]
    words = ["plan", "--dataset", "decathlon", "--root", str(hippocampus), "--device", "cpu", "--max-time", "15m"]
    said = subprocess.run([*PROGRAM, *words, *wishes], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True)
    found = re.search(r"RAM +([\d.e+]+) (MB|GB) in the training process", said.stdout)
    assert found, said.stdout
    planned = float(found[1]) * {"MB": 1e6, "GB": 1e9}[found[2]]
    by_steps = ["--set", "training.max_time=null", "--set", "training.steps=12"]
    taken = _peak([*PROGRAM, "train", "--config", "plan.yaml", *by_steps, "-o", "run"], tmp_path)
    assert planned == pytest.approx(taken, rel=NEARLY)


def _peak(command: Sequence[str], folder: Path) -> int:
    """The most bytes that this process, without its children, held at once."""
    peak = 0
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                break
            lines = [line.split() for line in status.splitlines() if line.startswith("VmHWM:")]
            peak = max(peak, *(int(words[1]) * 1024 for words in lines), 0)
            time.sleep(0.05)
    assert process.returncode == 0
    return peak
