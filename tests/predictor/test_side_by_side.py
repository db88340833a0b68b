"""Members of an ensemble go side by side, in files or in memory, and find what they would find one after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from stored_axes import undo

from torchio_seg.postprocessing import Step, apply
from torchio_seg.predictor.ensemble import Ensemble
from torchio_seg.predictor.predictor import Predictor, Storage
from torchio_seg.predictor.window import Window
from torchio_seg.records import Labels
from torchio_seg.targets import activate, background, decode
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.volumes.scratch import file_of

CLASSES = Labels.of_classes({0: "background", 1: "one", 2: "two"})
REGIONS = Labels.of_regions({0: "b", 1: "o", 2: "n", 3: "e"}, {"whole": [1, 2, 3], "core": [2, 3], "enh": [3]})
AFFINE = np.array([[0.0, -1.2, 0, 3], [0.9, 0, 0, -4], [0, 0, -2.0, 7], [0, 0, 0, 1]])


def network(seed: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Mixes the channels of a voxel and of its neighbour, so that overlapping patches disagree at their borders."""
    mix = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed))

    def answer(images: torch.Tensor) -> torch.Tensor:
        return torch.einsum("oc,bcijk->boijk", mix, images + images.roll(1, -1) + 0.5 * images.roll(1, -3))

    return answer


def member(seed: int, labels: Labels, recipe: Recipe, window: Window | None = None) -> Predictor:
    window = window or Window((6, 8, 6), 0.5, 2, "gaussian")
    return Predictor(network(seed), labels, recipe, window, torch.device("cpu"), "fp32")


def image(seed: int, shape: tuple[int, ...] = (15, 18, 20)) -> np.ndarray:
    return np.random.default_rng(seed).normal(1, 2, (3, *shape)).astype(np.float32)


def one_after_another(members: list[Predictor], array: np.ndarray) -> np.ndarray:
    """Mean probabilities C I J K on the stored axes, in double precision, from whole volumes."""
    total = np.zeros((3, *array.shape[1:]))
    for each in members:
        logits, grids = each.logits(array, AFFINE)
        back = grids.back(activate(logits[None].double(), each.labels)[0], background(each.labels))
        total += undo(grids.orientation, back.numpy())
    return total / len(members)


MEMBERS = {
    "alike": [(Recipe(None, None, "zscore"), None)] * 3,
    "resampled": [(Recipe((1.4, 1.0, 1.7), None, "zscore"), None)] * 2,
    "other patches": [
        (Recipe((1.4, 1.0, 1.7), None, "zscore"), None),
        (Recipe((1.4, 1.0, 1.7), None, "zscore"), Window((8, 6, 4), 0.25, 3, "hann")),
    ],
    "other spacings": [
        (Recipe((1.4, 1.0, 1.7), None, "zscore"), None),
        (Recipe((0.8, 1.1, 2.4), None, "minmax"), None),
        (Recipe(None, None, "none"), Window((8, 6, 4), 0.25, 3, "crop")),
    ],
}


@pytest.mark.parametrize("labels", [CLASSES, REGIONS], ids=["classes", "regions"])
@pytest.mark.parametrize("kind", MEMBERS)
def test_the_mean_is_that_of_whole_volumes_one_after_another(kind: str, labels: Labels) -> None:
    members = [member(seed, labels, *given) for seed, given in enumerate(MEMBERS[kind])]
    array = image(3)
    found = Ensemble(tuple(members))(array, AFFINE)
    expected = one_after_another(members, array)
    np.testing.assert_allclose(found.probabilities, expected, rtol=0, atol=1e-5)
    ordered = np.sort(expected, axis=0)
    clear = ordered[-1] - ordered[-2] > 1e-4 if labels.exclusive else (np.abs(expected - 0.5) > 1e-4).all(axis=0)
    assert clear.mean() > 0.98
    assert np.array_equal(found.label_map[clear], decode(torch.from_numpy(expected), labels).numpy()[clear])
    alone = members[0](array, AFFINE).label_map
    assert (alone != found.label_map).mean() > 0.02, "members disagree"


def test_an_ensemble_of_one_is_that_one() -> None:
    only = member(0, CLASSES, Recipe((1.4, 1.0, 1.7), None, "zscore"))
    array = image(4)
    found, expected = Ensemble((only,))(array, AFFINE), only(array, AFFINE)
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert np.array_equal(found.label_map, expected.label_map)


@pytest.mark.parametrize("blending", ["crop", "average", "hann", "gaussian"])
@pytest.mark.parametrize("kind", ["alike", "other patches"])
def test_results_are_bit_for_bit_the_same_wherever_sums_and_what_is_made_of_them_lie(kind: str, blending: str) -> None:
    members = [member(seed, CLASSES, *given) for seed, given in enumerate(MEMBERS[kind])]
    members = [replace(each, window=replace(each.window, blending=blending)) for each in members]  # type: ignore[arg-type]
    array = image(5, (30, 25, 28))
    in_files = tuple(replace(each, storage=Storage(sums_in_file=True), held_bytes=40_000) for each in members)
    found, expected = Ensemble(in_files)(array, AFFINE), Ensemble(tuple(members))(array, AFFINE)
    assert file_of(found.probabilities) is not None
    assert file_of(found.label_map) is None
    assert np.array_equal(found.label_map, expected.label_map)
    assert np.array_equal(found.probabilities, expected.probabilities)
    streamed = Ensemble(in_files)(array, AFFINE, probabilities=False)
    assert streamed.probabilities is None
    assert np.array_equal(streamed.label_map, expected.label_map)


def test_a_label_map_in_a_file_is_mended_there_and_probabilities_stay() -> None:
    one = member(0, CLASSES, Recipe((1.4, 1.0, 1.7), None, "zscore"))
    steps = (Step("one", "keep_largest"), Step("two", "fill_holes"), Step("two", "drop_small", 100.0))
    array = image(6)
    plain = one(array, AFFINE)
    expected = apply(plain.label_map, steps, CLASSES, float(abs(np.linalg.det(AFFINE[:3, :3]))))
    assert (expected != plain.label_map).any()
    found = Ensemble((replace(one, held_bytes=0),), steps)(array, AFFINE)
    assert file_of(found.label_map) is not None
    assert np.array_equal(found.label_map, expected)
    assert np.array_equal(found.probabilities, plain.probabilities)
