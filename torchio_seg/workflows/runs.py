"""Folders of trainings: runs/EXPERIMENT/TIME-WORDS/, and runs/latest, which points to the newest."""

from __future__ import annotations

import fcntl
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from torchio_seg import checkpoint, ensemble
from torchio_seg.errors import DataError, UsageError
from torchio_seg.files import write_text
from torchio_seg.records import Split
from torchio_seg.workflows.beforehand import ENSEMBLE, no_model, no_run

ADJECTIVES = (
    "amber",
    "brave",
    "calm",
    "clear",
    "eager",
    "gentle",
    "keen",
    "lively",
    "quiet",
    "steady",
    "swift",
    "warm",
)
NOUNS = ("alder", "birch", "brook", "cedar", "falcon", "heron", "lark", "maple", "otter", "robin", "willow", "wren")
KEPT = "make room and --resume: the last checkpoint is kept"
LATEST = "latest"
EVALUATION = "evaluation"
"""In a run's folder: the scores of the parts of its cases, and the record of each evaluation."""
SERIES = "series.json"
"""In the folder of runs that belong together."""


def create(runs: Path, experiment: str) -> Path:
    """A new, empty folder for a training, its own even where others begin in the same second."""
    while True:
        folder = name(runs, experiment)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            break
        except FileExistsError:
            if not folder.is_dir():
                raise UsageError(f"the run folder {folder} cannot be made: a file is in its way") from None
        except OSError as error:
            raise _cannot_be_made(folder, error) from error
    point_to(folder)
    return folder


def name(runs: Path, experiment: str) -> Path:
    """What a new folder may be called; nothing is made."""
    moment = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    return runs / experiment / f"{moment}-{secrets.choice(ADJECTIVES)}-{secrets.choice(NOUNS)}"


def point_to(folder: Path) -> None:
    """Make a folder the latest of all runs."""
    runs = folder.parents[1]
    link = runs / LATEST
    draft = runs / f".{LATEST}.{secrets.token_hex(4)}"
    draft.symlink_to(folder.relative_to(runs), target_is_directory=True)
    draft.replace(link)


def claim(folder: Path) -> None:
    """Make the folder of a new training; one that holds anything is refused."""
    require_free(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_be_made(folder, error) from error


def require_free(folder: Path) -> None:
    """Hold that nothing is in the way of a new training's folder."""
    try:
        occupied = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise _cannot_be_made(folder, error) from error
    if occupied:
        raise UsageError(f"{folder} already holds a training or other files; name another folder, or --resume it")


def _cannot_be_made(folder: Path, error: OSError) -> UsageError:
    return UsageError(f"the run folder {folder} cannot be made: {error.strerror}")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other trainings out of the folder; the lock ends with the process, however it ends."""
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(f"another training is writing to {folder}; wait for it, or use another folder") from error
        yield


def find_checkpoint(model: Path) -> Path:
    """The checkpoint of a run (the best, else the last), or the folder itself where it is one."""
    model = model if model.name else model.resolve()  # "." and "/" have no name of their own
    candidates = (model, model / "checkpoints" / "best", model / "checkpoints" / "last")
    for folder in candidates:
        if checkpoint.exists(folder):
            return folder
    if not model.exists():
        raise no_model(model)
    raise UsageError(f"no model at {model}: neither a checkpoint folder nor a run with checkpoints")


def find_ensemble(model: Path) -> Path | None:
    """The ensemble of a cross-validation's folder, or the folder itself where it is one; None where there is none."""
    return next((folder for folder in (model, model / ENSEMBLE) if ensemble.exists(folder)), None)


def newest_trained(runs: Path) -> Path:
    """The newest run that has a checkpoint, or cross-validation that has an ensemble."""
    candidates = (folder / name for folder in runs.glob("*/*/checkpoints") for name in ("best", "last"))
    trained = {folder.parents[1]: checkpoint.saved_at(folder) for folder in candidates if checkpoint.exists(folder)}
    trained |= {record.parents[1]: record.stat().st_mtime for record in runs.glob(f"*/*/{ENSEMBLE}/{ensemble.RECORD}")}
    if not trained:
        raise no_run(runs)
    return max(trained, key=lambda run: trained[run])


def run_of(folder: Path) -> Path:
    """The run that a checkpoint folder belongs to."""
    if folder.resolve().parent.name == "checkpoints":
        return folder.resolve().parents[1]
    raise UsageError(f"{folder} is not inside a run, so its data set and split are not known; name the run's folder")


def read_facts(run: Path) -> dict[str, Any]:
    """What followed from a run's settings and files."""
    try:
        return dict(json.loads((run / "run.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{run / 'run.json'} does not tell what was trained: {error}") from error


def read_split(run: Path) -> Split:
    """Which cases a run trained, validated and tested on."""
    try:
        split = json.loads((run / "run.json").read_text(encoding="utf-8"))["split"]
        parts = {part: tuple(split[part]) for part in ("training", "validation", "test")}
        return Split(**parts, origin=split["origin"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{run / 'run.json'} is damaged and does not tell the run's split: {error}") from error


class Journal:
    """metrics.jsonl: one record a line, flushed at once."""

    def __init__(self, path: Path, kept: str = KEPT) -> None:
        self.path = path
        self._kept = kept
        """What to do where it cannot be written."""
        self.records: list[dict[str, Any]] = []
        """All but those of single steps, of which there may be hundreds of thousands."""
        self._file = path.open("a", encoding="utf-8")
        self._keep(read_journal(path))

    def keep_until(self, step: int, validated_at: int) -> None:
        """Forget steps beyond this one and validations beyond that, which a resumed training does again."""
        last = {"validation": validated_at}
        records = read_journal(self.path)
        self._keep([each for each in records if each.get("step", 0) <= last.get(each.get("kind", ""), step)])

    def _keep(self, kept: Sequence[dict[str, Any]]) -> None:
        """These alone, without what a kill cut short."""
        self.records = [record for record in kept if record.get("kind") != "step"]
        self._file.close()
        write_text(self.path, "".join(json.dumps(record) + "\n" for record in kept))
        self._file = self.path.open("a", encoding="utf-8")

    def log(self, record: Mapping[str, Any]) -> None:
        """Write one record and when it was; a number that is not finite is written as null."""
        clean = json.loads(json.dumps({**record, "time": round(time.time(), 3)}), parse_constant=lambda _: None)
        if clean.get("kind") != "step":
            self.records.append(clean)
        try:
            self._file.write(json.dumps(clean, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise DataError(f"{self.path} could not be written: {error.strerror or error}; {self._kept}") from error

    def finish(self) -> None:
        """Close the file."""
        with suppress(OSError):  # what could not be written was said when it was to be
            self._file.close()


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The records of a run; a last line that a kill cut short is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
