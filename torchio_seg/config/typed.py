"""Sizes and amounts of memory as people type them."""

from __future__ import annotations

import re

from torchio_seg.errors import UsageError

_UNITS = {"b": 1} | {
    f"{letter}{middle}b": int((1024 if middle else 1000) ** power)
    for power, letter in enumerate("kmgt", start=1)
    for middle in ("", "i")
}


def parse_size(text: str | None, option: str) -> list[int] | None:
    """A size as the user types it: 96, 96,96,64 or 96x96x64."""
    if text is None:
        return None
    parts = text.replace("x", ",").split(",")
    if not all(part.strip().isdecimal() and int(part) for part in parts) or len(parts) not in {1, 3}:
        raise UsageError(f"{option} {text}: give one number of voxels or three, as 96 or 96,96,64")
    numbers = [int(part) for part in parts]
    return numbers * 3 if len(numbers) == 1 else numbers


def parse_bytes(text: str | None, option: str) -> int | None:
    """An amount of memory as the user types it: 8GiB, 500MB, 1.5 GiB. A bare number is refused: 10 of what?"""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    if found is None or found[2] not in _UNITS or not (number := round(float(found[1]) * _UNITS[found[2]])):
        raise UsageError(f"{option} {text}: give an amount of memory above 0 with its unit, as 8GiB, 500MB or 1.5GiB")
    return number
