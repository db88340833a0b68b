"""Dice and binary cross entropy beside their parts, and what is refused."""

import math

import pytest
import torch
from monai.losses.dice import DiceCELoss

from torchio_seg import components
from torchio_seg.errors import ConfigError
from torchio_seg.losses import dice, dice_bce


def test_binary_cross_entropy_by_hand() -> None:
    masks = torch.tensor([1.0, 0, 0, 1]).reshape(1, 2, 2, 1, 1)
    logits = torch.tensor([math.log(3), 0, 0, 0]).reshape(1, 2, 2, 1, 1)
    found = dice_bce.build(False, dice_weight=0.0)(logits, masks)
    assert float(found) == pytest.approx(-(math.log(0.75) + 3 * math.log(0.5)) / 4)


def test_one_region_is_that_of_monai() -> None:
    generator = torch.Generator().manual_seed(0)
    masks = (torch.rand(2, 1, 5, 6, 7, generator=generator) > 0.7).float()
    logits = torch.randn(masks.shape, generator=generator)
    found = dice_bce.build(False, dice_weight=0.5, bce_weight=2.0)(logits, masks)
    torch.testing.assert_close(found, DiceCELoss(sigmoid=True, lambda_dice=0.5, lambda_ce=2.0)(logits, masks))


def test_without_cross_entropy_it_is_dice() -> None:
    masks = torch.ones(2, 3, 2, 2, 2)
    logits = torch.linspace(-2, 2, masks.numel()).reshape(masks.shape)
    expected = dice.build(False, squared_prediction=True, batch=True)(logits, masks)
    found = dice_bce.build(False, squared_prediction=True, batch=True, bce_weight=0.0)(logits, masks)
    assert torch.equal(found, expected)


def test_smoothing_is_that_of_dice() -> None:
    masks, logits = torch.zeros(1, 2, 2, 2, 2), torch.zeros(1, 2, 2, 2, 2)
    smoothing = {"smooth_numerator": 0.5, "smooth_denominator": 2.0}
    found = dice_bce.build(False, bce_weight=0.0, **smoothing)(logits, masks)
    assert float(found) == pytest.approx(1 - 0.5 / (4 + 2))
    assert torch.equal(found, dice.build(False, **smoothing)(logits, masks))


def test_exclusive_classes_are_sent_to_dice_ce() -> None:
    with pytest.raises(ConfigError, match=r"dice_bce is for overlapping regions.*use dice_ce"):
        components.assemble("losses", {"name": "dice_bce"}, True)


def test_no_weight_at_all_is_an_error() -> None:
    with pytest.raises(ConfigError, match="dice_weight and bce_weight are both 0"):
        components.assemble("losses", {"name": "dice_bce", "dice_weight": 0.0, "bce_weight": 0.0}, False)
