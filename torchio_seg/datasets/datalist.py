"""A datalist as MONAI reads it: one JSON that lists images and labels for training, validation and test, or folds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchio_seg.errors import ConfigError, DataError
from torchio_seg.listings.arrangement import without
from torchio_seg.listings.channels import name_channels
from torchio_seg.listings.entries import EXAMPLE, Entry, read_entries
from torchio_seg.listings.jsonfile import channel_names, numbered, read_object
from torchio_seg.listings.paths import few, require_files, require_folder
from torchio_seg.listings.values import declare, discover
from torchio_seg.records import Case, Dataset, Labels, Split

if TYPE_CHECKING:
    from collections.abc import Sequence

_WANTED = "the JSON that lists the cases, or the folder that holds it"


def build(  # noqa: PLR0913 (options are what a component is made of)
    root: Path,
    *,
    file: str | None = None,
    base: str | None = None,
    channels: tuple[str, ...] = (),
    labels: dict[int, str] | None = None,
    regions: dict[str, tuple[int, ...]] | None = None,
    ignore: int | None = None,
) -> Dataset:
    """The labelled cases of the list `root`, or of the one in that folder, whose paths are relative to `base`.

    Channels and labels are called as said here, else as the file's 'modality' and 'labels' say; labels that nobody has
    named are found in the label maps.
    """
    path = _located(Path(root), file)
    content = read_object(path, example=EXAMPLE)
    folder = path.parent / (base or "")
    require_folder(folder, "base=FOLDER, the one to which the paths of the list are relative")
    listed = read_entries(content, path, folder)
    entries = [entry for entry in listed if entry.label is not None]
    splits = _splits(entries, path)
    cases = [Case(entry.id, entry.images, entry.label, entry.group) for entry in entries]
    require_files([scan for case in cases for scan in case.files], folder, path.name)
    files = [case.label for case in cases if case.label]
    declared, about_labels = _labels(labels or _stated_labels(content, path), files, regions, ignore)
    name = content.get("name")
    return Dataset(
        name if isinstance(name, str) and name.strip() else path.stem,
        name_channels([case.images for case in cases], channels or _stated_channels(content, path), default="image"),
        declared,
        tuple(sorted(cases, key=lambda case: case.id)),
        splits,
        listing=tuple(case.id for case in cases),
        notes=(*_notes(listed, path), *about_labels),
    )


def _located(root: Path, file: str | None) -> Path:
    """The list that is meant."""
    if root.is_file():
        if file is not None:
            raise ConfigError(f"{root} is a file, so 'file' ({file}) says nothing; leave it out, or give the folder")
        return root
    require_folder(root, _WANTED)
    present = sorted(path for path in root.glob("*.json") if not path.name.startswith("."))
    if file is not None:
        if not (root / file).is_file():
            names = few([path.name for path in present]) or "no .json"
            raise ConfigError(f"file is '{file}', which is not in {root}; there is {names}")
        return root / file
    if not present:
        raise without(root, "list of cases (.json)", _WANTED)
    lists = present if len(present) == 1 else [path for path in present if _is_list(path)]
    if len(lists) != 1:
        names = few([path.name for path in lists or present])
        raise DataError(f"{root} holds {names}; say which one lists the cases: --set dataset.file=NAME")
    return lists[0]


def _is_list(path: Path) -> bool:
    try:
        return isinstance(read_object(path, example=EXAMPLE).get("training"), list)
    except DataError:
        return False


def _stated_channels(content: dict[str, Any], path: Path) -> tuple[str, ...]:
    """What 'modality' says: one word, or names by number; nothing where it is missing."""
    modality = content.get("modality")
    if isinstance(modality, str) and modality.strip():
        return (modality.strip(),)
    return () if modality is None else channel_names(content, "modality", path, example='"modality": {"0": "CT"}')


def _stated_labels(content: dict[str, Any], path: Path) -> dict[int, str] | None:
    """What 'labels' says, where it is there."""
    if content.get("labels") is None:
        return None
    return numbered(content, "labels", path, example='"labels": {"0": "background", "1": "spleen", ...}')


def _labels(
    names: dict[int, str] | None, files: Sequence[Path], regions: dict[str, tuple[int, ...]] | None, ignore: int | None
) -> tuple[Labels, tuple[str, ...]]:
    """As named; else as found in the label maps, and what there is to say of that."""
    if names:
        return declare(names, regions=regions, ignore=ignore), ()
    return discover(files, regions=regions, ignore=ignore)


def _notes(listed: Sequence[Entry], path: Path) -> list[str]:
    unlabelled = [entry.id for entry in listed if entry.label is None]
    notes = [f"cases without a label map are left out: {few(unlabelled)}"] if unlabelled else []
    always = [entry.id for entry in listed if entry.label and entry.part == "training" and entry.fold is None]
    if any(entry.fold is not None for entry in listed) and always:
        notes.append(f"cases without a fold train in every one: {few(always)}")
    return [f"cases are listed in {path.name}", *notes]


def _splits(entries: Sequence[Entry], path: Path) -> tuple[Split, ...]:
    """One for each fold that training entries name, else one as the parts of the list say."""
    parts = {part: [each for each in entries if each.part == part] for part in ("training", "validation", "test")}
    training, validation, test = parts.values()
    if not training:
        raise DataError(f"{path}: 'training' lists no case with a label map; there must be some, as in {{{EXAMPLE}}}")
    folds = sorted({entry.fold for entry in training if entry.fold is not None})
    if not folds:
        if not validation and not test:
            return ()
        return (Split(_ids(training), _ids(validation), _ids(test), f"the lists of {path.name}"),)
    _require_folds(folds, training, validation, path)
    return tuple(
        Split(
            _ids([entry for entry in training if entry.fold != fold]),
            _ids([entry for entry in training if entry.fold == fold]),
            _ids(test),
            f"fold {fold} of {path.name}",
        )
        for fold in folds
    )


def _require_folds(folds: Sequence[int], training: Sequence[Entry], validation: Sequence[Entry], path: Path) -> None:
    """Hold that folds have no gap, leave something to train, and are the only word on who validates."""
    if list(folds) != list(range(len(folds))):
        raise DataError(f"{path}: the folds are {list(folds)}; count them 0, 1, 2 ... without a gap")
    if all(entry.fold == 0 for entry in training):
        raise DataError(f"{path}: all {len(training)} training cases are in fold 0, so none would train; use two folds")
    if validation:
        raise DataError(
            f"{path}: 'training' has folds, and 'validation' lists {len(validation)} labelled cases too; "
            "who validates must be said once: take the folds out, or move these cases to 'training' or 'test'"
        )


def _ids(entries: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(sorted(entry.id for entry in entries))
