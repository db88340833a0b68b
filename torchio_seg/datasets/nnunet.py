"""nnU-Net's raw data, version 2: DatasetXXX_Name with dataset.json, imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchio_seg.errors import ConfigError, DataError
from torchio_seg.listings.arrangement import without
from torchio_seg.listings.jsonfile import channel_names, read_json, read_object, shown
from torchio_seg.listings.nnunet_labels import labels_of
from torchio_seg.listings.paths import few, inside, is_hidden, require_files, require_folder, require_no_escape
from torchio_seg.records import Case, Dataset, Split
from torchio_seg.volumes.names import WHOLE, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DESCRIPTION, SPLITS, PREPROCESSED = "dataset.json", "splits_final.json", "nnUNet_preprocessed"
_EXAMPLE = '"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "numTraining": 9, "file_ending": ...'
_WANTED = f"the folder DatasetXXX_Name with {DESCRIPTION} in it, or the folder of such folders"
_NAME = re.compile(r"Dataset(\d{3,})_(.+)")
_CHANNEL = re.compile(r"(.+)_(\d{4})")


def build(root: Path, *, task: str | None = None) -> Dataset:
    """The labelled cases of a data set; `task` is its number or name where the root holds several."""
    folder = _located(Path(root), task)
    path = folder / DESCRIPTION
    description = read_object(path, example=_EXAMPLE)
    channels = _channels(description, path)
    ending = _ending(description, path)
    training = _training(description, folder, len(channels), ending)
    _require_number(description, training, path)
    test, notes = _test(folder, len(channels), ending)
    if both := sorted({case.id for case in training} & {case.id for case in test}):
        raise DataError(f"{folder}: {few(both)} stand in imagesTr and imagesTs; take them out of one")
    labels = labels_of(description, path)
    splits = _splits(folder, [case.id for case in training], tuple(case.id for case in test))
    cases = tuple(sorted([*training, *test], key=lambda case: case.id))
    return Dataset(folder.resolve().name, channels, labels, cases, splits, notes=notes)


def _located(root: Path, wanted: str | None) -> Path:
    """The folder of the data set that is meant."""
    require_folder(root, _WANTED)
    folders = (
        [root] if (root / DESCRIPTION).is_file() else sorted(path.parent for path in root.glob(f"*/{DESCRIPTION}"))
    )
    found = [folder for folder in folders if wanted is None or _is_called(folder, wanted)]
    if len(found) == 1:
        return found[0]
    names = few([folder.resolve().name for folder in folders])
    if not folders:
        raise without(root, f"{DESCRIPTION}, nor has a folder in it", _WANTED)
    if wanted is None:
        raise ConfigError(f"{root} holds {names}; say which by number or name: --dataset nnunet:{folders[0].name}")
    raise ConfigError(f"task '{wanted}' means {len(found)} of what {root} holds: {names}; give one's number or name")


def _is_called(folder: Path, wanted: str) -> bool:
    """Dataset004_Liver is `4`, `004`, `Liver` and `Dataset004_Liver`."""
    own = folder.resolve().name
    match = _NAME.fullmatch(own)
    by_number = match is not None and wanted.isdecimal() and int(match[1]) == int(wanted)
    return by_number or wanted == own or (match is not None and wanted == match[2])


def _channels(description: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    if "channel_names" not in description and "modality" in description:
        raise DataError(
            f"{path} has 'modality' and no 'channel_names': this is the Decathlon's layout or nnU-Net's first version; "
            "use the layout decathlon, or convert it as nnU-Net's documentation says"
        )
    return channel_names(description, "channel_names", path, example=_EXAMPLE)


def _ending(description: Mapping[str, Any], path: Path) -> str:
    ending = description.get("file_ending")
    if not isinstance(ending, str) or ending not in WHOLE:
        raise DataError(
            f"{path}: 'file_ending' is {shown(ending)}; only {listed(WHOLE)} are read. "
            "Convert the files to one of these"
        )
    return ending


def _training(description: Mapping[str, Any], folder: Path, num_channels: int, ending: str) -> list[Case]:
    """The cases that dataset.json names one by one, else those in imagesTr, each with a label map."""
    if "dataset" in description:
        return _mapped(description["dataset"], folder, num_channels)
    images = _images(folder / "imagesTr", num_channels, ending)
    labels = _files(folder / "labelsTr", ending)
    if not images:
        raise DataError(f"{folder}: imagesTr holds no CASE_0000{ending}; unpack the archive again, or give {_WANTED}")
    if alone := sorted(set(images) ^ set(labels)):
        lacking = few([f"{case} ({'label map' if case in images else 'images'})" for case in alone])
        raise DataError(
            f"{folder}: {len(alone)} cases lack something: {lacking}. Add the files, or take the others out"
        )
    return [Case(case, images[case], labels[case]) for case in sorted(images)]


def _test(folder: Path, num_channels: int, ending: str) -> tuple[list[Case], tuple[str, ...]]:
    """The test cases that have a label map, and what is to be said of the others."""
    images = _images(folder / "imagesTs", num_channels, ending)
    labels = _files(folder / "labelsTs", ending)
    if lost := sorted(set(labels) - set(images)):
        raise DataError(f"{folder}: labelsTs holds {few(lost)}, imagesTs has no images of them; add the images")
    cases = [Case(case, images[case], label) for case, label in labels.items()]
    unlabelled = len(images) - len(labels)
    return cases, ((f"{unlabelled} cases in imagesTs without a label map are left out",) if unlabelled else ())


def _images(folder: Path, num_channels: int, ending: str) -> dict[str, tuple[Path, ...]]:
    """The files of each case in a folder, one for each channel."""
    files = _files(folder, ending)
    if unnumbered := [path.name for name, path in files.items() if not _CHANNEL.fullmatch(name)]:
        raise DataError(f"{folder}: {few(unnumbered)} do not end in the number of a channel, such as CASE_0000{ending}")
    numbers: dict[str, set[int]] = {}
    for name in files:
        case, _, number = name.rpartition("_")
        numbers.setdefault(case, set()).add(int(number))
    wanted = set(range(num_channels))
    if odd := [f"{case} ({few([str(n) for n in sorted(has)])})" for case, has in numbers.items() if has != wanted]:
        raise DataError(
            f"{folder}: {len(odd)} of {len(numbers)} cases do not have the channels 0 to {num_channels - 1} of "
            f"{DESCRIPTION}: {few(odd)}. Add the files, or correct 'channel_names'"
        )
    return {case: tuple(files[f"{case}_{channel:04d}"] for channel in range(num_channels)) for case in numbers}


def _files(folder: Path, ending: str) -> dict[str, Path]:
    """The files of a folder by their names without the ending; none where there is no folder."""
    if not folder.is_dir():
        return {}
    paths = [path for path in sorted(folder.iterdir()) if path.name.endswith(ending) and not is_hidden(path)]
    require_no_escape(paths, folder.parent)
    return {path.name.removesuffix(ending): path for path in paths}


def _mapped(section: Any, folder: Path, num_channels: int) -> list[Case]:
    """Cases with explicit paths, which may lie in the data sets beside this one."""
    path = folder / DESCRIPTION
    if not isinstance(section, dict) or not section:
        raise DataError(f'{path}: \'dataset\' is {shown(section)}; it maps cases to {{"images": [...], "label": ...}}')
    cases = []
    for case, entry in section.items():
        images, label = (entry.get("images"), entry.get("label")) if isinstance(entry, dict) else (None, None)
        given = [*images, label] if isinstance(images, list) else []
        if len(given) != num_channels + 1 or not all(isinstance(each, str) for each in given):
            raise DataError(
                f'{path}: \'dataset\' gives {case} {shown(entry)}; it must be {{"images": [...], "label": ...}} with '
                f"{num_channels} images"
            )
        *files, last = (_beside(each, folder, f"{path}: 'dataset' entry {case}") for each in given)
        cases.append(Case(case, tuple(files), last))
    require_files([file for case in cases for file in case.files], folder.resolve().parent, f"{path} 'dataset'")
    return sorted(cases, key=lambda case: case.id)


def _beside(given: str, folder: Path, where: str) -> Path:
    """A path relative to the data set's folder that stays within the folder of all data sets."""
    home = folder.resolve()
    return inside(os.path.normpath(f"{home.name}/{given}") if not given.startswith("/") else given, home.parent, where)


def _require_number(description: Mapping[str, Any], training: Sequence[Case], path: Path) -> None:
    number = description.get("numTraining")
    if number != len(training) or isinstance(number, bool):
        raise DataError(
            f"{path}: 'numTraining' is {shown(number)}, {len(training)} training cases are there; "
            "add the files that lack, or correct the number"
        )


def _splits(folder: Path, training: Sequence[str], test: tuple[str, ...]) -> tuple[Split, ...]:
    """The folds of splits_final.json where there is one, else the test part where that has label maps."""
    home = folder.resolve()
    places = (home / SPLITS, home.parent.parent / PREPROCESSED / home.name / SPLITS)
    path = next((place for place in places if place.is_file()), None)
    if path is not None:
        folds = _folds(path, set(training))
        return tuple(
            Split(tuple(sorted(train)), tuple(sorted(val)), test, f"the data set's own fold {number}, of {SPLITS}")
            for number, (train, val) in enumerate(folds)
        )
    return (Split(tuple(training), (), test, "the data set's own imagesTr and imagesTs"),) if test else ()


def _folds(path: Path, known: set[str]) -> list[tuple[list[str], list[str]]]:
    """Who trains and who validates in each fold."""
    content = read_json(path)
    if not isinstance(content, list) or not content or not all(_is_fold(entry) for entry in content):
        raise DataError(f'{path} is {shown(content)}; it must be a list of {{"train": [...], "val": [...]}}')
    for number, entry in enumerate(content):
        ids = [*entry["train"], *entry["val"]]
        if unknown := sorted(set(ids) - known):
            raise DataError(f"{path}, fold {number}: there are no cases {few(unknown)} in imagesTr; correct the file")
        if repeated := sorted(case for case, times in Counter(ids).items() if times > 1):
            raise DataError(f"{path}, fold {number}: {few(repeated)} stand more than once; nobody trains and validates")
    return [(entry["train"], entry["val"]) for entry in content]


def _is_fold(entry: Any) -> bool:
    return isinstance(entry, dict) and all(
        isinstance(entry.get(part), list) and entry[part] and all(isinstance(case, str) for case in entry[part])
        for part in ("train", "val")
    )
