"""Made-up patients, written to disk in the Decathlon's layout the first time they are asked for."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torchio_seg.errors import DataError
from torchio_seg.files import write_json
from torchio_seg.phantoms.catalogue import KINDS
from torchio_seg.phantoms.cohort import MOST_CHANNELS, Cohort, choose
from torchio_seg.phantoms.layouts.files import whole
from torchio_seg.phantoms.layouts.task import write_decathlon
from torchio_seg.records import Case, Dataset, Labels

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

RECORD = "phantom.json"
"""Lies in the folder beside dataset.json and tells with which options it was made."""


def build(
    root: Path,
    *,
    kind: Literal["brain", "abdomen", "thorax"] = "brain",
    cases: int = 24,
    shape: tuple[int, int, int] = (64, 64, 48),
    channels: int = MOST_CHANNELS,
    seed: int = 0,
) -> Dataset:
    """The cases below `root`, made first where it is absent or empty, with at most so many channels."""
    cohort = choose(kind, cases=cases, shape=shape, channels=channels, seed=seed)
    root = Path(root)
    if not _holds_anything(root):
        _log.info("drawing %d %s phantoms into %s", cases, kind, root)
        write(root, cohort)
    _require_same(root, cohort)
    return _dataset(root, cohort)


def write(root: Path, cohort: Cohort, *, report: Callable[[int, int], None] = lambda _done, _all: None) -> None:
    """Make the whole folder beside `root`; where another process was faster with the same options, its folder stays."""
    try:
        with whole(root) as folder:
            write_decathlon(folder, cohort, cohort.patients(report))
            write_json(folder / RECORD, _record(cohort))
    except DataError:
        if not _holds_anything(root):
            raise
        _require_same(root, cohort)


def _record(cohort: Cohort) -> dict[str, Any]:
    options = {key: value for key, value in asdict(cohort).items() if key != "varied"}
    return {"generation": KINDS[cohort.kind].generation, **options, "shape": list(cohort.shape)}


def _holds_anything(root: Path) -> bool:
    if root.exists() and not root.is_dir():
        raise DataError(f"{root} is a file; the root of a phantom is a folder. Give another root")
    return root.is_dir() and any(root.iterdir())


def _require_same(root: Path, cohort: Cohort) -> None:
    """Refuse a folder that holds something else, or another phantom, or only a part of one."""
    record = root / RECORD
    if not record.is_file():
        raise DataError(f"{root} holds files but no phantom ({RECORD} is missing); give an empty folder or a new one")
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{record} cannot be read ({error}); remove the folder and it is made anew") from error
    wanted = _record(cohort)
    if not isinstance(found, dict) or found != wanted:
        made_with = found if isinstance(found, dict) else {}
        differing = [
            f"{key} {made_with.get(key)}, not {wanted[key]}" for key in wanted if made_with.get(key) != wanted[key]
        ]
        raise DataError(
            f"{root} holds a phantom made with {'; '.join(differing) or 'options of another version'}. "
            "Give another root, or remove the folder and it is made anew"
        )


def _dataset(root: Path, cohort: Cohort) -> Dataset:
    kind = KINDS[cohort.kind]
    cases = tuple(
        Case(case, (root / "imagesTr" / f"{case}.nii.gz",), root / "labelsTr" / f"{case}.nii.gz") for case in cohort.ids
    )
    files = [path for case in cases for path in (*case.images, case.label) if path is not None]
    if missing := [str(path.relative_to(root)) for path in files if not path.is_file()]:
        raise DataError(f"{root} lacks {', '.join(missing)}; remove the folder and it is made anew")
    labels = Labels.of_regions(kind.labels, kind.regions) if kind.regions else Labels.of_classes(kind.labels)
    return Dataset(f"phantom_{cohort.kind}", cohort.channel_names, labels, cases, listing=cohort.ids)
