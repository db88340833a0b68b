"""One look at every file of a data set: facts, remembered ones where nothing changed, and images that are equal."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.check.known import Files
from torchio_seg.errors import DataError
from torchio_seg.facts import read_facts
from torchio_seg.volumes.nifti import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torchio_seg.facts import Facts
    from torchio_seg.progress import Progress
    from torchio_seg.records import Case


def gather(cases: Sequence[Case], *, progress: Progress | None = None) -> Files:
    """Everything that can be known about the files of the cases."""
    images = list(dict.fromkeys(path for case in cases for path in case.images))
    labels = list(dict.fromkeys(case.label for case in cases if case.label is not None))
    found = read_facts(images, "image", progress=progress)
    named = read_facts(labels, "label", progress=progress)
    identities = dict(_identities({*images, *labels}))
    twins, copies = tuple(find_twins(found, identities)), frozenset(_copies(cases, found, named))
    return Files(found, named, twins, copies, identities)


def find_twins(images: Mapping[Path, Facts], identities: Mapping[Path, tuple[int, int]]) -> Iterator[tuple[Path, ...]]:
    """Groups of images in different files with equal voxels: those with equal digests are read and compared."""
    candidates: dict[str, dict[object, Path]] = defaultdict(dict)
    for path, facts in images.items():
        if facts.problem is None and facts.lowest != facts.highest:
            candidates[facts.digest].setdefault(identities.get(path, path), path)
    for group in candidates.values():
        remaining = list(group.values())
        while len(remaining) > 1:
            twins = _twins_of(remaining[0], remaining[1:])
            if twins:
                yield (remaining[0], *twins)
            remaining = [path for path in remaining[1:] if path not in twins]


def _copies(
    cases: Sequence[Case], images: Mapping[Path, Facts], labels: Mapping[Path, Facts]
) -> Iterator[tuple[Path, Path]]:
    """Images that are their own label map: those with equal digests are read and compared."""
    for case in cases:
        if (label := case.label) is None or labels[label].problem is not None:
            continue
        for path in case.images:
            facts = images[path]
            is_candidate = facts.digest == labels[label].digest and facts.lowest != facts.highest
            if is_candidate and _twins_of(path, [label]):
                yield path, label


def _twins_of(first: Path, others: Sequence[Path]) -> list[Path]:
    """Those with the voxels of the first; a file that cannot be read any more has none."""
    with contextlib.suppress(DataError):
        voxels = read(first, nonfinite="zero").array
        return [path for path in others if _holds(path, voxels)]
    return []


def _holds(path: Path, voxels: np.ndarray) -> bool:
    try:
        return np.array_equal(read(path, nonfinite="zero").array, voxels)
    except DataError:
        return False


def _identities(paths: Iterable[Path]) -> Iterator[tuple[Path, tuple[int, int]]]:
    for path in paths:
        with contextlib.suppress(OSError):
            status = path.stat()
            yield path, (status.st_dev, status.st_ino)
