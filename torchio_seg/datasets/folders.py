"""Images and label maps in folders, paired by their names: common arrangements are recognised, others described."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torchio_seg.errors import ConfigError, DataError
from torchio_seg.listings.arrangement import Arrangement, recognise
from torchio_seg.listings.channels import name_channels
from torchio_seg.listings.pairing import ENDINGS, by_name, in_order, name_of, unique
from torchio_seg.listings.paths import few, require_folder
from torchio_seg.listings.scans import Scan, matching
from torchio_seg.listings.values import discover
from torchio_seg.records import Case, Dataset, Split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torchio_seg.listings.pairing import Images, Pairs

    Parts = Mapping[str, Pairs]
    """The pairs of training, validation and test; of '' where the folders do not divide."""

_ORDER = ("training", "validation", "test")


def build(  # noqa: PLR0913 (options are what a component is made of)
    root: Path,
    *,
    images: str | None = None,
    labels: str | None = None,
    strip: tuple[str, ...] = ENDINGS,
    pair: Literal["name", "order"] = "name",
    channels: tuple[str, ...] = (),
    label_names: dict[int, str] | None = None,
    regions: dict[str, tuple[int, ...]] | None = None,
    ignore: int | None = None,
    group: str | None = None,
) -> Dataset:
    """The cases below a folder.

    `images` and `labels` are patterns such as `ct/{id}_{channel}.nii.gz`; `strip` lists what follows the name of a case
    in file names; `group` is a regular expression, whose one group finds in an id whose scan it is.
    """
    root = Path(root)
    require_folder(root, "the folder that holds images and label maps")
    found = _arranged(root, images, labels, strip=strip, channels=channels)
    parts, notes = _paired(found, channels, strip, pair)
    cases, splits, more = _cases(parts, group)
    names = name_channels([case.images for case in cases], channels, default="image")
    if (root / "dataset.json").is_file():
        more += ("a dataset.json lies here; the layouts decathlon and nnunet read names from it",)
    if not channels:
        more += (f"channels are called {few(names)}; if one is CT, say so (channels: [CT]): CT has units of its own",)
    declared, about_labels = discover(
        [case.label for case in cases if case.label], names=label_names, regions=regions, ignore=ignore
    )
    said = (found.note, *notes, *more, *about_labels)
    return Dataset(root.resolve().name, names, declared, cases, splits, notes=said)


def _arranged(
    root: Path, images: str | None, labels: str | None, *, strip: Sequence[str], channels: Sequence[str]
) -> Arrangement:
    if images is None and labels is None:
        return recognise(root, strip)
    if images is None or labels is None:
        raise ConfigError(f"images is {images}, labels is {labels}; give both patterns, or neither")
    found = [
        tuple(
            Scan(path, fields.get("id") or name_of(path, strip), channel=fields.get("channel", ""))
            for path, fields in matching(root, pattern, option, channels)
        )
        for option, pattern in (("images", images), ("labels", labels))
    ]
    return Arrangement(found[0], found[1], f"images are {images}, label maps {labels}")


def _paired(
    found: Arrangement, channels: Sequence[str], strip: Sequence[str], pair: str
) -> tuple[Parts, tuple[str, ...]]:
    """The pairs of each part, those that the folders do not tell under ''."""
    notes: list[str] = []
    parts: dict[str, Pairs] = {}
    for part in sorted({scan.part for scan in (*found.images, *found.labels)}):
        labels = unique([(scan.case, scan.path) for scan in found.labels if scan.part == part], "label map")
        images = _channels_together([scan for scan in found.images if scan.part == part], channels)
        if not labels:
            notes.append(f"the {len(images)} images of the {part} part have no label maps and are left out")
            continue
        parts[part], said = by_name(images, labels, strip) if pair == "name" else in_order(images, labels)
        notes += said
    if "" in parts and len(parts) > 1:
        stray = [label.name for _, label in parts[""].values()]
        raise DataError(
            f"{few(stray)} stand outside the folders for {' and '.join(sorted(set(parts) - {''}))}; move them into one"
        )
    return parts, tuple(notes)


def _channels_together(scans: Sequence[Scan], channels: Sequence[str]) -> Images:
    """The files of each case, in the order in which channels are named; one file where it holds all of them."""
    if not any(scan.channel for scan in scans):
        channels = [""]
    files = {
        channel: unique([(scan.case, scan.path) for scan in scans if scan.channel == channel], "image")
        for channel in channels
    }
    names = sorted({scan.case for scan in scans})
    lacking = {name: [channel for channel in channels if name not in files[channel]] for name in names}
    if short := [f"{name} ({few(missing)})" for name, missing in lacking.items() if missing]:
        raise DataError(
            f"{len(short)} of {len(names)} cases lack channels: {few(short)}. Add the files, name fewer channels, "
            "or move these cases away"
        )
    return {name: tuple(files[channel][name] for channel in channels) for name in names}


def _cases(parts: Parts, group: str | None) -> tuple[tuple[Case, ...], tuple[Split, ...], tuple[str, ...]]:
    """Cases under ids that differ, and the division that the folders make."""
    names = [name for pairs in parts.values() for name in pairs]
    repeated = len(set(names)) < len(names)
    ids = {part: {name: f"{part}_{name}" if repeated else name for name in pairs} for part, pairs in parts.items()}
    groups = _groups([case for named in ids.values() for case in named.values()], group)
    cases = [
        Case(ids[part][name], images, label, groups.get(ids[part][name]))
        for part, pairs in parts.items()
        for name, (images, label) in pairs.items()
    ]
    notes = ("the same names stand in several parts, so ids begin with the part",) if repeated else ()
    return tuple(sorted(cases, key=lambda case: case.id)), _splits(ids), notes


def _splits(ids: Mapping[str, Mapping[str, str]]) -> tuple[Split, ...]:
    if "training" not in ids or len(ids) < 2:
        return ()
    training, validation, test = (tuple(sorted(ids.get(part, {}).values())) for part in _ORDER)
    return (
        Split(training, validation, test, f"the data set's own folders: {', '.join(p for p in _ORDER if p in ids)}"),
    )


def _groups(ids: Sequence[str], group: str | None) -> dict[str, str]:
    """Whose scan each case is, by the regular expression of the config."""
    if group is None:
        return {}
    try:
        expression = re.compile(group)
    except re.error as error:
        raise ConfigError(
            f"group is '{group}', no regular expression ({error}); write it as in '(sub-[0-9]+)'"
        ) from error
    if expression.groups != 1:
        raise ConfigError(f"group is '{group}', with {expression.groups} groups; put one pair of parentheses in it")
    matches = {case: expression.search(case) for case in ids}
    if silent := [case for case, match in matches.items() if match is None or not match[1]]:
        raise DataError(f"group '{group}' finds nothing in {len(silent)} of {len(ids)} ids: {few(silent)}; widen it")
    return {case: match[1] for case, match in matches.items() if match is not None}
