"""A run of W&B, open: what it needs in the environment, where its files lie, which run it is when it is resumed."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torchio_seg.errors import DataError
from torchio_seg.files import write_json
from torchio_seg.tracking.environment import environment
from torchio_seg.tracking.wandb_mode import LOGIN, host

if TYPE_CHECKING:
    from torchio_seg.tracking.interface import Run

INIT_S, FINISH_S = 30, 300
"""How long a server may take to begin a run, and to take in what is left at its end."""
_REFUSED = re.compile(r"(?i)\b401\b|API[ _]key (must|invalid)")
_SILENT = re.compile(r"(?i)deadline exceeded|timed? ?out|connection (refused|reset)|no such host|unreachable")
_FLUSH_S = 1.0
"""What a kill may cost of an offline run's file."""


class Session:
    """An open run of W&B, whose files lie in the training's own folder."""

    def __init__(self, run: Run, where: Mapping[str, Any], mode: Literal["online", "offline"]) -> None:
        self.folder = run.place.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._record_file = None if run.job == "inference" else record_file(run)
        self.trouble = ""
        """Why it is offline although it was to be online."""
        self._record: dict[str, Any] = {"id": _identity(run)}
        self._open = ExitStack()
        self._settings = {**where, "id": self._record["id"], "name": run.name, "job_type": run.job}
        self.mode = mode
        try:
            self.run = self._begin()
            self.run.config.update({**run.config, "run": dict(run.facts)}, allow_val_change=True)
        except BaseException:
            self._open.close()
            raise
        self._keep(mode=self.mode, project=where["project"], entity=self.run.entity or where["entity"], is_sent=False)

    @property
    def is_offline(self) -> bool:
        return self.mode == "offline"

    def close(self, *, failed: bool) -> None:
        """Wait for what is left, within a limit; the environment is as it was before."""
        import wandb

        try:
            self.run.finish(exit_code=int(failed))
            self._keep(is_sent=not self.is_offline, ended=time.time())
        except Exception:
            with suppress(Exception):  # its process may be dead; at the end of ours it would be looked for again
                wandb.teardown()
            raise
        finally:
            self._open.close()

    def _keep(self, **facts: Any) -> None:
        """Remember which run this is, for whoever goes on with it."""
        self._record |= facts
        if self._record_file is not None:
            write_json(self._record_file, self._record)

    def _begin(self) -> Any:
        """The run, begun on the server; where that cannot be reached, here."""
        places = {f"WANDB_{kind}_DIR": str(self.folder / "wandb" / kind.lower()) for kind in ("DATA", "CACHE")}
        own = {key: value for key, value in places.items() if key not in os.environ}
        own |= {"WANDB_MODE": self.mode, "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
        self._open.enter_context(environment(**own))
        import wandb

        try:
            return self._init()
        except (wandb.Error, OSError, TimeoutError) as error:
            if self.is_offline:
                raise
            self.trouble = trouble_of(str(error))
        self.mode = "offline"
        os.environ["WANDB_MODE"] = self.mode
        if wandb.run is None:  # its process still waits for the server, and would refuse another run of this id
            wandb.teardown()
        return self._init()

    def _init(self) -> Any:
        import wandb

        settings = wandb.Settings(
            mode=self.mode,
            silent=True,
            console="off",
            init_timeout=INIT_S,
            finish_timeout=FINISH_S,
            finish_timeout_raises=True,
            x_transaction_log_flush_interval=_FLUSH_S,
        )
        return wandb.init(dir=self.folder, resume="allow", reinit="create_new", settings=settings, **self._settings)


def trouble_of(said: str) -> str:
    """What kept a run from being online, in words of ours where W&B's are those of a program."""
    if _REFUSED.search(said):
        return f"{host()} does not take the key ({LOGIN})"
    if _SILENT.search(said):
        return f"no answer from {host()}"
    return f"{host()} says: {next(iter(said.splitlines()), '')}"


def record_file(run: Run) -> Path:
    """Where it stands which run of W&B a training, or an evaluation, is."""
    return run.place / ("wandb.json" if run.job == "train" else f"wandb-{run.label}.json")


def recall(path: Path) -> dict[str, Any] | None:
    """Which run of W&B it is, as such a file says; None where it is none yet."""
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {**found, "id": str(found["id"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} does not say which run of W&B this is ({error}); take it away to begin another"
        ) from error


def _identity(run: Run) -> str:
    """A training goes on in its run; an evaluation is one of its own each time, unless it is told again."""
    known = recall(record_file(run)) if run.job == "train" or run.was_tracked else None
    return known["id"] if known is not None else secrets.token_hex(4)
