"""The layout of the Medical Segmentation Decathlon: a folder with dataset.json, imagesTr and labelsTr."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from torchio_seg.errors import DataError
from torchio_seg.records import Case, Dataset, Labels

DESCRIPTION = "dataset.json"
_EXAMPLE = '"modality": {"0": "MRI"}, "labels": {"0": "background", ...}, "training": [{"image": ..., "label": ...}]'


def build(root: Path, *, regions: dict[str, tuple[int, ...]] | None = None) -> Dataset:
    """The training cases of a task; `regions`, outer ones first, replace its labels as what is segmented."""
    root = Path(root)
    description = _read(root)
    path = root / DESCRIPTION
    names = _numbered(description, "labels", path)
    if names.get(0) is None:
        raise DataError(f"{path}: 'labels' has {sorted(names)}; 0 must be there, it is the background")
    channels = _numbered(description, "modality", path)
    if sorted(channels) != list(range(len(channels))):
        raise DataError(f"{path}: 'modality' numbers its channels {sorted(channels)}; number them 0, 1, 2 ...")
    labels = Labels.of_regions(names, _checked(regions, names)) if regions is not None else Labels.of_classes(names)
    in_order = tuple(channels[number] for number in sorted(channels))
    return Dataset(_name(description, root), in_order, labels, _cases(description, root))


def _read(root: Path) -> dict[str, Any]:
    path = root / DESCRIPTION
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; give the folder of a task, the one with {DESCRIPTION} in it")
    if not path.is_file():
        raise DataError(
            f"{root} has no {DESCRIPTION}{_nested(root)}; give the folder of a task, the one with {DESCRIPTION} in it"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_repetition)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON ({error}); mend it, or unpack the archive again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}; it must be an object, as in {{{_EXAMPLE}}}")
    return content


def _nested(root: Path) -> str:
    """Archives often unpack into a folder of their own."""
    below = sorted(path.parent.name for path in root.glob(f"*/{DESCRIPTION}"))
    return f", but {', '.join(below)} below it has" if below else ""


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = sorted({key for key in keys if keys.count(key) > 1})
        raise ValueError(f"key {', '.join(map(repr, repeated))} stands twice")
    return content


def _name(description: dict[str, Any], root: Path) -> str:
    name = description.get("name")
    return name if isinstance(name, str) and name.strip() else root.resolve().name


def _numbered(description: dict[str, Any], key: str, path: Path) -> dict[int, str]:
    """A section like {"0": "background", "1": "liver"}."""
    section = description.get(key)
    if not isinstance(section, dict) or not section:
        raise DataError(f"{path}: '{key}' is {_shown(section)}; it must map numbers to names, as in {{{_EXAMPLE}}}")
    numbered: dict[int, str] = {}
    for number, name in section.items():
        if not (number.isascii() and number.isdigit()) or not isinstance(name, str) or not name.strip():
            raise DataError(f"{path}: '{key}' holds {_shown(number)}: {_shown(name)}; it maps whole numbers to names")
        if int(number) in numbered:
            raise DataError(f"{path}: '{key}' holds the number {int(number)} twice; keep one")
        numbered[int(number)] = name
    return numbered


def _checked(regions: dict[str, tuple[int, ...]], names: dict[int, str]) -> dict[str, tuple[int, ...]]:
    """Regions of labels that the file declares."""
    if not regions:
        raise DataError("regions is empty; name at least one region with its labels, or leave regions out")
    for region, members in regions.items():
        unknown = sorted(set(members) - set(names))
        if unknown or not members or 0 in members:
            allowed = ", ".join(f"{value} {names[value]}" for value in sorted(names) if value)
            raise DataError(f"region '{region}' names labels {sorted(members)}; {DESCRIPTION} allows {allowed}")
    return regions


def _cases(description: dict[str, Any], root: Path) -> tuple[Case, ...]:
    path = root / DESCRIPTION
    entries = description.get("training")
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path}: 'training' is {_shown(entries)}; it must list the cases, as in {_EXAMPLE}")
    pairs = [_pair(entry, position, root) for position, entry in enumerate(entries)]
    cases = [Case(_stem(image), (image,), label) for image, label in pairs if not image.name.startswith("._")]
    if not cases:
        raise DataError(f"{path}: 'training' lists nothing but macOS '._' files; unpack the archive again")
    _require_unique(cases, path)
    _require_files(cases, root)
    return tuple(sorted(cases, key=lambda case: case.id))


def _pair(entry: Any, position: int, root: Path) -> tuple[Path, Path]:
    """Image and label of one entry."""
    where = f"{root / DESCRIPTION}: 'training' entry {position + 1}"
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("image", "label")):
        raise DataError(f'{where} is {_shown(entry)}; it must be {{"image": "imagesTr/...", "label": "labelsTr/..."}}')
    return _inside(entry["image"], root, where), _inside(entry["label"], root, where)


def _inside(given: str, root: Path, where: str) -> Path:
    """A path below the root, or an error: a description must not reach files outside its folder."""
    relative = PurePosixPath(given.replace("\\", "/"))
    drive = len(given) > 1 and given[1] == ":"
    if relative.is_absolute() or drive or ".." in relative.parts or "\0" in given or not relative.parts:
        raise DataError(f"{where} names '{given}'; paths are relative to {DESCRIPTION} and stay within its folder")
    if not given.endswith((".nii", ".nii.gz")):
        raise DataError(f"{where} names '{given}'; images and labels are NIfTI files, .nii or .nii.gz")
    return root.joinpath(*relative.parts)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _require_unique(cases: list[Case], path: Path) -> None:
    ids = [case.id for case in cases]
    if repeated := sorted({case for case in ids if ids.count(case) > 1}):
        raise DataError(f"{path}: 'training' lists {', '.join(repeated)} more than once; keep one entry for each case")


def _require_files(cases: list[Case], root: Path) -> None:
    files = [path for case in cases for path in (*case.images, case.label) if path is not None]
    if missing := [path.relative_to(root).as_posix() for path in files if not path.is_file()]:
        raise DataError(
            f"{root}: {len(missing)} of {len(files)} files in {DESCRIPTION} are missing: {', '.join(missing)}; "
            "unpack the archive again, or take their entries out"
        )
    home = root.resolve()
    if outside := [path.relative_to(root).as_posix() for path in files if not path.resolve().is_relative_to(home)]:
        raise DataError(f"{root}: {', '.join(outside)} are links that leave the folder; put the files themselves there")


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
