"""Checks of the data set as a whole: names, classes, and cases that stand in it twice."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from typing import TYPE_CHECKING

from torchio_seg.check.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from torchio_seg.check.known import Known
    from torchio_seg.records import Case

    Use = tuple[Case, Path]


def repeated_ids(known: Known) -> Iterator[Finding]:
    """Cases under one id."""
    for name, cases in _grouped(known, lambda case: case.id).items():
        if len(cases) > 1:
            reason = f"{len(cases)} cases have this id: {', '.join(str(case.images[0]) for case in cases)}"
            yield Finding("error", "repeated-id", reason, "give each case its own", name)


def colliding_names(known: Known) -> Iterator[Finding]:
    """Ids that would be one file name on a disk that does not tell capitals, or accents, apart."""
    for cases in _grouped(known, lambda case: unicodedata.normalize("NFC", case.id).casefold()).values():
        names = sorted({case.id for case in cases})
        for name in names[1:]:
            reason = f"differs from case {names[0]} only in capitals or accents: results of one may replace the other's"
            yield Finding("error", "colliding-name", reason, "rename one of them", name)


def absent_regions(known: Known) -> Iterator[Finding]:
    """Regions, and labels of regions, that no case holds; regions that no training case holds."""
    held: dict[str, set[int]] = {case.id: set(facts.values or ()) for case, _, facts in known.sound_labels()}
    if not held:
        return
    everywhere = set().union(*held.values())
    trained = set().union(*(values for case, values in held.items() if known.parts.get(case) == "training"))
    where = f"in none of the {len(held)} label maps"
    for region in known.dataset.labels.regions:
        labels = set(region.labels)
        named = f"{region.name} ({', '.join(map(str, region.labels))})"
        if not labels & everywhere:
            cure = "correct the label maps, or take it out of the declared labels"
            yield Finding("error", "absent-class", f"{named} is declared, but stands {where}", cure)
        elif not labels & trained:
            cure = "choose another split"
            yield Finding("warning", "absent-class", f"{named} stands in no label map of the training cases", cure)
        for label in sorted(labels - everywhere) if labels & everywhere else ():
            reason = f"label {label} of region {region.name} stands {where}"
            yield Finding("warning", "absent-label", reason, "check how the labels are numbered")


def repeated_images(known: Known) -> Iterator[Finding]:
    """Images that stand in the data set twice; in two parts of the split they make a test worthless."""
    identity = known.files.identity
    twin_of = {identity(path): identity(group[0]) for group in known.files.twins for path in group}
    groups: dict[object, list[Use]] = defaultdict(list)
    for case, path, _ in known.sound_images():
        groups[twin_of.get(identity(path), identity(path))].append((case, path))
    for uses in groups.values():
        for number, use in enumerate(uses[1:], 1):
            yield _repetition(known, use, uses[:number])


def repeated_labels(known: Known) -> Iterator[Finding]:
    """Label maps that several cases share."""
    users: dict[object, Case] = {}
    for case, path, _ in known.sound_labels():
        first = users.setdefault(known.files.identity(path), case)
        if first is not case:
            reason = f"is the label map of case {first.id} too"
            yield Finding("warning", "shared-label", reason, "check which case it was drawn for", case.id, path)


def divided_groups(known: Known) -> Iterator[Finding]:
    """Patients whose scans the split divides."""
    parts: dict[str, dict[str, str]] = defaultdict(dict)
    for case in known.dataset.cases:
        if case.group is not None and case.id in known.parts:
            parts[case.group].setdefault(known.parts[case.id], case.id)
    for group, examples in parts.items():
        if len(examples) > 1:
            listed = ", ".join(f"{case} is for {part}" for part, case in examples.items())
            reason = f"scans of one patient ({group}) are divided: {listed}"
            yield Finding("warning", "divided-group", reason, "scores will be too good; use split.method=k_fold")


def _repetition(known: Known, use: Use, earlier: Sequence[Use]) -> Finding:
    """What to say of an image that was there before: worst where its other part of the split knows it."""
    case, path = use
    part = known.parts.get(case.id)
    leaks = [other for other in earlier if part and known.parts.get(other[0].id, part) != part]
    other, other_path = (leaks or earlier)[0]
    same = known.files.identity(path) == known.files.identity(other_path)
    what = "is the same file as" if same else "holds the same voxels as"
    if other is case:
        reason = f"{what} {other_path}, another channel of its case"
        return Finding("warning", "repeated-image", reason, "check which file belongs there", case.id, path)
    reason = f"{what} {other_path} of case {other.id}"
    if not leaks:
        cure = "it counts twice; keep one of the two cases"
        return Finding("warning", "repeated-image", reason, cure, case.id, path)
    reason += f", which is for {known.parts[other.id]}, this one for {part}"
    cure = "scores would be too good; keep one of the two cases"
    return Finding("error", "leaked-image", reason, cure, case.id, path)


def _grouped(known: Known, key: Callable[[Case], str]) -> dict[str, list[Case]]:
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in known.dataset.cases:
        groups[key(case)].append(case)
    return groups
