"""JSON that describes a data set, read strictly: valid, one object, no key twice, no NaN."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from torchio_seg.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def read_object(path: Path, *, example: str) -> dict[str, Any]:
    """The object in a file; `example` is what belongs between its braces."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}; it must be an object, as in {{{example}}}")
    return content


def read_json(path: Path) -> Any:
    """What a file holds."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_repetition)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON ({error}); mend it, or unpack the archive again") from error


def numbered(content: Mapping[str, Any], key: str, path: Path, *, example: str) -> dict[int, str]:
    """A section like {"0": "background", "1": "liver"}, by ascending numbers."""
    section = content.get(key)
    if not isinstance(section, dict) or not section:
        raise DataError(f"{path}: '{key}' is {shown(section)}; it must map numbers to names, as in {{{example}}}")
    names: dict[int, str] = {}
    for number, name in section.items():
        if not (number.isascii() and number.isdigit()) or not isinstance(name, str) or not name.strip():
            raise DataError(f"{path}: '{key}' holds {shown(number)}: {shown(name)}; it maps whole numbers to names")
        if int(number) in names:
            raise DataError(f"{path}: '{key}' holds the number {int(number)} twice; keep one")
        names[int(number)] = name
    return dict(sorted(names.items()))


def channel_names(content: Mapping[str, Any], key: str, path: Path, *, example: str) -> tuple[str, ...]:
    """A section like {"0": "FLAIR", "1": "T1w"}, whose numbers have no gap."""
    channels = numbered(content, key, path, example=example)
    if list(channels) != list(range(len(channels))):
        raise DataError(f"{path}: '{key}' numbers its channels {list(channels)}; number them 0, 1, 2 ...")
    return tuple(channels.values())


def label_names(content: Mapping[str, Any], key: str, path: Path, *, example: str) -> dict[int, str]:
    """A section like {"0": "background", "1": "liver"}, with its background."""
    names = numbered(content, key, path, example=example)
    if 0 not in names:
        raise DataError(f"{path}: '{key}' has {list(names)}; 0 must be there, it is the background")
    return names


def shown(value: Any) -> str:
    """A piece of JSON as a message quotes it, cut to 80 characters."""
    if value is None:
        return "missing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = sorted({key for key in keys if keys.count(key) > 1})
        raise ValueError(f"key {', '.join(map(repr, repeated))} stands twice")
    return content
