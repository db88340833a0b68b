"""Predicted label maps and true ones in two folders: paired by name, held to one grid, scored."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from torchio_seg.errors import DataError, UsageError
from torchio_seg.listings.pairing import LABEL_ENDINGS, name_of, unique
from torchio_seg.listings.paths import few, is_hidden, is_volume
from torchio_seg.listings.values import discover
from torchio_seg.metrics import Measures, score_label_maps
from torchio_seg.records import Labels, Region, RegionScore
from torchio_seg.volumes.alignment import difference, turn_onto
from torchio_seg.volumes.nifti import read_geometry, read_label

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """One case: what was predicted, and what is true."""

    case: str
    predicted: Path
    truth: Path


def find_pairs(predicted: Path, truth: Path, *, only_pairs: bool = False) -> list[Pair]:
    """The label maps of one name; those without a partner are an error, or left out and named."""
    guesses, facts = _label_maps(predicted), _label_maps(truth)
    both = [name for name in guesses if name in facts]
    lonely = _lonely(guesses, predicted, facts, truth)
    if not both:
        raise DataError(f"no label map of {predicted} has the name of one of {truth}: {'; '.join(lonely)}")
    if lonely and not only_pairs:
        raise DataError(f"{'; '.join(lonely)}. Add what is missing, or score those that have both by --only-pairs")
    for line in lonely:
        log.info("left out: %s", line)
    return [Pair(name, guesses[name], facts[name]) for name in sorted(both)]


def require_one_grid(pairs: list[Pair]) -> None:
    """Hold that each prediction lies voxel on voxel on its truth, whichever axis is stored first."""
    off = []
    for pair in pairs:
        guess, fact = read_geometry(pair.predicted), read_geometry(pair.truth)
        if turn_onto(guess, fact) is None:
            off.append(f"{pair.case} ({difference(guess, fact)})")
    if off:
        raise DataError(
            f"{len(off)} of {len(pairs)} predictions are not on the grid of their truth: {few(off)}. Resample them to "
            "it by nearest neighbour, or predict the images that the truth was drawn on"
        )


def labels_of(pairs: list[Pair], regions: dict[str, tuple[int, ...]] | None, ignore: int | None) -> Labels:
    """What is scored: the regions given, or else each value that a true label map holds."""
    if regions is None:
        return discover([pair.truth for pair in pairs], ignore=ignore)[0]
    values = {0, *(value for members in regions.values() for value in members)}
    names = {value: f"label {value}" for value in sorted(values if ignore is None else values | {ignore})}
    made = tuple(Region(name, members, members[0]) for name, members in regions.items())
    return Labels(names, made, exclusive=False, ignore=ignore)


def score_pair(pair: Pair, labels: Labels, measures: Measures) -> list[RegionScore]:
    """Every region of one case, on the grid of its truth."""
    fact = read_label(pair.truth, sorted(labels.names))
    guess = read_label(pair.predicted, sorted(labels.names))
    turn = turn_onto(guess, fact)
    if turn is None:
        raise DataError(f"case {pair.case}: {pair.predicted} is not on the grid of {pair.truth} any more")
    found = turn.view(guess.array)[0]
    return score_label_maps(pair.case, found, fact.array[0], labels, measures=measures, spacing=fact.spacing)


def parse_regions(texts: list[str], ignore: int | None) -> dict[str, tuple[int, ...]] | None:
    """Regions as the user types them: `core=1,4`; None where there are none."""
    regions: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        parts = [part.strip() for part in values.split(",")]
        if not name.strip() or not all(part.isdecimal() and int(part) not in {0, ignore} for part in parts):
            raise UsageError(f"--region {text}: give a name and its label values above 0, as tumor_core=1,4")
        if name.strip() in regions:
            raise UsageError(f"--region names '{name.strip()}' twice; give each region its own name")
        regions[name.strip()] = tuple(sorted({int(part) for part in parts}))
    return regions or None


def _label_maps(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise UsageError(f"{folder} {what}; give a folder of label maps")
    files = [path for path in sorted(folder.iterdir()) if is_volume(path) and not is_hidden(path)]
    return unique(((name_of(path, LABEL_ENDINGS), path) for path in files), f"label map in {folder}")


def _lonely(guesses: dict[str, Path], predicted: Path, facts: dict[str, Path], truth: Path) -> list[str]:
    """In words, what each folder has and the other has not."""
    sides = ((facts, truth, guesses, predicted), (guesses, predicted, facts, truth))
    return [
        f"{len(odd)} of {len(own)} label maps in {folder} have none of their name in {other}: {few(odd)}"
        for own, folder, others, other in sides
        if (odd := [name for name in own if name not in others])
    ]
