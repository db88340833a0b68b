"""Ctrl-C in a command that does not train: one word, exit code 130, nothing half done."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

LISTENING = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\nfrom torchio_seg.cli import main; main()"
)
"""The program, where whoever runs the tests in the background has SIGINT ignored."""


def test_an_interrupted_command_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LISTENING, "phantom", "out", "--cases", "500"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 300
        while not any(tmp_path.rglob("*.nii.gz")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "stopped"
    assert list(tmp_path.iterdir()) == []
