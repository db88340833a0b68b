"""Which label map belongs to which image: by name, or by order where the user asks for it; never by chance."""

from __future__ import annotations

import itertools
import logging
import re
import string
from typing import TYPE_CHECKING

from torchio_seg.errors import DataError
from torchio_seg.listings.paths import few
from torchio_seg.volumes.nifti import stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    Images = Mapping[str, tuple[Path, ...]]
    """The files of each case, one or one for each channel."""
    Pairs = dict[str, tuple[tuple[Path, ...], Path]]
    """Images and label map of each case."""

_log = logging.getLogger(__name__)

LABEL_ENDINGS = ("_seg", "-seg", "_mask", "-mask", "_label", "-label", "_gt")
IMAGE_ENDINGS = ("_image", "_img", "_T1w")
ENDINGS = (*LABEL_ENDINGS, *IMAGE_ENDINGS)
"""What follows the name of a case in the names of its files, unless the user says otherwise."""


def name_of(path: Path, endings: Sequence[str]) -> str:
    """The case a file name speaks of: without suffix and endings, whatever their case; never nothing."""
    name = stem(path)
    while ending := next((each for each in endings if _ends(name, each)), None):
        name = name[: -len(ending)]
    return name


def is_label(path: Path) -> bool:
    """Whether a file's name says that it is a label map: `x_seg`, or `seg` alone."""
    name = stem(path)
    return any(_ends(name, ending) or name.lower() == ending[1:] for ending in LABEL_ENDINGS)


def unique(named: Iterable[tuple[str, Path]], role: str) -> dict[str, Path]:
    """Files by the name of their case, or an error that lists the cases with several."""
    files: dict[str, list[Path]] = {}
    for name, path in named:
        files.setdefault(name, []).append(path)
    if several := [f"{name} ({few([path.name for path in paths])})" for name, paths in files.items() if len(paths) > 1]:
        raise DataError(
            f"{len(several)} cases have more than one {role}: {few(several)}. Say which files are meant with "
            "patterns, such as images: 'ct/{id}.nii.gz', or {channel} where they are channels of one case"
        )
    return {name: paths[0] for name, paths in files.items()}


def by_name(images: Images, labels: Mapping[str, Path], endings: Sequence[str]) -> tuple[Pairs, tuple[str, ...]]:
    """Pair what has one name; every label map needs its image, images without label map are left out and said."""
    lost = sorted(set(labels) - set(images))
    unlabelled = sorted(set(images) - set(labels))
    if lost:
        raise DataError(
            f"{len(lost)} of {len(labels)} label maps have no image of their name: "
            f"{few([labels[name].name for name in lost])}. {len(unlabelled)} of {len(images)} images have no label "
            f"map: {few([images[name][0].name for name in unlabelled]) or 'none'}. Names are compared without "
            f"{' '.join(endings) or 'any ending'}; {_cure(images, labels)}"
        )
    left_out = f"{len(unlabelled)} images without a label map are left out: {few(unlabelled)}"
    pairs = {name: (images[name], labels[name]) for name in sorted(labels)}
    return pairs, ((left_out,) if unlabelled else ())


def in_order(images: Images, labels: Mapping[str, Path]) -> tuple[Pairs, tuple[str, ...]]:
    """Pair the first with the first, and so on; numbers in names count as numbers."""
    if len(images) != len(labels):
        raise DataError(
            f"{len(images)} images and {len(labels)} label maps cannot be paired by order; there must be as many of "
            "each. Take the odd ones out, or set pair: name"
        )
    pairs: Pairs = {}
    for name, label in zip(sorted(images, key=_counted), sorted(labels, key=_counted), strict=True):
        pairs[name] = (images[name], labels[label])
        _log.info("paired by order: %s with %s", images[name][0].name, labels[label].name)
    shown = few([f"{paths[0].name} with {label.name}" for paths, label in pairs.values()])
    return dict(sorted(pairs.items())), (f"paired by order, not by name: {shown}",)


def _ends(name: str, ending: str) -> bool:
    return 0 < len(ending) < len(name) and name.lower().endswith(ending.lower())


def _counted(name: str) -> list[tuple[int, int | str]]:
    """A key under which `p2` comes before `p10`."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name) if part]


def _cure(images: Images, labels: Mapping[str, Path]) -> str:
    """What to do about names that differ; the very patterns, where all differ in the same way."""
    ways = "add what differs to 'strip', name the shared part in patterns, or set pair: order"
    image_names = [stem(paths[0]) for paths in images.values()]
    label_names = [stem(path) for path in labels.values()]
    (image_start, image_end), (label_start, label_end) = _frame(image_names), _frame(label_names)
    if image_start == label_start:
        image_start = label_start = ""
    if _between(image_names, image_start, image_end) != _between(label_names, label_start, label_end):
        return ways
    image, label = f"FOLDER/{image_start}{{id}}{image_end}.nii.gz", f"FOLDER/{label_start}{{id}}{label_end}.nii.gz"
    return f"{ways}. Patterns that pair all of them: images: '{image}', labels: '{label}'"


def _frame(names: Sequence[str]) -> tuple[str, str]:
    """What all names begin with and end with, but for digits."""
    start = _common_start(names).rstrip(string.digits)
    reversed_rest = [name[len(start) :][::-1] for name in names]
    return start, _common_start(reversed_rest)[::-1].lstrip(string.digits)


def _common_start(names: Sequence[str]) -> str:
    columns = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in columns)


def _between(names: Sequence[str], start: str, end: str) -> set[str]:
    return {name[len(start) : len(name) - len(end)] for name in names}
