"""A task of the Medical Segmentation Decathlon: found by number or name, its dataset.json read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torchio_seg.errors import ConfigError, DataError
from torchio_seg.listings.arrangement import without
from torchio_seg.listings.jsonfile import channel_names, label_names, read_object, shown
from torchio_seg.listings.paths import few, inside, require_files, require_folder, require_unique
from torchio_seg.records import Case
from torchio_seg.volumes.nifti import stem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DESCRIPTION = "dataset.json"
_EXAMPLE = '"modality": {"0": "MRI"}, "labels": {"0": "background", ...}, "training": [{"image": ..., "label": ...}]'
_WANTED = f"the folder of a task, the one with {DESCRIPTION} in it, or a folder that holds such folders"
_TASK = re.compile(r"(?:(?:task[ _-]?)?(?P<number>\d+)(?:[ _-]|$))?(?P<name>.*)")


@dataclass(frozen=True)
class Task:
    """What a dataset.json says."""

    name: str
    channels: tuple[str, ...]
    label_names: dict[int, str]
    cases: tuple[Case, ...]
    """Those with a label map, in the order of the file."""
    notes: tuple[str, ...]


def find_task(root: Path, wanted: str | None = None) -> tuple[Path, tuple[str, ...]]:
    """The folder of the task that is wanted, at the root or below it, and what there is to say of the choice."""
    require_folder(root, _WANTED)
    if (root / DESCRIPTION).is_file():
        if wanted is not None and not _pick([root], wanted):
            raise ConfigError(
                f"{root} is the task {_described(root)}, not '{wanted}'; leave task out, or give {_WANTED}"
            )
        return root, ()
    below = sorted(path.parent for path in root.glob(f"*/{DESCRIPTION}") if not path.parent.name.startswith("."))
    if not below:
        raise without(root, f"{DESCRIPTION}, nor has a folder in it", _WANTED)
    found = below if wanted is None else _pick(below, wanted)
    if len(found) == 1:
        return found[0], (f"task {found[0].name}, found below {root.name or root}",)
    names = few([folder.name for folder in found or below])
    if wanted is None:
        raise ConfigError(f"{root} holds {len(found)} tasks: {names}; name one: --set dataset.task={found[0].name}")
    problem = f"fits {len(found)} tasks" if found else "is not there"
    raise ConfigError(f"task '{wanted}' {problem}; {root} holds {names}. Give a number or a name, such as Task04")


def read_task(folder: Path) -> Task:
    """The description in a folder, and the cases it lists."""
    path = folder / DESCRIPTION
    description = read_object(path, example=_EXAMPLE)
    names = label_names(description, "labels", path, example=_EXAMPLE)
    channels = channel_names(description, "modality", path, example=_EXAMPLE)
    return Task(_name(description, folder), channels, names, _cases(description, folder), _notes(description))


def _pick(folders: Sequence[Path], wanted: str) -> list[Path]:
    """The folders whose own names fit, else those whose description has a name that fits."""
    number, name = _parsed(wanted)
    numbered = {folder: _parsed(_folder_name(folder)) for folder in folders}
    by_folder = [folder for folder, known in numbered.items() if _fits((number, name), known)]
    if by_folder or not name:
        return by_folder
    inner = {
        folder: _parsed(_name(read_object(folder / DESCRIPTION, example=_EXAMPLE), folder))[1] for folder in folders
    }
    return [folder for folder in folders if _fits((number, name), (numbered[folder][0], inner[folder]))]


def _fits(wanted: tuple[int | None, str], known: tuple[int | None, str]) -> bool:
    """Whether number and name agree as far as both sides have them, and one of the two is there to agree."""
    pairs = [(want, have) for want, have in zip(wanted, known, strict=True) if want not in {None, ""}]
    shared = [want == have for want, have in pairs if have not in {None, ""}]
    return bool(shared) and all(shared)


def _parsed(text: str) -> tuple[int | None, str]:
    """Number and name, from `Task04_Hippocampus`, `task4`, `04` or `hippocampus`."""
    match = _TASK.fullmatch(text.strip().casefold())
    number, name = match.group("number", "name") if match else (None, text.casefold())
    return (None if number is None else int(number)), re.sub(r"[\W_]+", "", name)


def _described(folder: Path) -> str:
    name = _name(read_object(folder / DESCRIPTION, example=_EXAMPLE), folder)
    own = _folder_name(folder)
    return own if name == own else f"{own} ({name})"


def _name(description: dict[str, Any], folder: Path) -> str:
    name = description.get("name")
    return name if isinstance(name, str) and name.strip() else _folder_name(folder)


def _folder_name(folder: Path) -> str:
    """As it was given; '.' and '..' have a name elsewhere."""
    return folder.name if folder.name not in {"", ".."} else folder.resolve().name


def _notes(description: dict[str, Any]) -> tuple[str, ...]:
    unlabelled = description.get("test")
    if not isinstance(unlabelled, list) or not unlabelled:
        return ()
    return (f"test cases without a label map are left out: {len(unlabelled)}",)


def _cases(description: dict[str, Any], folder: Path) -> tuple[Case, ...]:
    path = folder / DESCRIPTION
    entries = description.get("training")
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path}: 'training' is {shown(entries)}; it must list the cases, as in {_EXAMPLE}")
    pairs = [_pair(entry, position, folder) for position, entry in enumerate(entries)]
    cases = [Case(stem(image), (image,), label) for image, label in pairs if not image.name.startswith("._")]
    if not cases:
        raise DataError(f"{path}: 'training' lists nothing but macOS '._' files; unpack the archive again")
    require_unique([case.id for case in cases], f"{path}: 'training'")
    require_files([file for case in cases for file in case.files], folder, DESCRIPTION)
    return tuple(cases)


def _pair(entry: Any, position: int, folder: Path) -> tuple[Path, Path]:
    """Image and label of one entry."""
    where = f"{folder / DESCRIPTION}: 'training' entry {position + 1}"
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("image", "label")):
        raise DataError(f'{where} is {shown(entry)}; it must be {{"image": "imagesTr/...", "label": "labelsTr/..."}}')
    return inside(entry["image"], folder, where), inside(entry["label"], folder, where)
