"""Mirror images: what is averaged, and that it changes nothing for a network that does not mind them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from torchio_seg.predictor.ensemble import Ensemble
from torchio_seg.predictor.mirroring import Mirrored, mirrorings
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.predictor.window import Window
from torchio_seg.records import Labels
from torchio_seg.transforms.recipe import Recipe

CLASSES = Labels.of_classes({0: "background", 1: "one"})
REGIONS = Labels.of_regions({0: "b", 1: "o", 2: "n"}, {"whole": [1, 2], "core": [2]})
IMAGE = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 1, 4, 6, 5)).astype(np.float32))


def lopsided(images: torch.Tensor) -> torch.Tensor:
    """Two channels that depend on where a voxel lies along each axis."""
    places = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in images.shape[2:]), indexing="ij")
    slope = places[0] - 0.5 * places[1] + 0.25 * places[2]
    return torch.cat([images * slope, images + slope], dim=1)


def pointwise(images: torch.Tensor) -> torch.Tensor:
    return torch.cat([2 * images, -images], dim=1)


def activated(logits: torch.Tensor, exclusive: bool) -> torch.Tensor:
    return logits.softmax(dim=1) if exclusive else logits.sigmoid()


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("axes", [(0,), (2,), (0, 1), (0, 1, 2)])
def test_probabilities_are_the_mean_over_all_mirror_images_turned_back(axes: tuple[int, ...], exclusive: bool) -> None:
    total = torch.zeros(2, 2, 4, 6, 5)
    for chosen in mirrorings(axes):
        dims = [axis + 2 for axis in chosen]
        total += activated(lopsided(IMAGE.flip(dims)), exclusive).flip(dims)
    found = activated(Mirrored(lopsided, axes, exclusive)(IMAGE), exclusive)
    assert (found - total / 2 ** len(axes)).abs().max() < 1e-6
    assert (found - activated(lopsided(IMAGE), exclusive)).abs().max() > 0.1


def test_every_choice_of_axes_is_seen_once() -> None:
    assert mirrorings((0, 2)) == [(), (0,), (2,), (0, 2)]
    assert len(set(mirrorings((0, 1, 2)))) == 8


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_network_that_does_not_mind_mirrors_answers_as_before(exclusive: bool) -> None:
    found = activated(Mirrored(pointwise, (0, 1, 2), exclusive)(IMAGE), exclusive)
    assert (found - activated(pointwise(IMAGE), exclusive)).abs().max() < 1e-6


@pytest.mark.parametrize("exclusive", [True, False])
def test_certainty_stays_finite(exclusive: bool) -> None:
    def certain(images: torch.Tensor) -> torch.Tensor:
        return torch.cat([images * 0 + 500, images * 0 - 500], dim=1)

    answer = Mirrored(certain, (0, 1), exclusive)(IMAGE)
    assert answer.isfinite().all()
    assert torch.equal(activated(answer, exclusive), activated(certain(IMAGE), exclusive))


@pytest.mark.parametrize("labels", [CLASSES, REGIONS])
def test_a_mirrored_member_joins_an_ensemble(labels: Labels) -> None:
    """On one patch that is the whole volume, the ensemble's mean is that of the probabilities by hand."""
    exclusive = labels.exclusive

    def member(network: object) -> Predictor:
        window = Window((4, 6, 5), 0.0, 1, "crop")
        recipe = Recipe(None, None, "none")
        return Predictor(network, labels, recipe, window, torch.device("cpu"), "fp32")  # type: ignore[arg-type]

    ensemble = Ensemble((member(Mirrored(lopsided, (0, 1), exclusive)), member(pointwise)))
    found = ensemble(IMAGE[0].numpy(), np.eye(4)).probabilities
    mirrored = activated(Mirrored(lopsided, (0, 1), exclusive)(IMAGE[:1]), exclusive)
    expected = (mirrored + activated(pointwise(IMAGE[:1]), exclusive)) / 2
    assert np.abs(found - expected[0].numpy()).max() < 1e-6
