"""Which cases train, validate and test: pure functions of the cases, the settings and a seed, whatever the order given.

Units are divided, not cases: a patient's scans stay together. Units in which the same classes are present are laid
side by side and dealt to the parts in turn, so that every part gets its share of each kind.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from torchio_seg.errors import ConfigError, DataError
from torchio_seg.records import Split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torchio_seg.config.sections import Split as Settings
    from torchio_seg.records import Case, Dataset

    Unit = tuple[str, ...]
    """Ids that go to one part together."""
    Classes = Mapping[str, frozenset[int]]
    """Which label values each case holds."""

NNUNET_FOLDS = 5
NNUNET_SEED = 12345


def divide(dataset: Dataset, settings: Settings, classes: Classes | None = None) -> Split:
    """The split that the settings ask for; `classes`, where known, are spread evenly.

    Whatever the method, a test part that the data set names stays its test part.
    """
    given = dataset.splits[0].test if dataset.splits else ()
    if not given and settings.fold is None and settings.method == "in_order":
        return in_order([case.id for case in dataset.cases], settings.validation, settings.test)
    if not given and settings.fold is None and _is_random(dataset, settings):
        parts = {"validation": settings.validation, "test": settings.test}
        return hold_out(dataset.cases, **parts, seed=settings.seed, classes=classes)
    test = given or _test(dataset, settings, classes)
    split = _divide_rest(_without(dataset, test), settings, classes)
    return replace(split, test=tuple(sorted(test)))


def num_folds(dataset: Dataset, settings: Settings) -> int:
    """Into how many folds the settings divide the data set, as `divide` counts them."""
    if settings.method == "auto" and len(dataset.splits) > 1:
        return len(dataset.splits)
    return NNUNET_FOLDS if settings.method == "nnunet" else settings.folds


def _is_random(dataset: Dataset, settings: Settings) -> bool:
    """Whether cases are held out at random, because nobody has divided them."""
    return settings.method == "hold_out" or (settings.method == "auto" and not dataset.splits)


def _test(dataset: Dataset, settings: Settings, classes: Classes | None) -> tuple[str, ...]:
    """The test part of a division that knows none, the same in each of its folds."""
    if not settings.test:
        return ()
    if settings.method in {"nnunet", "monai"}:
        raise ConfigError(
            f"split.method={settings.method} divides every case into training and validation, and split.test is "
            f"{settings.test}: set split.test=0, or another method"
        )
    return hold_out(dataset.cases, validation=0, test=settings.test, seed=settings.seed, classes=classes).test


def _without(dataset: Dataset, test: Sequence[str]) -> Dataset:
    """The data set as if it had no test part."""
    left_out = set(test)
    cases = tuple(case for case in dataset.cases if case.id not in left_out)
    listing = tuple(name for name in dataset.listing if name not in left_out)
    splits = tuple(
        replace(
            split,
            training=tuple(name for name in split.training if name not in left_out),
            validation=tuple(name for name in split.validation if name not in left_out),
            test=(),
        )
        for split in dataset.splits
    )
    return replace(dataset, cases=cases, listing=listing, splits=splits)


def _divide_rest(dataset: Dataset, settings: Settings, classes: Classes | None) -> Split:
    """Training and validation of a data set whose test part is taken out."""
    fold = settings.fold
    ids = [case.id for case in dataset.cases]
    if fold == "all":
        return Split(tuple(ids), (), origin="every case that is not kept for the test trains")
    if settings.method == "auto" and dataset.splits and (fold is None or len(dataset.splits) > 1):
        return _given(dataset, settings, fold or 0, classes)
    if fold is not None or settings.method in {"k_fold", "nnunet"}:
        if settings.method == "nnunet":
            return nnunet_fold(ids, fold or 0)
        return k_fold(dataset.cases, num_folds=settings.folds, fold=fold or 0, seed=settings.seed, classes=classes)
    return _undivided(dataset, settings, classes)


def _undivided(dataset: Dataset, settings: Settings, classes: Classes | None) -> Split:
    """One division, by no fold."""
    ids = [case.id for case in dataset.cases]
    if settings.method == "monai":
        return monai_division(dataset.listing or ids, settings)
    if settings.method == "in_order":
        return in_order(ids, settings.validation, 0)
    return hold_out(dataset.cases, validation=settings.validation, seed=settings.seed, classes=classes)


def hold_out(
    cases: Sequence[Case],
    *,
    validation: float,
    test: float = 0.0,
    seed: int = 0,
    classes: Classes | None = None,
) -> Split:
    """Set cases aside, by share or number; every part that is asked for gets one at least, and so does training."""
    units = _arranged(cases, seed, classes or {})
    num_validation, num_test = _counts(len(units), validation, test)
    counts = {"training": len(units) - num_validation - num_test, "validation": num_validation, "test": num_test}
    parts = _deal(units, list(counts.values()))
    origin = f"held out at random, seed {seed}"
    return Split(**dict(zip(counts, parts, strict=True)), origin=origin)


def k_fold(cases: Sequence[Case], *, num_folds: int, fold: int, seed: int = 0, classes: Classes | None = None) -> Split:
    """Fold `fold` of `num_folds`: each case validates in exactly one of them, sizes differ by one unit at most."""
    _require_fold(fold, num_folds)
    units = _arranged(cases, seed, classes or {})
    if len(units) < num_folds:
        what = "patients" if any(case.group for case in cases) else "cases"
        raise DataError(f"{len(units)} {what} cannot fill {num_folds} folds; use at most {len(units)} folds")
    counts = [len(units[number::num_folds]) for number in range(num_folds)]
    folds = _deal(units, counts)
    training = sorted(itertools.chain(*folds[:fold], *folds[fold + 1 :]))
    return Split(tuple(training), folds[fold], origin=f"fold {fold} of {num_folds}, seed {seed}")


def nnunet_fold(ids: Sequence[str], fold: int) -> Split:
    """One of nnU-Net's five folds: scikit-learn's KFold(5, shuffle=True, random_state=12345) over the sorted ids."""
    import numpy as np

    _require_fold(fold, NNUNET_FOLDS)
    ordered = _sorted_ids(ids)
    if len(ordered) < NNUNET_FOLDS:
        raise DataError(f"{len(ordered)} cases cannot fill nnU-Net's {NNUNET_FOLDS} folds; use split.method=hold_out")
    shuffled = np.arange(len(ordered))
    np.random.RandomState(NNUNET_SEED).shuffle(shuffled)  # scikit-learn's generator
    held_out = set(np.array_split(shuffled, NNUNET_FOLDS)[fold].tolist())
    validation = tuple(name for position, name in enumerate(ordered) if position in held_out)
    return Split(tuple(sorted(set(ordered) - set(validation))), validation, origin=f"nnU-Net's fold {fold} of 5")


def monai_division(listing: Sequence[str], settings: Settings) -> Split:
    """MONAI's DecathlonDataset: the listed cases shuffled by `seed`, the first share of them validating."""
    import numpy as np

    num_validation, _ = _counts(len(listing), settings.validation, 0)
    if 0 < settings.validation < 1:
        num_validation = int(len(listing) * settings.validation)
    shuffled = np.arange(len(listing))
    np.random.RandomState(settings.seed).shuffle(shuffled)  # MONAI's generator
    validation = {listing[position] for position in shuffled[:num_validation]}
    training = tuple(sorted(set(listing) - validation))
    return Split(training, tuple(sorted(validation)), origin=f"MONAI's DecathlonDataset, seed {settings.seed}")


def in_order(ids: Sequence[str], validation: float, test: float) -> Split:
    """The sorted ids: first those that test, then those that validate, the others train."""
    ordered = _sorted_ids(ids)
    num_validation, num_test = _counts(len(ordered), validation, test)
    held_out = num_test + num_validation
    origin = "sorted ids: test first, then validation, then training"
    return Split(ordered[held_out:], ordered[num_test:held_out], ordered[:num_test], origin)


def _given(dataset: Dataset, settings: Settings, fold: int, classes: Classes | None) -> Split:
    """The data set's own division; where it names no validation cases, some of its training cases."""
    _require_fold(fold, len(dataset.splits), least=1)
    given = dataset.splits[fold]
    if given.validation or not settings.validation:
        return given
    training = dataset.choose(given.training)
    rest = hold_out(training, validation=settings.validation, seed=settings.seed, classes=classes)
    return replace(rest, origin=f"{given.origin}; validation {rest.origin}")


def _arranged(cases: Sequence[Case], seed: int, classes: Classes) -> list[Unit]:
    """The units in random order, those with the same classes side by side."""
    _sorted_ids([case.id for case in cases])
    groups: dict[str, list[str]] = {}
    for case in sorted(cases, key=lambda case: case.id):
        groups.setdefault(f"group {case.group}" if case.group else f"case {case.id}", []).append(case.id)
    units = [tuple(ids) for _, ids in sorted(groups.items())]
    random.Random(seed).shuffle(units)  # noqa: S311 (a split is no secret)
    return sorted(units, key=lambda unit: sorted(frozenset().union(*(classes.get(name, ()) for name in unit))))


def _deal(units: Sequence[Unit], counts: Sequence[int]) -> list[tuple[str, ...]]:
    """So many units to each part, each part's evenly spread over the row of units; ids sorted."""
    turns = sorted(((turn + 0.5) / count, part) for part, count in enumerate(counts) for turn in range(count))
    dealt: list[list[str]] = [[] for _ in counts]
    for unit, (_, part) in zip(units, turns, strict=True):
        dealt[part].extend(unit)
    return [tuple(sorted(ids)) for ids in dealt]


def _sorted_ids(ids: Sequence[str]) -> tuple[str, ...]:
    ordered = sorted(ids)
    if repeated := sorted({first for first, second in itertools.pairwise(ordered) if first == second}):
        raise DataError(f"case ids {repeated[:5]} stand more than once among {len(ordered)}; give each case its own id")
    return tuple(ordered)


def _require_fold(fold: int, num_folds: int, *, least: int = 2) -> None:
    if num_folds < least or not 0 <= fold < num_folds:
        raise ConfigError(f"fold {fold} of {num_folds}; folds are counted from 0 to their number - 1")


def _counts(num_units: int, validation: float, test: float) -> tuple[int, int]:
    """How many units validate and test: rounded, at least one of what is asked for, one left to train."""
    parts = (validation, test)
    shares = [number for number, part in enumerate(parts) if not isinstance(part, int) and part > 0]
    if min(parts) < 0 or sum(parts[number] for number in shares) >= 1:
        raise ConfigError(
            f"validation {validation} and test {test} cannot both be; give each a share of the cases, 0 to below 1, or "
            "a whole number of them, so that something is left to train"
        )
    wanted = [max(round(part * num_units), 1) if number in shares else int(part) for number, part in enumerate(parts)]
    least = sum(int(part) for part in parts) + len(shares) + 1
    if num_units < least:
        raise DataError(
            f"{num_units} cases cannot be split with validation {validation} and test {test}: at least {least} are "
            "needed, one in each part that is asked for and one to train. Add cases, or set a part to 0"
        )
    while sum(wanted) >= num_units:  # rounding and minimum together took all
        wanted[max(shares, key=wanted.__getitem__)] -= 1
    return wanted[0], wanted[1]
