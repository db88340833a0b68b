"""Which values the label maps of a data set hold, and what is segmented of them.

One bad file does not hide what the others hold: a label map that cannot be trusted says nothing here, nor does a value
that can be no label. The check of the data set, which every training runs, reports each with its case.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from torchio_seg.errors import DataError
from torchio_seg.facts import label_values
from torchio_seg.listings.paths import few
from torchio_seg.records import Labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    Regions = Mapping[str, Sequence[int]]
    Found = Mapping[Path, Mapping[int, int]]
    """How many voxels of each label map hold each value."""


MASK = 255
"""What image editors write for a structure."""
_MOST_VALUES = 256
_MANY_FILES = 10
"""From here on, a value in one of them only is worth a word."""


def discover(
    files: Sequence[Path],
    *,
    names: Mapping[int, str] | None = None,
    regions: Regions | None = None,
    ignore: int | None = None,
) -> tuple[Labels, tuple[str, ...]]:
    """Labels from what the label maps hold, under the names given where there are some, and what is to be said."""
    found = label_values(files)
    _require_labels(found, ignore)
    silent = [path.name for path in dict.fromkeys(files) if path not in found]
    if names is None:
        _require_one_kind_of_mask(found)
        names = _numbered_names(found, ignore)
    labels = declare(names, regions=regions, ignore=ignore)
    unread = (f"label maps that cannot be trusted say nothing here: {few(silent)}",) if silent else ()
    return labels, (*_notes(found, labels), *unread)


def declare(names: Mapping[int, str], *, regions: Regions | None = None, ignore: int | None = None) -> Labels:
    """Labels as somebody has named them; a background and the value to ignore need not be among the names."""
    named = {0: "background", **names, **({} if ignore is None else {ignore: names.get(ignore, "ignore")})}
    named = dict(sorted(named.items()))
    _require_names(named, ignore)
    if regions is None:
        return Labels.of_classes(named, ignore=ignore)
    _require_regions(regions, named, ignore)
    return Labels.of_regions(named, regions, ignore=ignore)


def _require_names(names: Mapping[int, str], ignore: int | None) -> None:
    if min(names) < 0 or ignore == 0:
        raise DataError(f"labels {list(names)}, ignore {ignore}: labels count from 1, 0 is the background")
    if repeated := [name for name, number in Counter(names.values()).items() if number > 1]:
        raise DataError(f"the names {few(repeated)} stand for more than one label; give each label its own name")
    if not set(names) - {0, ignore}:
        raise DataError(f"labels {list(names)}: nothing is left to segment; name at least one label above 0")


def _require_regions(regions: Regions, names: Mapping[int, str], ignore: int | None) -> None:
    """Hold that regions are made of labels that are there."""
    if not regions:
        raise DataError("regions is empty; name at least one region with its labels, or leave regions out")
    allowed = {value: name for value, name in names.items() if value not in {0, ignore}}
    for region, members in regions.items():
        if not members or set(members) - set(allowed):
            known = ", ".join(f"{value} {name}" for value, name in allowed.items())
            raise DataError(f"region '{region}' names labels {sorted(members)}; allowed are {known}")


def _require_labels(found: Found, ignore: int | None) -> None:
    """Hold that these are label maps, with something in them."""
    if not found:
        raise DataError("no label maps are there whose values could be read; name the labels")
    union = {value for values in found.values() for value in values}
    negative = sorted(value for value in union if value < 0)
    if negative and max(union) <= 0:
        raise DataError(
            f"{_some(negative)} stand in {_where(found, negative)}; labels count from 0. "
            "These are images, or voxels outside a scan were marked so: set them to 0, or to a value to ignore"
        )
    if len(union) > _MOST_VALUES:
        fullest = max(found, key=lambda path: len(found[path]))
        raise DataError(
            f"{len(found)} label maps hold {len(union)} different values, {len(found[fullest])} of them in {fullest}; "
            f"more than {_MOST_VALUES} are taken for images. Give label maps"
        )
    if not any(value > 0 for value in union - {ignore}):
        raise DataError(
            f"{len(found)} label maps hold nothing but {_some(union)}, such as {_where(found, union)}; "
            "there is nothing to learn. Give label maps with a structure in them"
        )


def _require_one_kind_of_mask(found: Found) -> None:
    """Hold that 1 and 255 are not two ways to write one structure."""
    structures = {path: set(values) - {0} for path, values in found.items()}
    kinds = {value: [path.name for path, held in structures.items() if held == {value}] for value in (1, MASK)}
    if all(kinds.values()) and all(held in ({1}, {MASK}, set()) for held in structures.values()):
        raise DataError(
            f"{len(kinds[1])} masks hold 0 and 1 ({few(kinds[1])}), {len(kinds[MASK])} hold 0 and 255 "
            f"({few(kinds[MASK])}). Write all in one way; if they are two structures, name labels 1 and 255"
        )


def _numbered_names(found: Found, ignore: int | None) -> dict[int, str]:
    foreground = sorted({value for values in found.values() for value in values if value > 0} - {ignore})
    if len(foreground) == 1:
        return {foreground[0]: "foreground"}
    return {value: f"label {value}" for value in foreground}


def _notes(found: Found, labels: Labels) -> Iterable[str]:
    cases = Counter(value for values in found.values() for value in values)
    each = [f"{value} in {cases[value]}" for value in sorted(cases)]
    yield f"values in {len(found)} label maps: {few(each)}"
    if set(cases) - {0} == {MASK}:
        yield "masks hold 0 and 255; 255 is the structure, and predictions are written with 255"
    elif MASK in cases and labels.names.get(MASK) == f"label {MASK}":
        yield "255 stands beside other labels; if it marks voxels that nobody has labelled, set ignore: 255"
    if absent := [f"{value} {labels.names[value]}" for value in labels.names if value and value not in cases]:
        yield f"labels that stand in no label map: {few(absent)}"
    if len(found) >= _MANY_FILES:
        yield from _lonely(found, [value for value in sorted(cases) if cases[value] == 1])


def _lonely(found: Found, values: Sequence[int]) -> Iterable[str]:
    """Values in one file only are perhaps slips of the pen."""
    places = [(value, path) for value in values for path in found if value in found[path]]
    each = [f"{value} ({found[path][value]} voxels of {path.name})" for value, path in places]
    if each:
        yield f"values in one label map only, perhaps by mistake: {few(each)}"


def _where(found: Found, values: Iterable[int]) -> str:
    """The files that hold any of the values."""
    return few([str(path) for path, held in found.items() if set(values) & set(held)])


def _some(values: Iterable[int]) -> str:
    return f"the values {few([str(value) for value in sorted(values)])}"
