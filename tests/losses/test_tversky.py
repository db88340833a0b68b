"""Tversky by hand, where it is Dice, and beside MONAI's."""

import math

import pytest
import torch
from monai.losses.tversky import TverskyLoss

from torchio_seg import components
from torchio_seg.errors import ConfigError
from torchio_seg.losses import dice, tversky

LIKELY = math.log(3)
"""A logit whose sigmoid is 3/4."""


def random_pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 5, 4, 3), generator=generator)
    masks = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    return torch.randn(masks.shape, generator=generator), masks


def test_region_by_hand_on_four_voxels() -> None:
    masks = torch.tensor([1.0, 1, 0, 0]).reshape(1, 1, 4, 1, 1)
    logits = torch.tensor([LIKELY, 0, LIKELY, -LIKELY]).reshape(masks.shape)
    overlap, invented, missed = 0.75 + 0.5, 0.75 + 0.25, 0.25 + 0.5
    expected = 1 - overlap / (overlap + 0.2 * invented + 0.6 * missed)
    assert float(tversky.build(False, alpha=0.2, beta=0.6)(logits, masks)) == pytest.approx(expected, abs=1e-5)


def test_missing_voxels_cost_more_than_inventing_as_many() -> None:
    masks = torch.tensor([1.0, 1, 0, 0]).reshape(1, 1, 4, 1, 1)
    sure = 40 * masks - 20
    missing, inventing = sure.clone(), sure.clone()
    missing[0, 0, 0], inventing[0, 0, 2] = -20, 20
    loss = tversky.build(False)
    assert float(loss(missing, masks)) == pytest.approx(1 - 1 / (1 + 0.7), abs=1e-4)
    assert float(loss(inventing, masks)) == pytest.approx(1 - 2 / (2 + 0.3), abs=1e-4)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("batch", [True, False])
def test_equal_weights_are_dice(exclusive: bool, batch: bool) -> None:
    logits, masks = random_pair()
    found = tversky.build(exclusive, alpha=0.5, beta=0.5, batch=batch)(logits, masks)
    torch.testing.assert_close(found, dice.build(exclusive, batch=batch)(logits, masks))


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("batch", [True, False])
def test_value_is_that_of_monai(exclusive: bool, batch: bool) -> None:
    logits, masks = random_pair()
    theirs = TverskyLoss(
        softmax=exclusive, sigmoid=not exclusive, include_background=not exclusive, alpha=0.3, beta=0.7, batch=batch
    )
    torch.testing.assert_close(tversky.build(exclusive, batch=batch)(logits, masks), theirs(logits, masks))


def test_no_weight_at_all_is_an_error() -> None:
    with pytest.raises(ConfigError, match="alpha and beta are both 0"):
        components.assemble("losses", {"name": "tversky", "alpha": 0.0, "beta": 0.0}, True)
