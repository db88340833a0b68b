"""Whether W&B is told of a run, and how: found out without importing it, asking anybody, or touching the network."""

from __future__ import annotations

import configparser
import netrc
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from torchio_seg.errors import UsageError
from torchio_seg.tracking.environment import is_installed

if TYPE_CHECKING:
    from collections.abc import Mapping

Mode = Literal["auto", "online", "offline", "disabled"]
MODES: tuple[Mode, ...] = ("auto", "online", "offline", "disabled")
SAAS = "https://api.wandb.ai"
LOGIN = "wandb login, or WANDB_API_KEY"
_SYNONYMS: dict[str, Mode] = {"dryrun": "offline", "run": "online", "true": "online", "false": "disabled"}


@dataclass(frozen=True)
class Choice:
    """How a run is tracked, and why not as it was wished."""

    mode: Literal["online", "offline", "disabled"]
    reason: str = ""


def choose(wanted: Mode, environ: Mapping[str, str] = os.environ) -> Choice:
    """The mode for a wish; WANDB_MODE wins over it, and without W&B or a key the record stays here."""
    wanted = _of_environment(environ) or (_of_files(environ) if wanted == "auto" else None) or wanted
    if wanted == "disabled":
        return Choice("disabled")
    if not is_installed("wandb"):
        return Choice("disabled", "W&B is not installed (pip install wandb)")
    if wanted != "offline" and not has_key(environ):
        return Choice("offline", f"no key for {host(environ)} ({LOGIN})")
    return Choice("online" if wanted == "auto" else wanted)


def has_key(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this user is logged in to the server that would be used."""
    if environ.get("WANDB_API_KEY") or environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    home = Path(environ.get("HOME") or Path.home())
    named = environ.get("NETRC")
    for file in (Path(named),) if named else (home / ".netrc", home / "_netrc"):
        with suppress(OSError, netrc.NetrcParseError):
            if netrc.netrc(file).authenticators(host(environ)):
                return True
    return False


def host(environ: Mapping[str, str] = os.environ) -> str:
    """Where the server is: as the environment says, else W&B's settings files, else wandb.ai."""
    return urlsplit(environ.get("WANDB_BASE_URL") or _settings(environ).get("base_url", SAAS)).netloc


def _settings(environ: Mapping[str, str]) -> dict[str, str]:
    """What the user has told W&B once and for all, here or for this folder."""
    folder = environ.get("WANDB_CONFIG_DIR") or Path(environ.get("HOME") or Path.home()) / ".config" / "wandb"
    files = configparser.ConfigParser(interpolation=None)
    with suppress(OSError, configparser.Error):
        files.read([Path(folder) / "settings", Path("wandb") / "settings"])
    return dict(files["default"]) if files.has_section("default") else {}


def _of_files(environ: Mapping[str, str]) -> Mode | None:
    """What `wandb offline` and `wandb disabled` leave behind."""
    given = _settings(environ).get("mode")
    return next((mode for mode in MODES if mode == given), None)


def _of_environment(environ: Mapping[str, str]) -> Mode | None:
    given = environ.get("WANDB_MODE", "").strip().lower()
    if not given:
        return None
    found = next((mode for mode in MODES if mode == given), _SYNONYMS.get(given))
    if found is None:
        raise UsageError(f"WANDB_MODE is '{given}'; it may be {', '.join(MODES)}, or unset it")
    return found
