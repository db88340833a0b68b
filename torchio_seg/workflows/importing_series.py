"""`torchio-seg import dicom`: every image series that is a volume, as a NIfTI file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torchio_seg.errors import DataError, TorchioSegError, UsageError, VolumeError
from torchio_seg.progress import Progress, Silent
from torchio_seg.volumes.dicom import Series, arrange, read_series, scan, told
from torchio_seg.volumes.nifti import create

log = logging.getLogger(__name__)

_LONGEST = 60
"""Letters of a description in a file name."""


@dataclass
class Converted:
    """What became of the series below a folder."""

    written: list[Path] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    """A sentence for each series that is no volume and was not meant as one."""
    failures: list[str] = field(default_factory=list)
    """A sentence for each volume that could not be read, and for each damaged file."""


def list_series(source: Path) -> list[tuple[Series, str]]:
    """Every series below a folder, and what keeps it from being a volume, if anything does."""
    found = []
    for series in _scan(source)[0]:
        try:
            arrange(series)
            found.append((series, ""))
        except VolumeError as error:
            found.append((series, series.no_volume or str(error)))
    return found


def import_series(
    source: Path, out: Path, wanted: str | None = None, *, overwrite: bool = False, progress: Progress | None = None
) -> Converted:
    """Write every series, or those of one number or UID, whose file is named by patient, number and description."""
    progress = progress or Silent()
    series, damaged = _scan(source)
    chosen = _choose(series, wanted)
    names = _names(series)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {out} cannot be made: {error.strerror}; name another") from error
    done = Converted(failures=list(damaged) if wanted is None else [])
    progress.start("series", len(chosen))
    try:
        for one in chosen:
            _convert(one, out / f"{names[one.uid]}.nii.gz", done, overwrite=overwrite, asked_for=wanted is not None)
            progress.advance()
    finally:
        progress.finish()
    return done


def _convert(series: Series, path: Path, done: Converted, *, overwrite: bool, asked_for: bool) -> None:
    if series.no_volume and not asked_for:
        done.passed_over.append(f"{series.label} is no volume: {series.no_volume}")
        return
    try:
        volume = read_series(series)
        create(path, volume.array[0], volume.affine, overwrite=overwrite)
    except TorchioSegError as error:
        done.failures.append(str(error))
        log.error("%s", error)
        return
    done.written.append(path)


def _scan(source: Path) -> tuple[Sequence[Series], Sequence[str]]:
    contents = scan(source)
    if not contents.series:
        raise DataError(told(f"{source} holds no DICOM images", contents.damaged))
    return contents.series, contents.damaged


def _choose(series: Sequence[Series], wanted: str | None) -> list[Series]:
    chosen = [one for one in series if wanted is None or wanted in {one.uid, str(one.number)}]
    if not chosen:
        there = ", ".join(f"{one.number} ({one.uid})" for one in series)
        raise UsageError(f"--series {wanted}: there is none of this number or UID; there are {there}")
    return chosen


def _names(series: Sequence[Series]) -> dict[str, str]:
    """A file name for each UID: words that any system takes, different for different series whichever are chosen."""
    names: dict[str, str] = {}
    for one in sorted(series, key=lambda one: one.uid):
        number = "x" if one.number is None else str(one.number)
        name = "_".join(filter(None, map(_safe, (one.patient, number, one.description or one.modality))))
        taken = {other.casefold() for other in names.values()}
        suffixes = ("", *(f"_{count}" for count in range(2, len(series) + 2)))
        names[one.uid] = next(name + suffix for suffix in suffixes if (name + suffix).casefold() not in taken)
    return names


def _safe(text: str) -> str:
    """Letters, digits, '-' and '_'; a run of anything else becomes one '-'."""
    words = "".join(char if char.isascii() and (char.isalnum() or char in "-_") else " " for char in text).split()
    return "-".join(words)[:_LONGEST]
