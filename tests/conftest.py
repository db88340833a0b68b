"""What many tests share: where real data lies, and a cache of their own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def hippocampus() -> Path:
    """The real Decathlon task, where the environment says that it is there."""
    folder = os.environ.get("TORCHIO_SEG_TEST_DATA")
    if folder is None:
        pytest.skip("TORCHIO_SEG_TEST_DATA is not set; it names the folder that holds Task04_Hippocampus")
    return Path(folder) / "Task04_Hippocampus"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Facts about files are remembered in a folder of this test session, in child processes too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHIO_SEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("TORCHIO_SEG_STORE", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def untracked() -> Iterator[None]:
    """No test tells W&B of its trainings unless it asks for that itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_PROJECT", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def own_loudness() -> Iterator[None]:
    """A command that says only failures leaves what other tests hear as it was."""
    library = logging.getLogger("torchio_seg")
    before = library.level
    yield
    library.setLevel(before)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small tensors and many of them: threads would only wait for each other; random numbers begin anew."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)
