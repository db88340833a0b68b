"""A folder whose prediction is stopped while cases are read, computed and written: nothing hangs or is half there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_models import save_model, scan

from torchio_seg.volumes.nifti import create, read

LISTENING = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\nfrom torchio_seg.cli import main; main()"
)
"""The program, where whoever runs the tests in the background has SIGINT ignored."""
CASES = 20


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_prediction_ends_at_once_and_leaves_whole_files(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    save_model(tmp_path / "model")
    for name in ("in", "temporary"):
        (tmp_path / name).mkdir()
    for case in range(CASES):
        create(tmp_path / "in" / f"case_{case:02}.nii.gz", scan(case, (32, 32, 48)), np.diag([1, 1, 1.5, 1]))
    command = [sys.executable, "-c", LISTENING, "predict", "in", "-o", "out", "--model", "model"]
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment) as process:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("out/*_seg.nii.gz"))) < 2 and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        begun = time.monotonic()
        _, said = process.communicate(timeout=60)
    assert time.monotonic() - begun < 30
    assert process.returncode == code, said
    files = sorted((tmp_path / "out").iterdir())
    assert 2 <= len(files) < CASES
    assert f"stopped: {len(files)} of {CASES} volumes are written, none of them in part" in " ".join(said.split())
    assert said.count("stopped") == 1
    for file in files:
        assert file.name.endswith("_seg.nii.gz")
        assert read(file).shape == (32, 32, 48)
    assert list((tmp_path / "temporary").iterdir()) == []
