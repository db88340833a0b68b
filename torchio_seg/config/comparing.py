"""Where two experiments differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torchio_seg.config.sections import Experiment


def differing(before: Experiment, after: Experiment) -> dict[str, Any]:
    """The settings that are not the same, by dotted key, as they are in the second."""
    old, new = flat(before.model_dump(mode="json")), flat(after.model_dump(mode="json"))
    return {key: new.get(key) for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)}


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found
