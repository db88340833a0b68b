"""Times as settings and the command line write them: 90s, 30m, 1h30m, 2d."""

from __future__ import annotations

import re

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def is_duration(value: object) -> bool:
    """Whether it is a time, as text."""
    return isinstance(value, str) and (match := _DURATION.fullmatch(value)) is not None and any(match.groups())


def seconds(duration: str) -> int:
    """Its length."""
    match = _DURATION.fullmatch(duration)
    days, hours, minutes, rest = (int(part or 0) for part in match.groups()) if match else (0, 0, 0, 0)
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest
