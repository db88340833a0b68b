"""A home without credentials for W&B, and a small training."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_experiment import SETTINGS

from torchio_seg.config.resolve import load, shipped
from torchio_seg.config.sections import Experiment


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the data and the store of these tests lie."""
    return tmp_path_factory.mktemp("tracked")


@pytest.fixture(scope="session")
def experiment(shared: Path) -> Experiment:
    places = {"dataset.root": str(shared / "data"), "sampling.store": str(shared / "store")}
    return load(shipped()["phantom"], SETTINGS | places)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without credentials, and no word about W&B in the environment."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    return home
