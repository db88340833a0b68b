"""Patches in which there is nothing to see are asked about once, and nothing else changes."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from torchio_seg.predictor.predictor import Predictor
from torchio_seg.predictor.skipping import Skipping
from torchio_seg.predictor.window import Window
from torchio_seg.records import Labels
from torchio_seg.transforms.recipe import Recipe

CLASSES = Labels.of_classes({0: "background", 1: "a", 2: "b"})
REGIONS = Labels.of_regions({0: "background", 1: "a", 2: "b"}, {"outer": (1, 2), "inner": (2,)})
AIR = -1000.0


class Counting:
    """Finds what is bright, and at the border of a patch something in nothing."""

    def __init__(self, num_channels: int) -> None:
        self.num_channels = num_channels
        self.num_asked = 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.num_asked += len(images)
        slope = torch.linspace(-1, 1, images.shape[2])[:, None, None]
        return torch.cat([(1 + n) * torch.sin(images * n + n) + n * slope for n in range(self.num_channels)], dim=1)


def body(shape: tuple[int, int, int] = (24, 24, 40)) -> np.ndarray:
    """A CT whose body lies at one end."""
    volume = np.full((1, *shape), AIR, np.float32)
    volume[0, 4:20, 4:20, 2:12] = np.random.default_rng(0).normal(0, 60, (16, 16, 10))
    return volume


def predictor(network: object, labels: Labels, batch_size: int) -> Predictor:
    recipe = Recipe(None, None, "window", window=(-175.0, 250.0))
    window = Window((8, 8, 8), 0.5, batch_size, "gaussian")
    return Predictor(network, labels, recipe, window, torch.device("cpu"), "fp32")  # type: ignore[arg-type]


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("labels", [CLASSES, REGIONS])
def test_labels_and_probabilities_stay_whatever_the_network_says_of_nothing(labels: Labels, batch_size: int) -> None:
    before, network = Counting(labels.num_channels), Counting(labels.num_channels)
    skipping = Skipping(network)
    expected = predictor(before, labels, batch_size)(body(), np.eye(4))
    found = predictor(skipping, labels, batch_size)(body(), np.eye(4))
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert np.array_equal(found.label_map, expected.label_map)
    assert found.label_map[..., 20:].any()  # something is found where nothing is
    assert skipping.num_patches == before.num_asked
    assert skipping.num_skipped > before.num_asked / 3
    assert network.num_asked + skipping.num_skipped == before.num_asked


def test_air_that_is_clipped_to_one_value_is_nothing() -> None:
    noisy = body()
    noisy[noisy == AIR] += np.random.default_rng(1).uniform(-20, 20, (noisy == AIR).sum())
    skipping = Skipping(Counting(3))
    predictor(skipping, CLASSES, 1)(noisy, np.eye(4))
    assert skipping.num_skipped > 0


def test_padding_on_one_side_is_nothing_and_noisy_air_on_the_other_is_where_it_is_not_clipped() -> None:
    volume = body()
    volume[..., 26:] = -2000.0  # as scanners fill what they did not see
    volume[..., 12:26] += np.random.default_rng(1).uniform(-20, 20, (24, 24, 14))
    skipped = {}
    for recipe in (Recipe(None, None, "none"), Recipe(None, None, "zscore"), Recipe(None, None, "window", (-175, 250))):
        skipping = Skipping(Counting(3))
        predict = replace(predictor(skipping, CLASSES, 1), recipe=recipe)
        predict(volume, np.eye(4))
        skipped[recipe.normalization] = skipping.num_skipped
    starts = [(0, 4, 8, 12, 16), (0, 4, 8, 12, 16), (0, 4, 8, 12, 16, 20, 24, 28, 32)]
    patches = [tuple(slice(start, start + 8) for start in place) for place in itertools.product(*starts)]
    padded = sum(bool((volume[0][patch] == -2000).all()) for patch in patches)
    assert skipped["none"] == skipped["zscore"] == padded - 1, "the first of them is asked about"
    assert skipped["window"] == sum(bool((volume[0][patch] < -175).all()) for patch in patches) - 1


def test_one_voxel_or_one_channel_that_differs_is_something() -> None:
    network = Counting(3)
    skipping = Skipping(lambda images: network(images[:, :1]))
    images = torch.zeros(4, 2, 8, 8, 8)
    images[1, 0, 3, 4, 5] = 1e-6
    images[2, 1, 0, 0, 0] = 1
    skipping(images)
    assert skipping.num_skipped == 1  # the last, as the first


def test_another_value_everywhere_is_another_question() -> None:
    network = Counting(3)
    skipping = Skipping(network)
    for value in (0.0, 0.0, 0.5, 0.5, 0.0):
        images = torch.full((1, 1, 8, 8, 8), value)
        assert torch.equal(skipping(images), Counting(3)(images))
    assert (network.num_asked, skipping.num_skipped) == (3, 2)
