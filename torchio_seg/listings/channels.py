"""What the channels of images are called, held against how many the files have.

A file whose header cannot be trusted, or with another number of channels than most, does not hide the others: the check
of the data set, which every training runs, reports it with its case.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from torchio_seg.errors import ConfigError, DataError
from torchio_seg.listings.paths import few
from torchio_seg.volumes.nifti import read_geometry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def name_channels(images: Sequence[tuple[Path, ...]], given: Sequence[str], *, default: str) -> tuple[str, ...]:
    """The names given, or `default` with a number where the files hold several channels; from their headers."""
    if len(set(given)) < len(given) or not all(name.strip() for name in given):
        raise ConfigError(f"channels are {list(given)}; give each a name of its own, as in channels: [FLAIR, T1]")
    counts = _num_channels(images)
    expected = len(given) or Counter(counts.values()).most_common(1)[0][0]
    if expected not in counts.values():
        odd = few([f"{few([path.name for path in paths])}: {count}" for paths, count in counts.items()])
        raise DataError(
            f"none of {len(counts)} cases has {expected} channels, as channels names ({few(list(given))}): {odd}. "
            "Name as many as there are"
        )
    return tuple(given) or ((default,) if expected == 1 else tuple(f"{default}_{index}" for index in range(expected)))


def _num_channels(images: Sequence[tuple[Path, ...]]) -> dict[tuple[Path, ...], int]:
    """Of each case whose headers can be read; raises where there is none."""
    counts: dict[tuple[Path, ...], int] = {}
    problems: list[DataError] = []
    for paths in images:
        try:
            counts[paths] = sum(read_geometry(path).num_channels for path in paths)
        except DataError as error:
            problems.append(error)
    if problems and not counts:
        raise problems[0]
    return counts
