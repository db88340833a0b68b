"""The scans below a folder, and those of them that a pattern like `ct/{id}_{channel}.nii.gz` names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from torchio_seg.errors import ConfigError, DataError
from torchio_seg.listings.paths import few, is_hidden, is_volume, require_no_escape

if TYPE_CHECKING:
    from collections.abc import Sequence

_WILD = {"**/": "(?:.+/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True)
class Scan:
    """One file, and what its place says about it."""

    path: Path
    case: str
    part: str = ""
    """training, validation or test; empty where the place does not say."""
    channel: str = ""


def scans_below(root: Path) -> list[Path]:
    """Every volume that is not hidden, in order; folders that are links are not entered."""
    found: list[Path] = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        paths = [Path(folder, name) for name in sorted(files)]
        found += [path for path in paths if is_volume(path) and not is_hidden(path)]
    require_no_escape(found, root)
    return found


def matching(root: Path, pattern: str, option: str, channels: Sequence[str] = ()) -> list[tuple[Path, dict[str, str]]]:
    """The scans that a pattern relative to the root names, and what stands at its {id} and {channel}."""
    if (root / pattern).is_dir():
        pattern = f"{pattern.rstrip('/')}/*"
    _require_pattern(pattern, option, channels)
    expression = re.compile(_translated(pattern, channels))
    scans = scans_below(root)
    matches = [(path, expression.fullmatch(path.relative_to(root).as_posix())) for path in scans]
    named = [(path, match.groupdict()) for path, match in matches if match is not None]
    if not named:
        there = few([path.relative_to(root).as_posix() for path in scans]) or "no volume"
        raise DataError(f"{option} '{pattern}' matches nothing below {root}; there is: {there}")
    return named


def _require_pattern(pattern: str, option: str, channels: Sequence[str]) -> None:
    relative = PurePosixPath(pattern)
    if relative.is_absolute() or ".." in relative.parts or "\\" in pattern or ":" in pattern or not relative.parts:
        raise ConfigError(f"{option} is '{pattern}'; patterns are relative to the root and stay within it: ct/*.nii.gz")
    fields = re.findall(r"\{[^}]*\}?|\}", pattern)
    if unknown := sorted(set(fields) - {"{id}", "{channel}"}):
        raise ConfigError(
            f"{option} is '{pattern}'; {', '.join(unknown)} means nothing there, {{id}} and {{channel}} do"
        )
    if "{channel}" in fields and (option != "images" or not channels):
        what = "only images have channels" if option != "images" else "name them, as in channels: [FLAIR, T1]"
        raise ConfigError(f"{option} is '{pattern}', with {{channel}}; {what}")
    if "{channel}" in fields and "{id}" not in fields:
        raise ConfigError(f"{option} is '{pattern}', with {{channel}}; say with {{id}} what the files of a case share")


def _translated(pattern: str, channels: Sequence[str]) -> str:
    """The pattern as a regular expression over paths below the root."""
    longest_first = sorted(channels, key=len, reverse=True)
    fields = {"{id}": "[^/]+", "{channel}": "|".join(re.escape(channel) for channel in longest_first)}
    expression, seen = "", set()
    for piece in re.split(r"(\{id\}|\{channel\}|\*\*/|\*\*|\*|\?)", pattern):
        name = piece.strip("{}")
        if piece in seen:
            expression += f"(?P={name})"
        elif piece in fields:
            expression += f"(?P<{name}>{fields[piece]})"
            seen.add(piece)
        else:
            expression += _WILD.get(piece, re.escape(piece))
    return expression
