from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from torchio_seg.phantoms import brain
from torchio_seg.phantoms.catalogue import KINDS, has_lesion, random_numbers
from torchio_seg.phantoms.difficulty import Difficulty
from torchio_seg.phantoms.scanner import Phantom

SHAPE = (64, 64, 48)
QUIET = Difficulty(noise=0.0, shading=0.0, gain=0.0, texture=0.0, tissue_spread=0.0, contrast=(1.0, 1.0))


def draw(index: int, difficulty: Difficulty | None = None, **options: object) -> Phantom:
    return brain.synthesize(SHAPE, random_numbers(0, index), difficulty=difficulty, **options)


@pytest.fixture(scope="module")
def patients() -> list[Phantom]:
    return [draw(index) for index in range(8)]


def test_same_numbers_give_the_same_patient(patients: list[Phantom]) -> None:
    again = draw(3)
    np.testing.assert_array_equal(again.image, patients[3].image)
    np.testing.assert_array_equal(again.label, patients[3].label)
    np.testing.assert_array_equal(again.affine, patients[3].affine)
    assert not np.array_equal(np.sort(patients[2].image.ravel()), np.sort(patients[3].image.ravel()))


def test_parts_of_the_lesion_are_nested(patients: list[Phantom]) -> None:
    """Seen from the core, one first meets the rim that enhances, then oedema, then the rest."""
    for patient in patients:
        core = ndimage.binary_dilation(patient.label == 2) & (patient.label != 2)
        assert (patient.label[core] == 3).mean() > 0.99
        rim = ndimage.binary_dilation(patient.label >= 2) & (patient.label < 2)
        assert (patient.label[rim] == 1).mean() > 0.6


def test_parts_of_the_lesion_are_large_enough_to_be_learnt(patients: list[Phantom]) -> None:
    counts = np.array([np.bincount(patient.label.ravel(), minlength=4) for patient in patients])
    assert (counts[:, 1:].min(axis=0) > 30).all()
    assert (np.median(counts[:, 1:], axis=0) > 300).all()
    assert (counts[:, 1:].sum(axis=1) < 0.12 * np.prod(SHAPE)).all()


def test_lesions_differ_in_place_and_size(patients: list[Phantom]) -> None:
    sizes = [np.count_nonzero(patient.label) for patient in patients]
    assert max(sizes) > 1.5 * min(sizes)
    places = [patient.affine @ [*np.argwhere(patient.label).mean(axis=0), 1] for patient in patients]
    assert np.std(places, axis=0)[:3].min() > 3


def test_lesion_lies_within_the_brain() -> None:
    for index in range(4):
        with_lesion, without = draw(index, QUIET), draw(index, QUIET, lesion=False)
        inside = with_lesion.label > 0 if with_lesion.label.shape == without.label.shape else None
        skull = 0.12 * brain.BRIGHTEST + 1
        if inside is not None:
            assert np.count_nonzero(with_lesion.image[3][inside] < skull) == 0
        filled = ndimage.binary_fill_holes(ndimage.binary_closing(with_lesion.image[0] > 0))
        assert filled[with_lesion.label > 0].all()


def test_one_of_six_has_no_lesion() -> None:
    assert [index for index in range(24) if not has_lesion(index)] == [5, 11, 17, 23]
    healthy = [index for index in range(6) if not KINDS["brain"].draw((24, 24, 24), 0, index, 4).label.any()]
    assert healthy == [5]


def test_head_fits_into_the_field(patients: list[Phantom]) -> None:
    for index in range(6):
        head = draw(index, QUIET).image[0] > 0
        assert 0.25 < head.mean() < 0.6
        assert max(np.take(head, end, axis).mean() for axis in range(3) for end in (0, -1)) < 0.1


def test_contrast_of_the_sequences_differs() -> None:
    """T2w: fluid brightest. T1w: white above grey above fluid. T1gd: the rim stands out, in T1w it does not."""
    patient = draw(0, QUIET)
    table = dict(zip(brain.CHANNELS, np.array(list(brain.INTENSITIES.values())).T * brain.BRIGHTEST, strict=True))
    for number, name in enumerate(brain.CHANNELS):
        assert set(np.unique(patient.image[number])) <= set(np.rint(table[name]).astype(int))
    rim = patient.label == 3
    assert patient.image[2][rim].mean() > 2 * patient.image[1][rim].mean()


def test_healthy_tissue_is_as_bright_as_each_part_of_the_lesion() -> None:
    """No threshold on one sequence can find any part."""
    patient = draw(0, replace(QUIET, noise=0.0))
    for number in range(4):
        for value in (1, 2, 3):
            own = patient.image[number][patient.label == value].mean()
            other = patient.image[number][patient.label == 0]
            assert np.count_nonzero(other >= own) > 100


def test_neighbourhoods_tell_what_single_voxels_do_not(patients: list[Phantom]) -> None:
    """Even the best linear mixture of a patient's own channels, at the best threshold, misses much of the lesion."""
    for patient in patients[:3]:
        truth = patient.label.ravel() > 0
        sharp = patient.image.astype(np.float32)
        smooth = np.stack([ndimage.gaussian_filter(channel, 1.5) for channel in sharp])
        assert best_linear_dice(sharp, truth) < 0.55
        assert best_linear_dice(smooth, truth) > best_linear_dice(sharp, truth) + 0.1


def best_linear_dice(image: np.ndarray, truth: np.ndarray) -> float:
    columns = np.stack([*image.reshape(len(image), -1), np.ones(truth.size)], axis=1)
    score = columns @ np.linalg.lstsq(columns, truth.astype(float))[0]
    found = np.cumsum(truth[np.argsort(-score)])
    return float(np.max(2 * found / (np.arange(1, truth.size + 1) + truth.sum())))


def test_gain_and_noise_differ_between_cases(patients: list[Phantom]) -> None:
    brightness = np.array([[np.percentile(channel, 95) for channel in patient.image] for patient in patients])
    assert (brightness.max(axis=0) > 1.2 * brightness.min(axis=0)).all()


def test_first_channels_do_not_depend_on_their_number(patients: list[Phantom]) -> None:
    two = draw(1, channels=2)
    np.testing.assert_array_equal(two.image, patients[1].image[:2])
    np.testing.assert_array_equal(two.label, patients[1].label)


@pytest.mark.parametrize("shape", [(16, 16, 16), (17, 40, 23)])
def test_other_shapes_work(shape: tuple[int, int, int]) -> None:
    patient = brain.synthesize(shape, np.random.default_rng(0))
    assert sorted(patient.label.shape) == sorted(shape)
    assert set(np.unique(patient.label)) == {0, 1, 2, 3}
