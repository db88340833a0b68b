"""From what the user names (files, folders, patterns, CHANNEL=FILE) to the cases to predict."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torchio_seg.components import suggestion
from torchio_seg.errors import DataError, TorchioSegError, UsageError
from torchio_seg.listings.brats_names import LABEL, NEW, OLD
from torchio_seg.records import Case
from torchio_seg.volumes.nifti import read_geometry, stem
from torchio_seg.workflows.beforehand import no_input
from torchio_seg.workflows.dicom_inputs import by_row, is_dicom, name_of, own_name
from torchio_seg.workflows.input_folders import cases_in

CaseKey = tuple[Path, str]
"""Folder and name of a case that has a file for every channel."""
Group = dict[str, Path]
"""Those files by channel."""


def find_cases(
    inputs: Sequence[str], channels: Sequence[str], series: str | None = None, output: Path | None = None
) -> list[Case]:
    """The cases that the inputs stand for, each with one file of all channels or a file for every channel.

    A folder of DICOM, or a zip archive of one, is a file of one channel; `series` says which of several in it is meant.
    Where outputs go to a folder in another, that is no input.
    """
    if named := [text for text in inputs if _channel_of_assignment(text, channels)]:
        return [_assigned(inputs, named, channels, series)]
    _require_no_other_channel(inputs, channels)
    roots = {file: root for text in inputs for file, root in _expand(text, series, output)}
    files = list(roots)
    _require_use(series, files)
    if len(channels) == 1:
        return _named_apart([Case(_name(file, roots[file], series, alone=len(files) == 1), (file,)) for file in files])
    if not (files := [file for file in files if not _is_segmentation(file)]):
        raise UsageError(f"{' '.join(inputs)}: there are only label maps; give the channels {', '.join(channels)}")
    found = {file: _num_channels(file) for file in files}
    groups = _grouped([file for file in files if found[file] != len(channels)], channels)
    split = {key: group for key, group in groups.items() if not _is_damaged(group, found, channels)}
    parts = {file for group in split.values() for file in group.values()}
    whole = [file for file in files if file not in parts]
    for file in whole:
        _require_channels(file, found[file], channels)
    return _named_apart([*(Case(stem(file), (file,)) for file in whole), *_joined(split, channels)])


def settle_series(cases: Sequence[Case], series: str | None) -> str | None:
    """The series that is asked for: of one study alone also by its row in the list, which then stands for its UID."""
    images = [image for case in cases for image in case.images]
    return by_row(images[0], series) if len(images) == 1 and is_dicom(images[0]) else series


def _expand(text: str, series: str | None, output: Path | None) -> list[tuple[Path, Path]]:
    """Files and folders of cases, each with what the user named that it lies in, which may be itself."""
    path = Path(text)
    found = [path] if path.exists() else sorted(map(Path, glob.glob(text, recursive=True)))  # noqa: PTH207 (the user's own pattern)
    if not found:
        raise no_input(text)
    only_dicom = series is not None and any(is_dicom(each) for each in found)
    return [
        (file, each)
        for each in found
        for file in (cases_in(each, only_dicom=only_dicom, output=output) if each.is_dir() else [each])
    ]


def _name(file: Path, root: Path, series: str | None, *, alone: bool) -> str:
    """What a prediction of a file, or of a series of DICOM, is called.

    Where none can be chosen of a case among others, it is told when its turn comes.
    """
    if not is_dicom(file):
        return stem(file)
    try:
        return name_of(file, root, by_row(file, series) if alone else series)
    except TorchioSegError:
        if alone:
            raise
        return own_name(file, root)


def _require_use(series: str | None, files: Sequence[Path]) -> None:
    if series is not None and not any(is_dicom(file) for file in files):
        raise UsageError(f"--series {series}: there is no DICOM among the inputs to choose from; leave it out")


def _channel_of_assignment(text: str, channels: Sequence[str]) -> str | None:
    name, equals, _ = text.partition("=")
    if not equals or Path(text).exists():
        return None
    return next((channel for channel in channels if channel.lower() == name.lower()), None)


def _split_name(file: Path, channels: Sequence[str]) -> tuple[str, str] | None:
    """Case and channel, where a name ends in a channel, as case_FLAIR.nii.gz, case-t1w.nii or case_0000.nii.gz.

    BraTS' own endings are understood too, for a model with its channels.
    """
    name = stem(file)
    for number, channel in enumerate(channels):
        for ending in (channel, f"{number:04d}", *(old for old, meant in {**OLD, **NEW}.items() if meant == channel)):
            if name.lower().endswith((f"_{ending.lower()}", f"-{ending.lower()}")):
                return name[: -len(ending) - 1], channel
    return None


def _is_segmentation(file: Path) -> bool:
    """Whether a file is called as the label map that lies beside a case's channels."""
    name = stem(file).lower()
    return any(name.endswith((f"_{ending}", f"-{ending}")) for ending, meant in OLD.items() if meant == LABEL)


def _num_channels(file: Path) -> int | None:
    """What the header says; None where it cannot be read, which is reported when the case is predicted."""
    if is_dicom(file):
        return 1
    try:
        return read_geometry(file).num_channels
    except DataError:
        return None


def _assigned(inputs: Sequence[str], named: Sequence[str], channels: Sequence[str], series: str | None) -> Case:
    _require_each_once(inputs, named, channels)
    files = {str(_channel_of_assignment(text, channels)): Path(text.partition("=")[2]) for text in named}
    for channel, file in files.items():
        if not (file.is_file() or is_dicom(file)):
            raise no_input(f"{channel}={file}")
    _require_use(series, list(files.values()))
    split = _split_name(first := files[channels[0]], channels)
    name = split[0] if split else _name(first, first, series, alone=len(files) == 1)
    return Case(name, tuple(files[channel] for channel in channels))


def _require_each_once(inputs: Sequence[str], named: Sequence[str], channels: Sequence[str]) -> None:
    """Hold that there is a file for every channel and nothing else."""
    given = [str(_channel_of_assignment(text, channels)) for text in named]
    wanted = " ".join(f"{channel}=FILE" for channel in channels)
    if others := [text for text in inputs if text not in named]:
        raise UsageError(f"{others[0]} names none of the model's channels; give {wanted}, one case at a time")
    if twice := [channel for channel in channels if given.count(channel) > 1]:
        raise UsageError(f"channel {twice[0]} is given twice; give each once: {wanted}")
    if missing := [channel for channel in channels if channel not in given]:
        raise UsageError(f"no file for channel {', '.join(missing)}; the model needs {wanted}")


def _require_no_other_channel(inputs: Sequence[str], channels: Sequence[str]) -> None:
    """Refuse CHANNEL=FILE whose file is there and whose channel the model does not have."""
    for text in inputs:
        name, equals, file = text.partition("=")
        if equals and not Path(text).exists() and Path(file).is_file():
            raise UsageError(f"{text}: the model has no channel '{name}'{suggestion(name, tuple(channels))}")


def _grouped(files: Sequence[Path], channels: Sequence[str]) -> dict[CaseKey, Group]:
    groups: dict[CaseKey, Group] = {}
    for file in files:
        if (split := _split_name(file, channels)) is None:
            continue
        name, channel = split
        other = groups.setdefault((file.parent, name), {}).setdefault(channel, file)
        if other != file:
            raise UsageError(f"{other} and {file} are both channel {channel} of {name}; name one of them")
    return groups


def _is_damaged(group: Group, found: Mapping[Path, int | None], channels: Sequence[str]) -> bool:
    """Whether nothing but their names says that these files, which cannot be read, are channels of a case."""
    return len(group) < len(channels) and all(found[file] is None for file in group.values())


def _joined(groups: Mapping[CaseKey, Group], channels: Sequence[str]) -> list[Case]:
    for (folder, name), group in groups.items():
        if missing := [channel for channel in channels if channel not in group]:
            raise DataError(
                f"{folder / name}: no file for channel {', '.join(missing)}; the model takes {', '.join(channels)}, "
                f"as {name}_{channels[0]}.nii.gz and so on, or one file of all channels"
            )
    return [Case(name, tuple(group[channel] for channel in channels)) for (_, name), group in groups.items()]


def _require_channels(file: Path, found: int | None, channels: Sequence[str]) -> None:
    if found not in (None, len(channels)):
        raise DataError(
            f"{file} has {found} channel{'s' * (found != 1)}, the model takes {len(channels)}: "
            f"{', '.join(channels)}. Give one file of all channels, or one per channel as "
            + " ".join(f"{channel}=FILE" for channel in channels)
        )


def _named_apart(cases: Sequence[Case]) -> list[Case]:
    """The cases, of which those of one name are called by their folders too, by as few as tell them apart."""
    alike: dict[str, list[Case]] = {}
    for case in cases:
        alike.setdefault(case.id, []).append(case)
    depths = {name: _telling_depth(list(map(_folders, own))) for name, own in alike.items()}
    named = [
        replace(case, id="_".join((*_folders(case)[-depths[case.id] :], case.id))) if depths[case.id] else case
        for case in cases
    ]
    seen: dict[str, Case] = {}
    for case in named:
        if (other := seen.setdefault(case.id, case)) is not case:
            raise UsageError(
                f"{case.images[0]} and {other.images[0]} would be written under one name, {case.id}_seg; "
                "predict them one by one"
            )
    return named


def _folders(case: Case) -> tuple[str, ...]:
    """The names of those that its first image lies in, as the user sees them: a link is not followed."""
    return Path(os.path.abspath(case.images[0])).parent.parts[1:]  # noqa: PTH100 (resolve() follows links)


def _telling_depth(folders: Sequence[tuple[str, ...]]) -> int:
    """How many of their last names tell folders apart; 0 where nothing does, or there is one alone."""
    if len(folders) == 1:
        return 0
    depths = range(1, 1 + max(map(len, folders)))
    return next((depth for depth in depths if len({each[-depth:] for each in folders}) == len(folders)), 0)
