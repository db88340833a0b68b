"""The entries of a MONAI-style datalist: lists of {"image": ..., "label": ...} under training, validation and test."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchio_seg.errors import DataError
from torchio_seg.listings.jsonfile import shown
from torchio_seg.listings.paths import few, inside
from torchio_seg.volumes.nifti import stem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECTIONS = {"training": "training", "validation": "validation", "test": "test", "testing": "test"}
"""What a datalist calls its parts."""
EXAMPLE = '"training": [{"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz", "fold": 0}, ...], "test": [...]'
_ENTRY = '{"image": "imagesTr/a.nii.gz" or a list of channels, "label": "labelsTr/a.nii.gz"}'


@dataclass(frozen=True)
class Entry:
    """What the list says of one case."""

    id: str
    part: str
    images: tuple[Path, ...]
    label: Path | None
    fold: int | None
    group: str | None
    named: bool
    """Whether the list itself gives the id."""


def read_entries(content: Mapping[str, Any], path: Path, base: Path) -> tuple[Entry, ...]:
    """All entries in the order of the file, each with an id of its own; macOS '._' files are passed over."""
    entries: list[Entry] = []
    for section, part in SECTIONS.items():
        listed = content.get(section, [])
        if not isinstance(listed, list):
            raise DataError(f"{path}: '{section}' is {shown(listed)}; it must be a list, as in {{{EXAMPLE}}}")
        for position, entry in enumerate(listed):
            where = f"{path}: '{section}' entry {position + 1}"
            entries.append(_entry({"image": entry} if isinstance(entry, str) else entry, part, base, where))
    entries = [entry for entry in entries if not entry.images[0].name.startswith("._")]
    _require_apart(entries, path)
    return _with_unique_ids(entries, path)


def _entry(given: Any, part: str, base: Path, where: str) -> Entry:
    images = given.get("image") if isinstance(given, dict) else None
    images = [images] if isinstance(images, str) else images
    if not isinstance(images, list) or not images or not all(isinstance(image, str) for image in images):
        raise DataError(f"{where} is {shown(given)}; it must be {_ENTRY}")
    label, fold = given.get("label"), given.get("fold")
    if not (label is None or isinstance(label, str)):
        raise DataError(f"{where} has the label {shown(label)}; it must be the path of one label map")
    if fold is not None and (isinstance(fold, bool) or not isinstance(fold, int) or fold < 0):
        raise DataError(f"{where} has the fold {shown(fold)}; folds are whole numbers counted from 0")
    paths = tuple(_path(image, base, where) for image in images)
    own = _word(given, "id", where)
    return Entry(
        id=own or _name(paths),
        part=part,
        images=paths,
        label=None if label is None else _path(label, base, where),
        fold=fold,
        group=_word(given, "group", where) or _word(given, "patient", where),
        named=own is not None,
    )


def _path(given: str, base: Path, where: str) -> Path:
    """A volume in the base folder, its path relative to that or absolute."""
    if not Path(given).is_absolute():
        return inside(given, base, where)
    if not Path(given).is_relative_to(base.absolute()):
        raise DataError(
            f"{where} names '{given}', which does not lie in {base.absolute()}. If it is there, say so with "
            "--set dataset.base=FOLDER, a folder that holds all files of the list; else make the paths relative"
        )
    return inside(Path(given).relative_to(base.absolute()).as_posix(), base, where)


def _word(given: Mapping[str, Any], key: str, where: str) -> str | None:
    """A name or a number."""
    value = given.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise DataError(f"{where} has the {key} {shown(value)}; it must be a name or a number")
    return str(value).strip()


def _name(images: Sequence[Path]) -> str:
    """The file's name; of several channels the words with which all their names begin, else their folder's name."""
    words = [re.split(r"(?<=[_.-])", stem(image)) for image in images]
    shared = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False))
    return "".join(column[0] for column in shared).rstrip("_.-") or images[0].parent.name


def _require_apart(entries: Sequence[Entry], path: Path) -> None:
    """Hold that no image stands in the list twice, in two parts least of all."""
    parts: dict[Path, list[str]] = {}
    for entry in entries:
        for image in entry.images:
            parts.setdefault(image, []).append(entry.part)
    if repeated := [f"{image.name} ({' and '.join(where)})" for image, where in parts.items() if len(where) > 1]:
        raise DataError(f"{path} lists {few(repeated)} more than once; keep one entry for each case, in one part")


def _with_unique_ids(entries: Sequence[Entry], path: Path) -> tuple[Entry, ...]:
    """Where files of several folders share their names, the folder's name stands before the file's."""
    if not _repeated(entries):
        return tuple(entries)
    longer = [
        entry if entry.named else replace(entry, id=f"{entry.images[0].parent.name}_{entry.id}") for entry in entries
    ]
    if repeated := _repeated(longer):
        raise DataError(
            f"{path}: {few(repeated)} would name more than one case, even with the folder's name before the file's; "
            'give each entry an "id" of its own'
        )
    return tuple(longer)


def _repeated(entries: Sequence[Entry]) -> list[str]:
    return sorted(case for case, number in Counter(entry.id for entry in entries).items() if number > 1)
