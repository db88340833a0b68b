"""A split depends on ids, shares and seed, and on nothing else."""

import itertools
import random
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.model_selection import KFold

from torchio_seg.config.sections import Split as Settings
from torchio_seg.errors import ConfigError, DataError
from torchio_seg.records import Case, Dataset, Labels, Split
from torchio_seg.splits import divide, hold_out, in_order, k_fold, nnunet_fold, num_folds

IDS = [f"case_{number:03d}" for number in range(50)]


def cases(ids, group=lambda _: None):
    return [Case(name, (Path(f"{name}.nii"),), group=group(name)) for name in ids]


def dataset(ids=IDS, **fields):
    labels = Labels.of_classes({0: "background", 1: "a"})
    return Dataset("set", ("CT",), labels, tuple(cases(ids)), **fields)


def parts(split):
    return split.training, split.validation, split.test


@pytest.mark.parametrize(("validation", "test"), [(0.2, 0), (0.2, 0.1), (0, 0), (0, 0.3), (0.01, 0.01), (0.5, 0.49)])
def test_every_case_stands_in_exactly_one_part(validation, test):
    for num_cases in range(3, 51):
        split = hold_out(cases(IDS[:num_cases]), validation=validation, test=test)
        assert sorted(itertools.chain(*parts(split))) == IDS[:num_cases]
        assert all(list(part) == sorted(part) for part in parts(split))
        assert split.training
        assert bool(split.validation) == (validation > 0)
        assert bool(split.test) == (test > 0)


def test_shares_are_as_asked_for():
    assert [len(part) for part in parts(hold_out(cases(IDS), validation=0.2, test=0.1))] == [35, 10, 5]
    assert [len(part) for part in parts(hold_out(cases(IDS[:3]), validation=0.5, test=0.4))] == [1, 1, 1]
    assert [len(part) for part in parts(hold_out(cases(IDS[:1]), validation=0))] == [1, 0, 0]


def test_order_of_the_ids_does_not_matter_and_the_seed_does():
    shuffled = IDS[::-7] + [name for name in IDS if name not in IDS[::-7]]
    assert hold_out(cases(shuffled), validation=0.2, seed=1) == hold_out(cases(IDS), validation=0.2, seed=1)
    assert hold_out(cases(IDS), validation=0.2, seed=1) != hold_out(cases(IDS), validation=0.2, seed=2)
    assert k_fold(cases(shuffled), num_folds=5, fold=2, seed=1) == k_fold(cases(IDS), num_folds=5, fold=2, seed=1)
    assert k_fold(cases(IDS), num_folds=5, fold=2, seed=1) != k_fold(cases(IDS), num_folds=5, fold=2, seed=2)


def test_split_is_no_run_of_neighbours():
    assert hold_out(cases(IDS), validation=0.2).validation not in {
        tuple(IDS[start : start + 10]) for start in range(41)
    }


def test_split_is_the_same_in_another_process_and_leaves_the_global_generator_alone():
    state = random.getstate()
    here = hold_out(cases(IDS), validation=0.1).validation
    assert random.getstate() == state
    code = (
        "from pathlib import Path; from torchio_seg.records import Case; from torchio_seg.splits import hold_out; "
        f"print(hold_out([Case(name, (Path('x'),)) for name in {IDS!r}], validation=0.1).validation)"
    )
    there = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert there.strip() == repr(here)


def test_known_split_stays_what_it_was():
    split = hold_out(cases(IDS[:6]), validation=0.3, test=0.2, seed=7)
    assert (split.validation, split.test) == (("case_000", "case_001"), ("case_003",))


@pytest.mark.parametrize("num_cases", [5, 7, 23, 50])
def test_each_case_validates_in_exactly_one_fold(num_cases):
    folds = [k_fold(cases(IDS[:num_cases]), num_folds=5, fold=fold) for fold in range(5)]
    assert sorted(itertools.chain(*(split.validation for split in folds))) == IDS[:num_cases]
    sizes = [len(split.validation) for split in folds]
    assert max(sizes) - min(sizes) <= 1
    for split in folds:
        assert sorted(split.training + split.validation) == IDS[:num_cases]
        assert not split.test


def test_impossible_splits_are_refused_with_numbers():
    with pytest.raises(DataError, match=r"2 cases cannot .* at least 3"):
        hold_out(cases(IDS[:2]), validation=0.2, test=0.2)
    with pytest.raises(DataError, match=r"0 cases .* at least 1"):
        hold_out([], validation=0)
    with pytest.raises(DataError, match="4 cases cannot fill 5 folds"):
        k_fold(cases(IDS[:4]), num_folds=5, fold=0)
    with pytest.raises(DataError, match=r"'case_001'.* more than once"):
        hold_out(cases([*IDS, "case_001"]), validation=0.2)


@pytest.mark.parametrize("shares", [(-0.1, 0), (1.0, 0), (0, 1.0), (0.6, 0.4), (0, -2)])
def test_shares_that_are_no_shares_are_refused(shares):
    with pytest.raises(ConfigError, match="cannot both be; give each a share"):
        hold_out(cases(IDS), validation=shares[0], test=shares[1])


@pytest.mark.parametrize(("num_folds", "fold"), [(1, 0), (5, 5), (5, -1), (0, 0)])
def test_folds_that_do_not_exist_are_refused(num_folds, fold):
    with pytest.raises(ConfigError, match=f"fold {fold} of {num_folds}"):
        k_fold(cases(IDS), num_folds=num_folds, fold=fold)


def test_a_number_of_cases_is_taken_as_it_is():
    split = hold_out(cases(IDS), validation=2, test=3)
    assert [len(part) for part in parts(split)] == [45, 2, 3]
    with pytest.raises(DataError, match="at least 51 are needed"):
        hold_out(cases(IDS), validation=25, test=25)


def test_scans_of_one_patient_stay_together():
    def patient(name):
        return f"patient {int(name[-3:]) // 4}"

    grouped = cases(IDS, group=patient)
    splits = [hold_out(grouped, validation=0.2, test=0.2, seed=3)]
    splits += [k_fold(grouped, num_folds=5, fold=fold) for fold in range(5)]
    for split in splits:
        homes = [{patient(name) for name in part} for part in parts(split)]
        assert all(not first & second for first, second in itertools.combinations(homes, 2))
        assert sorted(itertools.chain(*parts(split))) == IDS
    with pytest.raises(DataError, match="13 patients cannot fill 20 folds"):
        k_fold(grouped, num_folds=20, fold=0)


def test_every_part_gets_its_share_of_each_class():
    rare = set(IDS[:10])
    classes = {name: frozenset({0, 1, 2} if name in rare else {0, 1}) for name in IDS}
    for seed in range(5):
        split = hold_out(cases(IDS), validation=0.2, test=0.1, seed=seed, classes=classes)
        assert [len(rare & set(part)) for part in parts(split)] == [7, 2, 1]
        for fold in range(5):
            validation = k_fold(cases(IDS), num_folds=5, fold=fold, seed=seed, classes=classes).validation
            assert len(rare & set(validation)) == 2


@pytest.mark.parametrize("num_cases", [5, 23, 170, 484])
def test_nnunets_folds_are_those_of_scikit_learn(num_cases):
    ids = [f"{number:04d}" for number in range(num_cases)]
    folds = KFold(5, shuffle=True, random_state=12345).split(ids)
    for fold, (training, validation) in enumerate(folds):
        split = nnunet_fold(ids[::-1], fold)
        assert split.training == tuple(ids[place] for place in training)
        assert split.validation == tuple(ids[place] for place in validation)


def test_monais_division_is_that_of_its_decathlon_dataset():
    from monai.apps import DecathlonDataset

    listing = tuple(IDS[::-7] + [name for name in IDS if name not in IDS[::-7]])
    theirs = object.__new__(DecathlonDataset)
    theirs.val_frac = 0.2
    for section, part in (("training", 0), ("validation", 1)):
        theirs.section = section
        theirs.set_random_state(seed=0)
        entries = theirs._split_datalist([{"image": name} for name in listing])
        split = divide(dataset(listing=listing), Settings(method="monai", validation=0.2))
        assert parts(split)[part] == tuple(sorted(entry["image"] for entry in entries))


def test_sorted_ids_test_first_then_validate_then_train():
    split = in_order(IDS[::-1], 2, 2)
    assert parts(split) == (tuple(IDS[4:]), tuple(IDS[2:4]), tuple(IDS[:2]))


GIVEN = Split(tuple(IDS[10:]), tuple(IDS[5:10]), tuple(IDS[:5]), "theirs")
OTHER = Split(tuple(IDS[5:40]), tuple(IDS[40:]), tuple(IDS[:5]), origin="theirs too")


def test_the_data_sets_own_division_wins_unless_another_is_asked_for():
    assert divide(dataset(splits=(GIVEN,)), Settings(validation=0.5)) == GIVEN
    assert divide(dataset(splits=(GIVEN, OTHER)), Settings(fold=1)) == OTHER
    own = divide(dataset(splits=(GIVEN,)), Settings(method="hold_out", validation=0.5))
    assert len(own.validation) == 22
    assert own.test == GIVEN.test
    with pytest.raises(ConfigError, match="fold 2 of 2"):
        divide(dataset(splits=(GIVEN, OTHER)), Settings(fold=2))


def test_a_test_part_that_is_given_stays_out_of_every_fold():
    folds = [divide(dataset(splits=(GIVEN,)), Settings(fold=fold)) for fold in range(5)]
    assert sorted(itertools.chain(*(split.validation for split in folds))) == IDS[5:]
    assert all(split.test == GIVEN.test for split in folds)
    everything = divide(dataset(splits=(GIVEN,)), Settings(fold="all"))
    assert parts(everything) == (tuple(IDS[5:]), (), GIVEN.test)


def test_validation_cases_are_drawn_where_the_data_set_names_none():
    given = Split(tuple(IDS[10:]), (), tuple(IDS[:10]), "column 'split'")
    split = divide(dataset(splits=(given,)), Settings(validation=0.25))
    assert split.test == given.test
    assert len(split.validation) == 10
    assert sorted(split.training + split.validation) == IDS[10:]
    assert "column 'split'" in split.origin
    assert not divide(dataset(splits=(given,)), Settings(validation=0)).validation


def test_every_split_says_where_it_comes_from():
    for settings in (
        Settings(),
        Settings(fold=1),
        Settings(method="nnunet"),
        Settings(fold="all"),
        Settings(method="in_order"),
    ):
        assert divide(dataset(), settings).origin


@pytest.mark.parametrize("method", ["auto", "hold_out", "k_fold", "nnunet", "monai", "in_order"])
@pytest.mark.parametrize("fold", [None, 1, "all"])
def test_a_test_part_that_the_data_set_names_is_never_trained_on(method, fold):
    split = divide(dataset(splits=(GIVEN,), listing=tuple(IDS[::-1])), Settings(method=method, fold=fold))
    assert split.test == GIVEN.test
    assert sorted(split.training + split.validation) == IDS[5:]


def test_nnunets_folds_cover_the_training_images_alone():
    ours = divide(dataset(splits=(GIVEN,)), Settings(method="nnunet", fold=2))
    assert ours.validation == nnunet_fold(IDS[5:], 2).validation


def test_a_test_part_that_is_asked_for_is_the_same_in_every_fold():
    folds = [divide(dataset(), Settings(test=0.1, fold=fold)) for fold in (0, 1, 2, 3, 4, "all")]
    assert len({split.test for split in folds}) == 1
    assert len(folds[0].test) == 5
    assert sorted(itertools.chain(*(split.validation for split in folds))) == sorted(set(IDS) - set(folds[0].test))
    own = Split(tuple(IDS[:40]), tuple(IDS[40:]), origin="theirs")
    split = divide(dataset(splits=(own,)), Settings(test=10))
    assert len(split.test) == 10
    assert sorted(itertools.chain(*parts(split))) == IDS
    assert set(split.validation) <= set(own.validation)


@pytest.mark.parametrize("method", ["nnunet", "monai"])
def test_a_published_division_has_no_room_for_a_test_part(method):
    with pytest.raises(ConfigError, match=r"set split\.test=0"):
        divide(dataset(), Settings(method=method, test=0.1))


def test_folds_are_counted_as_they_are_divided():
    own = tuple(Split(tuple(IDS[:n] + IDS[n + 9 :]), tuple(IDS[n : n + 9])) for n in (0, 9, 18))
    for given, settings, expected in (
        (dataset(), Settings(folds=7), 7),
        (dataset(), Settings(method="nnunet", folds=7), 5),
        (dataset(splits=own), Settings(folds=7), 3),
        (dataset(splits=own), Settings(method="k_fold", folds=7), 7),
        (dataset(splits=own[:1]), Settings(folds=7), 7),
    ):
        assert num_folds(given, settings) == expected
        divide(given, settings.model_copy(update={"fold": expected - 1}))
        with pytest.raises(ConfigError, match=f"fold {expected} of {expected}"):
            divide(given, settings.model_copy(update={"fold": expected}))
