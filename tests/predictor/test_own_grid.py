"""Planes that come a few at a time make the labels of the whole volume, on whatever grid it was scanned."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from stored_axes import undo
from torch.nn import functional

from torchio_seg.predictor.own_grid import OwnGrid
from torchio_seg.predictor.patch_grid import PatchGrid
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.predictor.way_back import WayBack
from torchio_seg.predictor.window import Window
from torchio_seg.records import Labels
from torchio_seg.targets import activate, decode
from torchio_seg.transforms.preprocessing import find_grids
from torchio_seg.transforms.recipe import Recipe

CLASSES = Labels.of_classes({0: "background", 1: "one", 2: "two", 300: "three"})
REGIONS = Labels.of_regions({0: "b", 1: "o", 2: "n"}, {"whole": [1, 2], "core": [2]})
REGIONS_OF_THREE = Labels.of_regions({0: "b", 1: "o", 2: "n", 3: "e"}, {"whole": [1, 2, 3], "core": [2, 3], "enh": [3]})
RECIPES = [
    Recipe(None, None, "none"),
    Recipe(None, (23, 9, 31), "none"),
    Recipe((1.3, 0.7, 1.9), None, "none"),
    Recipe((0.6, 2.2, 0.8), None, "none"),
    Recipe(None, None, "none", crop_or_pad=(11, 30, 8)),
    Recipe((1.3, 0.7, 1.9), None, "none", crop_or_pad=(9, 26, 40)),
    Recipe((0.6, 1.4, 0.8), None, "none", crop_or_pad=(14, 13, 10)),
]
AXES = list(itertools.permutations(range(3)))


def oblique(number: int) -> np.ndarray:
    """One of 48 orders and directions of axes, turned by 20 degrees."""
    signs = np.array(list(itertools.product((1, -1), repeat=3))[number % 8])
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.eye(3)[:, list(AXES[number % 6])] * signs
    return affine


def predictor(labels: Labels, recipe: Recipe) -> Predictor:
    window = Window((8, 8, 8), 0.25, 3, "gaussian")
    return Predictor(lambda images: 3 * images, labels, recipe, window, torch.device("cpu"), "fp32")


@pytest.mark.parametrize("labels", [CLASSES, REGIONS], ids=["classes", "regions"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_streamed_labels_are_those_of_the_whole_volume(recipe: Recipe, labels: Labels) -> None:
    for number in range(12):
        rng = np.random.default_rng(number)
        array = rng.normal(size=(labels.num_channels, *rng.integers(6, 24, 3))).astype(np.float32)
        model, affine = predictor(labels, recipe), oblique(number)
        streamed = model(array, affine, probabilities=False)
        kept = model(array, affine)
        logits, grids = model.logits(array, affine)
        whole = model.finish(logits, grids)
        assert streamed.probabilities is None
        assert np.array_equal(streamed.label_map, whole.label_map)
        assert np.array_equal(streamed.label_map, kept.label_map)
        assert np.array_equal(kept.probabilities, whole.probabilities)

        back = grids.back(activate(logits[None].double(), labels)[0], [1.0, 0, 0, 0] if labels.exclusive else [0.0, 0])
        expected = undo(grids.orientation, back.numpy())
        assert streamed.label_map.shape == array.shape[1:]
        np.testing.assert_allclose(kept.probabilities, expected, rtol=0, atol=4e-6)  # single-precision coordinates
        ordered = np.sort(expected, axis=0)
        margin = ordered[-1] - ordered[-2] if labels.exclusive else np.abs(expected - 0.5).min(axis=0)
        clear = margin > 1e-5
        assert clear.mean() > 0.95 if recipe.crop_or_pad is None else clear.any()
        labels_of_all = decode(torch.from_numpy(expected), labels).numpy()
        assert np.array_equal(streamed.label_map[clear], labels_of_all[clear])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("old", "new"), [(5, 17), (17, 5), (40, 41), (1, 6), (6, 1), (19, 19)])
def test_between_planes_it_is_linear_and_beyond_the_last_constant(axis: int, old: int, new: int) -> None:
    shape, wanted = [7, 7, 7], [7, 7, 7]
    shape[axis], wanted[axis] = new, old
    grids = find_grids(tuple(shape), np.eye(4), Recipe(None, tuple(wanted), "none"))  # type: ignore[arg-type]
    probabilities = torch.rand(3, *wanted, dtype=torch.float32, generator=torch.Generator().manual_seed(old))
    own = OwnGrid(grids, REGIONS_OF_THREE, axis, keep_probabilities=True)
    patches = PatchGrid(tuple(wanted), tuple(-(-n // 3) for n in wanted), (0, 0, 0), axis)  # type: ignore[arg-type]
    own.fill(WayBack(grids, REGIONS_OF_THREE, axis)(patches.strips(probabilities)))
    expected = functional.interpolate(probabilities[None].double(), size=tuple(shape), mode="trilinear")[0]
    np.testing.assert_allclose(own.probabilities, expected, rtol=0, atol=1e-6)


def test_a_strip_that_is_missing_or_comes_twice_is_an_error() -> None:
    grids = find_grids((9, 9, 9), np.eye(4), RECIPES[0])
    strips = list(PatchGrid((9, 9, 9), (3, 3, 3), (0, 0, 0), 1).strips(torch.rand(4, 9, 9, 9)))
    for wrong in (strips[:-1], [*strips, strips[0]]):
        with pytest.raises(ValueError, match="27 voxels of the volume"):
            OwnGrid(grids, CLASSES, 1, keep_probabilities=False).fill(iter(wrong))
