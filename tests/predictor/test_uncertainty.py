"""How unsure a prediction is, held against numpy on whole arrays."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from torchio_seg.predictor.ensemble import Ensemble
from torchio_seg.predictor.mirroring import Mirrored, mirrorings
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.predictor.uncertainty import MEASURES, entropy
from torchio_seg.predictor.window import Window
from torchio_seg.records import Labels
from torchio_seg.transforms.recipe import Recipe

CLASSES = Labels.of_classes({0: "background", 1: "a", 2: "b"})
REGIONS = Labels.of_regions({0: "background", 1: "a", 2: "b", 3: "c"}, {"x": (1, 2, 3), "y": (2, 3), "z": (3,)})
AFFINE = np.array([[-1.0, 0, 0, 30], [0, 0, 1.25, -20], [0, 1.5, 0, 10], [0, 0, 0, 1]])
IMAGE = np.random.default_rng(0).normal(size=(1, 11, 10, 14)).astype(np.float32)


def lopsided(images: torch.Tensor) -> torch.Tensor:
    """Three channels that depend on where in its patch a voxel lies."""
    i, j, k = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in images.shape[2:]), indexing="ij")
    return torch.cat([images * 0.3 * i, images - 0.2 * j, 0.1 * k - images], dim=1)


def predictor(labels: Labels, kind: str | None, network: Any = lopsided, **window: Any) -> Predictor:
    settings = {"patch_size": (6, 6, 6), "overlap": 0.5, "batch_size": 2, "blending": "gaussian", **window}
    recipe = Recipe((1.3, 1.1, 1.2), None, "none") if "patch_size" not in window else Recipe(None, None, "none")
    measure = None if kind is None else MEASURES[kind]
    return Predictor(network, labels, recipe, Window(**settings), torch.device("cpu"), "fp32", measure=measure)


def entropy_by_numpy(probabilities: np.ndarray, exclusive: bool) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.nan_to_num(-probabilities * np.log(probabilities))
        opposite = np.nan_to_num(-(1 - probabilities) * np.log(1 - probabilities))
    return each.sum(axis=0) / np.log(len(each)) if exclusive else (each + opposite).max(axis=0) / np.log(2)


@pytest.mark.parametrize("labels", [CLASSES, REGIONS])
@pytest.mark.parametrize("several", [False, True], ids=["one", "ensemble"])
def test_entropy_is_that_of_the_probabilities_on_the_volumes_own_grid(labels: Labels, several: bool) -> None:
    one = predictor(labels, "entropy", lambda images: 4 * lopsided(images))
    predict = Ensemble((one, predictor(labels, None, lambda images: 3 * lopsided(images)))) if several else one
    whole = predict(IMAGE, AFFINE)
    assert whole.probabilities is not None
    assert whole.uncertainty is not None
    assert whole.uncertainty.dtype == np.float32
    expected = entropy_by_numpy(whole.probabilities.astype(np.float64), labels.exclusive)
    assert np.abs(whole.uncertainty - expected).max() < 1e-5
    assert expected.max() > 0.9
    assert expected.max() - expected.min() > 0.1
    streamed = predict(IMAGE, AFFINE, probabilities=False)
    assert streamed.probabilities is None
    assert np.array_equal(streamed.uncertainty, whole.uncertainty)


def test_certainty_is_0_and_the_greatest_doubt_1() -> None:
    certain, torn = torch.tensor([1.0, 0.0, 0.0]), torch.full((3,), 1 / 3)
    assert entropy(torch.stack([certain, torn], dim=1)[:, None], CLASSES).tolist()[0] == pytest.approx([0.0, 1.0])
    halves, sure = torch.tensor([1.0, 0.5, 0.0]), torch.tensor([1.0, 1.0, 0.0])
    assert entropy(torch.stack([sure, halves], dim=1)[:, None], REGIONS).tolist() == [[0.0, 1.0]]


def spread_by_numpy(patch: np.ndarray, axes: tuple[int, ...], exclusive: bool) -> np.ndarray:
    """Of a patch 1 I J K, the most that a channel's probability differs between its mirror images."""
    images, found = torch.from_numpy(patch)[None], []
    for chosen in mirrorings(axes):
        dims = [axis + 2 for axis in chosen]
        logits = lopsided(images.flip(dims)).flip(dims)
        found.append((logits.softmax(dim=1) if exclusive else logits.sigmoid())[0].numpy().astype(np.float64))
    return np.std(found, axis=0).max(axis=0)


@pytest.mark.parametrize("labels", [CLASSES, REGIONS])
@pytest.mark.parametrize("axes", [(0,), (0, 1, 2)])
def test_disagreement_is_the_deviation_between_mirror_images(labels: Labels, axes: tuple[int, ...]) -> None:
    network = Mirrored(lopsided, axes, labels.exclusive, tells_disagreement=True)
    window = {"patch_size": (11, 10, 14), "overlap": 0.0, "blending": "crop"}
    told = predictor(labels, "disagreement", network, **window)(IMAGE, np.eye(4))
    expected = spread_by_numpy(IMAGE, axes, labels.exclusive)
    assert np.abs(told.uncertainty - expected).max() < 1e-5
    assert 0.1 < expected.max() <= 0.5
    plain = predictor(labels, None, Mirrored(lopsided, axes, labels.exclusive), **window)(IMAGE, np.eye(4))
    assert plain.uncertainty is None
    assert np.array_equal(told.label_map, plain.label_map)
    assert np.array_equal(told.probabilities, plain.probabilities)


def test_disagreement_of_patches_that_overlap_is_their_mean() -> None:
    network = Mirrored(lopsided, (1,), exclusive=True, tells_disagreement=True)
    window = {"patch_size": (6, 6, 6), "overlap": 0.5, "blending": "average"}
    told = predictor(CLASSES, "disagreement", network, **window)(IMAGE, np.eye(4), probabilities=False)
    total, count = np.zeros(IMAGE.shape[1:]), np.zeros(IMAGE.shape[1:])
    starts = [sorted({*range(0, n - 6, 4), n - 6}) for n in IMAGE.shape[1:]]
    for place in itertools.product(*starts):
        inside = tuple(slice(start, start + 6) for start in place)
        total[inside] += spread_by_numpy(IMAGE[(slice(None), *inside)], (1,), exclusive=True)
        count[inside] += 1
    assert np.abs(told.uncertainty - total / count).max() < 1e-5


def test_what_was_cut_away_is_certain() -> None:
    network = Mirrored(lopsided, (1,), exclusive=True, tells_disagreement=True)
    for kind, asked in (("entropy", lopsided), ("disagreement", network)):
        made = predictor(CLASSES, kind, asked, patch_size=(6, 6, 6))
        recipe = Recipe(None, None, "none", crop_or_pad=(6, 8, 8))
        told = Predictor(asked, CLASSES, recipe, made.window, made.device, "fp32", measure=made.measure)
        found = told(IMAGE, np.eye(4), probabilities=False).uncertainty
        assert found is not None
        assert (found[:2] == 0).all()
        assert (found[3:8, 2:8, 4:10] > 0).any()
