"""What is wrong with settings, one sentence a key: what was given, what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from torchio_seg.components import suggestion

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_ALTERNATIVE = re.compile(r"(tuple|literal|list|dict)\[|constrained-|function-|(int|float|bool|str|none)$")
"""What pydantic adds to a location to tell which of several types it tried."""
_WORD = re.compile(r"'([^']*)'")


def sentences(error: ValidationError, model: type[BaseModel], prefix: str) -> list[str]:
    """Pydantic's errors in our words; alternatives to each other are joined."""
    by_key: dict[str, list[ErrorDetails]] = {}
    for item in error.errors():
        by_key.setdefault(prefix + ".".join(map(str, _location(item))), []).append(item)
    return [f"{key}: {_sentence(items, model)}" for key, items in by_key.items()]


def _sentence(items: Sequence[ErrorDetails], model: type[BaseModel]) -> str:
    first, *others = items
    if first["type"] == "extra_forbidden":
        *place, name = _location(first)
        return f"unknown key{suggestion(str(name), _keys(model, place))}"
    if first["type"] == "missing":
        return "must be given"
    if first["type"] == "literal_error" and not others and isinstance(first["input"], str):
        return f"got '{first['input']}'{suggestion(first['input'], tuple(_WORD.findall(first['msg'])))}"
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    given = "" if isinstance(first["input"], Mapping) else f"got {first['input']!r}; "  # a section is long
    others_told = [other["msg"].removeprefix("Value error, ").removeprefix("Input should be ") for other in others]
    return f"{given}{', or '.join([message, *others_told])}"


def _location(item: ErrorDetails) -> list[Any]:
    return [part for part in item["loc"] if not (isinstance(part, str) and _ALTERNATIVE.match(part))]


def _keys(model: type[BaseModel], path: Sequence[Any]) -> tuple[str, ...]:
    for part in path:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return ()
        model = annotation
    return tuple(model.model_fields)
