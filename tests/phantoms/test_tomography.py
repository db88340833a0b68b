"""Abdomen and thorax, which share their scanner."""

from types import ModuleType

import nibabel as nib
import numpy as np
import pytest

from torchio_seg.phantoms import abdomen, thorax
from torchio_seg.phantoms.catalogue import random_numbers

SHAPE = (64, 64, 48)


def upright(module: ModuleType, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Image and label with their axes to the right, the front and up."""
    patient = module.synthesize(SHAPE, random_numbers(0, index))
    turn = nib.io_orientation(patient.affine)
    return nib.apply_orientation(patient.image[0], turn), nib.apply_orientation(patient.label, turn)


def centre(label: np.ndarray, value: int) -> np.ndarray:
    return np.argwhere(label == value).mean(axis=0)


@pytest.mark.parametrize("module", [abdomen, thorax])
def test_same_numbers_give_the_same_patient(module: ModuleType) -> None:
    first, again, other = (module.synthesize(SHAPE, random_numbers(0, index)) for index in (1, 1, 2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.label, again.label)
    assert np.bincount(first.label.ravel()).tolist() != np.bincount(other.label.ravel()).tolist()


@pytest.mark.parametrize("module", [abdomen, thorax])
def test_every_organ_is_there_in_hounsfield_units(module: ModuleType) -> None:
    for index in range(4):
        image, label = upright(module, index)
        assert image.dtype == np.int16
        assert image.min() >= -1024
        assert image.max() <= 3071
        assert -1010 < np.median(image[:4, -4:]) < -990
        assert (image > 300).mean() > 0.005, "bone"
        counts = np.bincount(label.ravel(), minlength=len(module.LABELS))
        assert len(counts) == len(module.LABELS)
        assert (counts > 50).all()


def test_lungs_are_air_and_other_organs_are_soft_tissue() -> None:
    image, label = upright(thorax, 0)
    assert [np.median(image[label == value]) < -700 for value in range(1, 6)] == [True, True, False, False, False]
    image, label = upright(abdomen, 0)
    assert all(-50 < np.median(image[label == value]) < 250 for value in range(1, 14))


def test_organs_lie_where_they_belong() -> None:
    for index in range(4):
        _, chest = upright(thorax, index)
        assert centre(chest, 1)[0] > centre(chest, 3)[0] > centre(chest, 2)[0]
        assert centre(chest, 3)[1] > centre(chest, 4)[1] > centre(chest, 5)[1]
        _, belly = upright(abdomen, index)
        place = {name: centre(belly, value) for value, name in abdomen.LABELS.items()}
        for right, left in (("liver", "spleen"), ("right kidney", "left kidney"), ("inferior vena cava", "aorta")):
            assert place[right][0] > place[left][0]
        assert place["right adrenal gland"][0] > place["aorta"][0] > place["left adrenal gland"][0]
        assert place["gallbladder"][2] < place["liver"][2]
        assert place["pancreas"][1] > place["portal and splenic veins"][1] > place["aorta"][1]
        assert place["right adrenal gland"][2] > place["right kidney"][2]


@pytest.mark.parametrize("module", [abdomen, thorax])
@pytest.mark.parametrize("shape", [(16, 16, 16), (17, 40, 23)])
def test_other_shapes_work(module: ModuleType, shape: tuple[int, int, int]) -> None:
    patient = module.synthesize(shape, np.random.default_rng(0))
    assert patient.image.shape == (1, *patient.label.shape)
    assert sorted(patient.label.shape) == sorted(shape)
