"""Which cases train, validate and test: pure functions of the ids, the shares and a seed, whatever the order given."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

from torchio_seg.errors import ConfigError, DataError
from torchio_seg.records import Split

if TYPE_CHECKING:
    from collections.abc import Sequence


def hold_out(ids: Sequence[str], *, validation: float, test: float = 0.0, seed: int = 0) -> Split:
    """Set shares of the cases aside; every share above 0 gets a case, and so does training."""
    if not (0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise ConfigError(
            f"validation {validation} and test {test} are no shares; each is at least 0, and together they leave "
            "something below 1 to training"
        )
    shuffled = _shuffled(ids, seed)
    num_validation, num_test = _counts(len(shuffled), validation, test)
    held_out = num_validation + num_test
    return Split(
        training=tuple(sorted(shuffled[held_out:])),
        validation=tuple(sorted(shuffled[:num_validation])),
        test=tuple(sorted(shuffled[num_validation:held_out])),
    )


def k_fold(ids: Sequence[str], *, num_folds: int, fold: int, seed: int = 0) -> Split:
    """Fold `fold` of `num_folds`: each case validates in exactly one of them, fold sizes differ by one at most."""
    if num_folds < 2 or not 0 <= fold < num_folds:
        raise ConfigError(f"fold {fold} of {num_folds}; there are at least 2 folds, counted from 0 to their number - 1")
    shuffled = _shuffled(ids, seed)
    if len(shuffled) < num_folds:
        raise DataError(f"{len(shuffled)} cases cannot fill {num_folds} folds; use at most {len(shuffled)} folds")
    validation = set(shuffled[fold::num_folds])
    return Split(tuple(sorted(set(shuffled) - validation)), tuple(sorted(validation)))


def _shuffled(ids: Sequence[str], seed: int) -> list[str]:
    ordered = sorted(ids)
    if repeated := sorted({first for first, second in itertools.pairwise(ordered) if first == second}):
        raise DataError(f"case ids {repeated[:5]} stand more than once among {len(ordered)}; give each case its own id")
    random.Random(seed).shuffle(ordered)  # noqa: S311 - a split is no secret
    return ordered


def _counts(num_cases: int, validation: float, test: float) -> tuple[int, int]:
    """How many cases validate and test: rounded, at least one of what is asked for, one left to train."""
    least = 1 + (validation > 0) + (test > 0)
    if num_cases < least:
        raise DataError(
            f"{num_cases} cases cannot be split with validation {validation} and test {test}: at least {least} "
            "are needed, one in each part. Add cases, or set a share to 0"
        )
    num_validation, num_test = (max(round(share * num_cases), int(share > 0)) for share in (validation, test))
    while num_validation + num_test >= num_cases:  # rounding and minimum together took all
        num_validation, num_test = (
            (num_validation - 1, num_test) if num_validation >= num_test else (num_validation, num_test - 1)
        )
    return num_validation, num_test
