import numpy as np

from torchio_seg.phantoms.cohort import COARSEST, SIZES, Cohort, choose
from torchio_seg.phantoms.scanner import SMALLEST_AXIS

SHAPE = (24, 24, 24)


def varied(cases: int, *, seed: int = 0) -> Cohort:
    return Cohort("abdomen", cases, SHAPE, 1, seed, varied=True)


def test_varied_cases_differ_in_shape_and_voxel_size() -> None:
    patients = list(varied(6).patients())
    sizes = [size for patient in patients for size in patient.label.shape]
    assert len({tuple(sorted(patient.label.shape)) for patient in patients}) > 3
    assert min(sizes) >= max(SMALLEST_AXIS, SIZES[0] * 24)
    assert max(sizes) <= SIZES[1] * 24
    longest = [max(patient.spacing) / np.median(patient.spacing) for patient in patients]
    assert len(set(np.round(longest, 3))) == 6
    assert 1.5 < max(longest) < COARSEST * 1.1


def test_a_patient_is_the_same_however_many_there_are() -> None:
    for cohorts in (
        (varied(2), varied(4)),
        (choose("abdomen", cases=2, shape=SHAPE), choose("abdomen", cases=4, shape=SHAPE)),
    ):
        few, many = (list(cohort.patients()) for cohort in cohorts)
        for first, again in zip(few, many[:2], strict=True):
            np.testing.assert_array_equal(first.image, again.image)
            np.testing.assert_array_equal(first.affine, again.affine)


def test_another_seed_varies_otherwise() -> None:
    first, other = (next(varied(1, seed=seed).patients()) for seed in (0, 1))
    assert first.label.shape != other.label.shape


def test_who_watches_is_told_of_every_patient() -> None:
    told: list[tuple[int, int]] = []
    list(choose("abdomen", cases=3, shape=(16, 16, 16)).patients(lambda done, number: told.append((done, number))))
    assert told == [(1, 3), (2, 3), (3, 3)]
