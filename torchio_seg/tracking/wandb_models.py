"""Checkpoints as versions of one artifact of W&B, up and down."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchio_seg.errors import DataError, UsageError
from torchio_seg.files import write_json
from torchio_seg.tracking.environment import environment, is_installed
from torchio_seg.tracking.interface import Run
from torchio_seg.tracking.wandb_mode import LOGIN, has_key, host
from torchio_seg.tracking.wandb_session import FINISH_S, recall, record_file

if TYPE_CHECKING:
    from torchio_seg.tracking.wandb_session import Session

log = logging.getLogger(__name__)

PREFIX = "wandb:"
KEPT = "checkpoints"
"""In the tracking folder: files on their way."""
SOURCE = "wandb.json"
"""Beside what was downloaded: where it is from."""
FILES = ("model.safetensors", "model.json")
_NAME = re.compile(r"[^/:\s]+/[^/:\s]+/[^/:\s]+:[^/:\s]+")


def artifact_of(run_id: str) -> str:
    """The name of the artifact that holds a run's models."""
    return f"{run_id}-checkpoint"


def name_of(checkpoint: Path) -> str | None:
    """What a checkpoint, downloaded or in a run that was sent, is called at W&B; None where it is not there."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((checkpoint / SOURCE).read_text(encoding="utf-8"))["artifact"])
    known = recall(record_file(Run(checkpoint.resolve().parents[1], experiment="")))
    if known is None or not known.get("is_sent"):
        return None
    alias = "best" if checkpoint.name == "best" else "latest"
    return f"{known['entity']}/{known['project']}/{artifact_of(known['id'])}:{alias}"


class Versions:
    """Versions of a run's model; their files are links to those of the training until the server has them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._folder = session.folder / KEPT
        self._uploads: list[Future[None]] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="wandb-uploads")

    def add(self, folder: Path, record: Mapping[str, Any], *, is_best: bool) -> None:
        """Log one version; the training may replace its own files meanwhile, and waits for nothing."""
        import wandb

        place = self._folder / f"step_{record['step']}"
        place.mkdir(parents=True, exist_ok=True)
        scores = {key: record[key] for key in ("epoch", "step", "mean_dice", "loss", "dice")}
        artifact = wandb.Artifact(artifact_of(self._session.run.id), type="model", metadata=scores)
        for name in FILES:
            _link(folder / name, place / name)
            artifact.add_file(str(place / name), name=name, policy="immutable", skip_cache=True)
        aliases = ["latest", *(["best"] if is_best else []), f"epoch_{record['epoch']:g}"]
        self._session.run.log_artifact(artifact, aliases=aliases)
        if not self._session.is_offline:
            self._uploads.append(self._pool.submit(_let_go_when_there, artifact, place))

    def finish(self) -> None:
        """Wait for the uploads, within a limit; what is not there by then keeps its files."""
        done, late = wait(self._uploads, timeout=FINISH_S)
        self._pool.shutdown(wait=not late, cancel_futures=True)
        num_lost = len(late) + sum(upload.exception() is not None for upload in done)
        if num_lost:
            log.warning(
                "W&B did not take %d of %d checkpoints; they are in %s", num_lost, len(self._uploads), self._folder
            )


def _let_go_when_there(artifact: Any, place: Path) -> None:
    artifact.wait(timeout=FINISH_S)
    shutil.rmtree(place, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system knows no links."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def download(name: str, folder: Path) -> Path:
    """The checkpoint that wandb:ENTITY/PROJECT/NAME:VERSION names, in a folder below this one."""
    path = name.removeprefix(PREFIX)
    if not _NAME.fullmatch(path):
        raise UsageError(
            f"{name}: write it as {PREFIX}ENTITY/PROJECT/RUNID-checkpoint:best (or :latest, :epoch_10, :v3)"
        )
    if not is_installed("wandb"):
        raise UsageError(f"{name} is at W&B, which is not installed; pip install wandb")
    if not has_key():
        raise UsageError(f"{name} is at W&B, and there is no key for {host()}; {LOGIN}")
    place = folder / re.sub(r"[^\w.-]+", "_", path)
    with environment(WANDB_SILENT="true", WANDB_ERROR_REPORTING="false", WANDB_CACHE_DIR=str(folder / "cache")):
        import wandb

        try:
            artifact = wandb.Api().artifact(path, type="model")
            place = place.with_name(f"{place.name}-{artifact.digest}")
            artifact.download(root=str(place), skip_cache=True)
        except (wandb.Error, ValueError, OSError) as error:
            said = next(iter(str(error).splitlines()), type(error).__name__)
            raise DataError(
                f"{name} could not be fetched: {said}; are you logged in (wandb login), is the name right?"
            ) from error
    if missing := [file for file in FILES if not (place / file).is_file()]:
        raise DataError(f"{name} is no model of torchio-seg: it has no {' and no '.join(missing)}")
    write_json(place / SOURCE, {"artifact": path})
    return place
