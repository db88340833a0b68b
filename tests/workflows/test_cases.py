"""Where an experiment's data is looked for, and what is said when it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from torchio_seg.config.resolve import choose
from torchio_seg.errors import ConfigError, UsageError
from torchio_seg.workflows.cases import find_root, require_root


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_folder_that_a_download_leaves_is_found() -> None:
    experiment = choose("decathlon:hippocampus", None, {})
    with pytest.raises(UsageError, match=r"no data at data/Task04_Hippocampus or .*torchio-seg download Task04_Hippo"):
        require_root(experiment)
    Path("data/Task04_Hippocampus").mkdir(parents=True)
    assert find_root(experiment) == Path("data/Task04_Hippocampus")
    require_root(experiment)


def test_a_root_that_is_named_wins_and_is_not_replaced_by_another() -> None:
    Path("data/Task04_Hippocampus").mkdir(parents=True)
    experiment = choose("decathlon:4", None, {"dataset.root": "elsewhere"})
    assert find_root(experiment) == Path("elsewhere")
    with pytest.raises(UsageError, match=r"no data at elsewhere; name its folder with --root DIR"):
        require_root(experiment)


def test_data_that_needs_an_account_is_explained_not_fetched() -> None:
    with pytest.raises(UsageError, match=r"torchio-seg datasets btcv"):
        require_root(choose("btcv", None, {}))


def test_a_task_that_does_not_exist_is_said_with_those_that_do() -> None:
    with pytest.raises(UsageError, match=r"decathlon:44.*Task04_Hippocampus"):
        find_root(choose("decathlon:44", None, {}))
    with pytest.raises(ConfigError, match="name the task after the colon"):
        choose("decathlon:", None, {})
    with pytest.raises(ConfigError, match=r"dataset\.task: unknown key"):
        choose("phantom:3", None, {})
