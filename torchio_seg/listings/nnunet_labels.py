"""The labels of nnU-Net's dataset.json: a value for each name, or several for each region and the one to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torchio_seg.errors import DataError
from torchio_seg.listings.jsonfile import shown
from torchio_seg.listings.paths import few
from torchio_seg.listings.values import declare
from torchio_seg.records import Labels, Region

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BACKGROUND, IGNORE, ORDER = "background", "ignore", "regions_class_order"


def labels_of(description: Mapping[str, Any], path: Path) -> Labels:
    """What is segmented: classes where every name has one value, else regions."""
    values = _values(description.get("labels"), path)
    if values.pop(BACKGROUND, None) != (0,):
        raise DataError(f"{path}: 'labels' has no \"background\": 0; nnU-Net's label maps have their background there")
    ignore = _ignored(values.pop(IGNORE, None), path)
    if not values or any(0 in members or ignore in members for members in values.values()):
        raise DataError(
            f"{path}: 'labels' is {shown(description['labels'])}; beside background and ignore it needs names whose "
            "values are neither"
        )
    if all(len(members) == 1 for members in values.values()):
        return _classes(values, ignore, path)
    return _regions(values, description.get(ORDER), ignore, path)


def _values(section: Any, path: Path) -> dict[str, tuple[int, ...]]:
    """The values that each name stands for."""
    if not isinstance(section, dict) or not section:
        raise DataError(
            f"{path}: 'labels' is {shown(section)}; it gives each name its value: {{\"background\": 0, ...}}"
        )
    values: dict[str, tuple[int, ...]] = {}
    for name, given in section.items():
        members = given if isinstance(given, list) else [given]
        if not members or not all(type(value) is int and value >= 0 for value in members):
            reverse = " This is the Decathlon's way round: layout decathlon" if isinstance(given, str) else ""
            raise DataError(
                f"{path}: 'labels' gives '{name}' the value {shown(given)}; it is a whole number, or a list of them "
                f"for a region.{reverse}"
            )
        values[name] = tuple(sorted(set(members)))
    return values


def _ignored(members: tuple[int, ...] | None, path: Path) -> int | None:
    if members is None:
        return None
    if len(members) > 1 or members == (0,):
        raise DataError(f"{path}: 'labels' gives 'ignore' the values {list(members)}; it is one value above 0")
    return members[0]


def _classes(values: Mapping[str, tuple[int, ...]], ignore: int | None, path: Path) -> Labels:
    names: dict[int, str] = {}
    for name, (value,) in values.items():
        if value in names:
            raise DataError(f"{path}: 'labels' gives '{names[value]}' and '{name}' the value {value}; keep one of them")
        names[value] = name
    return declare(names, ignore=ignore)


def _regions(values: Mapping[str, tuple[int, ...]], order: Any, ignore: int | None, path: Path) -> Labels:
    """Regions in the order of the file, later written over earlier, each with the value that the file says."""
    if not isinstance(order, list) or len(order) != len(values) or not all(type(value) is int for value in order):
        raise DataError(
            f"{path}: '{ORDER}' is {shown(order)}; it holds the value that is written for each of the {len(values)} "
            f"regions {few(list(values))}"
        )
    regions = tuple(Region(name, members, value) for (name, members), value in zip(values.items(), order, strict=True))
    for number, region in enumerate(regions):
        later = [other.name for other in regions[number + 1 :] if region.value in other.labels]
        if region.value not in region.labels or later:
            problem = f"is in {few(later)} too" if later else f"is none of its values {list(region.labels)}"
            raise DataError(
                f"{path}: '{ORDER}' writes {region.value} for '{region.name}', which {problem}; what is written would "
                "be read back as something else. List outer regions first, each with a value that no later one has"
            )
    own_names = {members[0]: name for name, members in values.items() if len(members) == 1}
    union = {value for members in values.values() for value in members}
    named = declare({value: own_names.get(value, f"label {value}") for value in union}, ignore=ignore)
    return Labels(named.names, regions, exclusive=False, ignore=ignore)
