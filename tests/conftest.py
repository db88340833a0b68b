"""What many tests share: where real data lies, and quiet threads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def hippocampus() -> Path:
    """The real Decathlon task, where the environment says that it is there."""
    folder = os.environ.get("TORCHIO_SEG_TEST_DATA")
    if folder is None:
        pytest.skip("TORCHIO_SEG_TEST_DATA is not set; it names the folder that holds Task04_Hippocampus")
    return Path(folder) / "Task04_Hippocampus"
