"""Whether W&B is told of a run, without a question to anybody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from torchio_seg.errors import UsageError
from torchio_seg.tracking.wandb_mode import Mode, choose, has_key, host

pytest.importorskip("wandb")


@pytest.mark.parametrize(
    ("wanted", "key", "told", "mode"),
    [
        ("auto", False, None, "offline"),
        ("auto", True, None, "online"),
        ("online", True, None, "online"),
        ("online", False, None, "offline"),
        ("offline", True, None, "offline"),
        ("disabled", True, None, "disabled"),
        ("online", True, "offline", "offline"),
        ("online", True, "disabled", "disabled"),
        ("disabled", True, "online", "online"),
        ("offline", True, "dryrun", "offline"),
    ],
)
def test_the_environment_wins_over_the_wish_and_a_key_is_needed_online(
    wanted: Mode, key: bool, told: str | None, mode: str, tmp_path: Path
) -> None:
    environ = {"HOME": str(tmp_path)} | ({"WANDB_API_KEY": "x"} if key else {}) | ({"WANDB_MODE": told} if told else {})
    assert choose(wanted, environ).mode == mode


def test_without_a_key_the_reason_says_how_to_get_one(tmp_path: Path) -> None:
    assert "wandb login" in choose("auto", {"HOME": str(tmp_path)}).reason


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"WANDB_MODE is 'of'; it may be auto, online, offline, disabled"):
        choose("auto", {"WANDB_MODE": "of"})


def test_a_key_in_netrc_counts_for_its_own_server(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    assert not has_key(environ)
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password secret\n")
    assert has_key(environ)
    assert not has_key({**environ, "WANDB_BASE_URL": "https://wandb.example.org"})
    (tmp_path / ".config" / "wandb").mkdir(parents=True)
    (tmp_path / ".config" / "wandb" / "settings").write_text("[default]\nbase_url = https://wandb.example.org:8080\n")
    assert host(environ) == "wandb.example.org:8080"
    assert not has_key(environ)


def test_what_wandb_offline_has_set_holds_for_auto_alone(tmp_path: Path) -> None:
    (tmp_path / ".config" / "wandb").mkdir(parents=True)
    (tmp_path / ".config" / "wandb" / "settings").write_text("[default]\nmode = offline\n")
    environ = {"HOME": str(tmp_path), "WANDB_API_KEY": "x"}
    assert choose("auto", environ).mode == "offline"
    assert choose("online", environ).mode == "online"


def test_finding_out_imports_nothing() -> None:
    script = (
        "from torchio_seg.tracking.wandb_mode import choose; import sys; choose('auto'); print('wandb' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
