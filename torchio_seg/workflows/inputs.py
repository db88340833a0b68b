"""From what the user names (files, folders, patterns, CHANNEL=FILE) to the cases to predict."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from torchio_seg.errors import DataError, UsageError
from torchio_seg.records import Case
from torchio_seg.volumes.nifti import read_geometry, stem

SUFFIXES = (".nii", ".nii.gz")


def find_cases(inputs: Sequence[str], channels: Sequence[str]) -> list[Case]:
    """The cases that the inputs stand for, each with one file of all channels or a file for every channel."""
    if named := [text for text in inputs if _channel_of_assignment(text, channels)]:
        return [_assigned(inputs, named, channels)]
    files = [file for text in inputs for file in _expand(text)]
    if len(channels) == 1:
        return _unique([Case(stem(file), (file,)) for file in files])
    whole = [file for file in files if _channel_of_name(file, channels) is None]
    split = [file for file in files if _channel_of_name(file, channels) is not None]
    cases = [Case(stem(file), (file,)) for file in whole]
    for case in cases:
        _require_channels(case, channels)
    return _unique(cases + _grouped(split, channels))


def _expand(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        files = sorted(
            file for file in path.iterdir() if file.name.endswith(SUFFIXES) and not file.name.startswith(".")
        )
        if not files:
            raise UsageError(f"{path} holds no .nii or .nii.gz file")
        return files
    if path.exists():
        return [path]
    found = sorted(Path(match) for match in glob.glob(text, recursive=True))  # noqa: PTH207 (the user's own pattern)
    if not found:
        raise UsageError(f"no file or folder {text}" + (" matches" if glob.has_magic(text) else ""))
    return found


def _channel_of_assignment(text: str, channels: Sequence[str]) -> str | None:
    name, equals, _ = text.partition("=")
    if not equals or Path(text).exists():
        return None
    return next((channel for channel in channels if channel.lower() == name.lower()), None)


def _channel_of_name(file: Path, channels: Sequence[str]) -> str | None:
    """The channel that a file's name ends in, as case_FLAIR.nii.gz, case-t1w.nii or case_0000.nii.gz."""
    name = stem(file).lower()
    for number, channel in enumerate(channels):
        if any(name.endswith(f"{mark}{ending}") for mark in "_-" for ending in (channel.lower(), f"{number:04d}")):
            return channel
    return None


def _assigned(inputs: Sequence[str], named: Sequence[str], channels: Sequence[str]) -> Case:
    files = {str(_channel_of_assignment(text, channels)): Path(text.partition("=")[2]) for text in named}
    if len(named) != len(inputs) or len(files) != len(named) or set(files) != set(channels):
        raise UsageError(
            f"got {' '.join(inputs)}; the model needs each channel once: "
            + " ".join(f"{channel}=FILE" for channel in channels)
        )
    first = files[channels[0]]
    name = stem(first)
    if _channel_of_name(first, channels) is not None:
        name = name[: -len(channels[0]) - 1] if name.lower().endswith(channels[0].lower()) else name[:-5]
    return Case(name, tuple(files[channel] for channel in channels))


def _grouped(files: Sequence[Path], channels: Sequence[str]) -> list[Case]:
    groups: dict[tuple[Path, str], dict[str, Path]] = {}
    for file in files:
        channel = str(_channel_of_name(file, channels))
        name = stem(file)
        ending = len(channel) if name.lower().endswith(channel.lower()) else 4
        groups.setdefault((file.parent, name[: -ending - 1]), {})[channel] = file
    for (folder, name), group in groups.items():
        if missing := [channel for channel in channels if channel not in group]:
            raise DataError(
                f"{folder / name}: no file for channel {', '.join(missing)}; the model takes {', '.join(channels)}, "
                f"as {name}_{channels[0]}.nii.gz and so on, or one file of all channels"
            )
    return [Case(name, tuple(group[channel] for channel in channels)) for (_, name), group in groups.items()]


def _require_channels(case: Case, channels: Sequence[str]) -> None:
    found = read_geometry(case.images[0]).num_channels
    if found != len(channels):
        raise DataError(
            f"{case.images[0]} has {found} channel{'s' * (found != 1)}, the model takes {len(channels)}: "
            f"{', '.join(channels)}. Give one file of all channels, or one per channel as "
            + " ".join(f"{channel}=FILE" for channel in channels)
        )


def _unique(cases: list[Case]) -> list[Case]:
    seen: dict[str, Case] = {}
    for case in cases:
        if case.id in seen:
            raise UsageError(
                f"{case.images[0]} and {seen[case.id].images[0]} would be written under one name, {case.id}_seg; "
                "predict them one by one"
            )
        seen[case.id] = case
    return cases
