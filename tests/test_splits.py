"""A split depends on ids, shares and seed, and on nothing else."""

import itertools
import random
import subprocess
import sys

import pytest

from torchio_seg.errors import ConfigError, DataError
from torchio_seg.splits import hold_out, k_fold

IDS = [f"case_{number:03d}" for number in range(50)]


def parts(split):
    return split.training, split.validation, split.test


@pytest.mark.parametrize(("validation", "test"), [(0.2, 0), (0.2, 0.1), (0, 0), (0, 0.3), (0.01, 0.01), (0.5, 0.49)])
def test_every_case_stands_in_exactly_one_part(validation, test):
    for num_cases in range(3, 51):
        split = hold_out(IDS[:num_cases], validation=validation, test=test)
        assert sorted(itertools.chain(*parts(split))) == IDS[:num_cases]
        assert all(list(part) == sorted(part) for part in parts(split))
        assert split.training
        assert bool(split.validation) == (validation > 0)
        assert bool(split.test) == (test > 0)


def test_shares_are_as_asked_for():
    assert [len(part) for part in parts(hold_out(IDS, validation=0.2, test=0.1))] == [35, 10, 5]
    assert [len(part) for part in parts(hold_out(IDS[:3], validation=0.5, test=0.4))] == [1, 1, 1]
    assert [len(part) for part in parts(hold_out(IDS[:1], validation=0))] == [1, 0, 0]


def test_order_of_the_ids_does_not_matter_and_the_seed_does():
    shuffled = IDS[::-7] + [name for name in IDS if name not in IDS[::-7]]
    assert hold_out(shuffled, validation=0.2, seed=1) == hold_out(IDS, validation=0.2, seed=1)
    assert hold_out(IDS, validation=0.2, seed=1) != hold_out(IDS, validation=0.2, seed=2)
    assert k_fold(shuffled, num_folds=5, fold=2, seed=1) == k_fold(IDS, num_folds=5, fold=2, seed=1)
    assert k_fold(IDS, num_folds=5, fold=2, seed=1) != k_fold(IDS, num_folds=5, fold=2, seed=2)


def test_split_is_no_run_of_neighbours():
    assert hold_out(IDS, validation=0.2).validation not in {tuple(IDS[start : start + 10]) for start in range(41)}


def test_split_is_the_same_in_another_process_and_leaves_the_global_generator_alone():
    state = random.getstate()
    here = hold_out(IDS, validation=0.1).validation
    assert random.getstate() == state
    code = f"from torchio_seg.splits import hold_out; print(hold_out({IDS!r}, validation=0.1).validation)"
    there = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert there.strip() == repr(here)


def test_known_split_stays_what_it_was():
    assert hold_out(IDS[:6], validation=0.3, test=0.2, seed=7).validation == ("case_000", "case_004")


@pytest.mark.parametrize("num_cases", [5, 7, 23, 50])
def test_each_case_validates_in_exactly_one_fold(num_cases):
    folds = [k_fold(IDS[:num_cases], num_folds=5, fold=fold) for fold in range(5)]
    assert sorted(itertools.chain(*(split.validation for split in folds))) == IDS[:num_cases]
    sizes = [len(split.validation) for split in folds]
    assert max(sizes) - min(sizes) <= 1
    for split in folds:
        assert sorted(split.training + split.validation) == IDS[:num_cases]
        assert not split.test


def test_impossible_splits_are_refused_with_numbers():
    with pytest.raises(DataError, match=r"2 cases cannot .* at least 3"):
        hold_out(IDS[:2], validation=0.2, test=0.2)
    with pytest.raises(DataError, match=r"0 cases .* at least 1"):
        hold_out([], validation=0)
    with pytest.raises(DataError, match="4 cases cannot fill 5 folds"):
        k_fold(IDS[:4], num_folds=5, fold=0)
    with pytest.raises(DataError, match=r"'case_001'.* more than once"):
        hold_out([*IDS, "case_001"], validation=0.2)


@pytest.mark.parametrize("shares", [(-0.1, 0), (1, 0), (0, 1), (0.6, 0.4), (float("nan"), 0)])
def test_shares_that_are_no_shares_are_refused(shares):
    with pytest.raises(ConfigError, match="are no shares"):
        hold_out(IDS, validation=shares[0], test=shares[1])


@pytest.mark.parametrize(("num_folds", "fold"), [(1, 0), (5, 5), (5, -1), (0, 0)])
def test_folds_that_do_not_exist_are_refused(num_folds, fold):
    with pytest.raises(ConfigError, match=f"fold {fold} of {num_folds}"):
        k_fold(IDS, num_folds=num_folds, fold=fold)
