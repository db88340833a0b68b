"""Dice and cross entropy beside MONAI's, and what is refused."""

import math
from typing import Any

import pytest
import torch
from monai.losses.dice import DiceCELoss

from torchio_seg import components
from torchio_seg.errors import ConfigError
from torchio_seg.losses import dice, dice_ce


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {"include_background": False}),
        ({"include_background": True, "batch": True}, {"include_background": True, "batch": True}),
        (
            {"squared_prediction": True, "dice_weight": 0.3, "ce_weight": 2.0},
            {"include_background": False, "squared_pred": True, "lambda_dice": 0.3, "lambda_ce": 2.0},
        ),
    ],
)
def test_value_is_that_of_monai(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    labels = torch.randint(0, 4, (2, 5, 6, 7), generator=torch.Generator().manual_seed(0))
    masks = torch.nn.functional.one_hot(labels, 4).movedim(-1, 1).float()
    logits = torch.randn(masks.shape, generator=torch.Generator().manual_seed(1))
    found = dice_ce.build(True, **ours)(logits, masks)
    torch.testing.assert_close(found, DiceCELoss(softmax=True, **theirs)(logits, masks))
    from_labels = DiceCELoss(softmax=True, to_onehot_y=True, **theirs)(logits, labels[:, None])
    torch.testing.assert_close(found, from_labels)


def test_cross_entropy_by_hand() -> None:
    masks = torch.tensor([1.0, 0, 0, 1]).reshape(1, 2, 2, 1, 1)  # one voxel of each class
    logits = torch.tensor([math.log(3), 0, 0, 0]).reshape(1, 2, 2, 1, 1)  # true probabilities 3/4 and 1/2
    found = dice_ce.build(True, dice_weight=0.0)(logits, masks)
    assert float(found) == pytest.approx(-(math.log(0.75) + math.log(0.5)) / 2)


def test_smoothing_is_that_of_dice() -> None:
    masks, logits = torch.zeros(1, 2, 2, 2, 2), torch.zeros(1, 2, 2, 2, 2)
    masks[:, 0] = 1
    smoothing = {"smooth_numerator": 0.5, "smooth_denominator": 2.0}
    found = dice_ce.build(True, ce_weight=0.0, **smoothing)(logits, masks)
    assert float(found) == pytest.approx(1 - 0.5 / (4 + 2))
    assert torch.equal(found, dice.build(True, **smoothing)(logits, masks))


def test_binary_cross_entropy_by_hand() -> None:
    masks = torch.tensor([1.0, 0, 0, 1]).reshape(1, 2, 2, 1, 1)
    logits = torch.tensor([math.log(3), 0, 0, 0]).reshape(1, 2, 2, 1, 1)
    found = dice_ce.build(False, dice_weight=0.0)(logits, masks)
    assert float(found) == pytest.approx(-(math.log(0.75) + 3 * math.log(0.5)) / 4)


def test_one_region_is_that_of_monai() -> None:
    generator = torch.Generator().manual_seed(0)
    masks = (torch.rand(2, 1, 5, 6, 7, generator=generator) > 0.7).float()
    logits = torch.randn(masks.shape, generator=generator)
    found = dice_ce.build(False, dice_weight=0.5, ce_weight=2.0)(logits, masks)
    torch.testing.assert_close(found, DiceCELoss(sigmoid=True, lambda_dice=0.5, lambda_ce=2.0)(logits, masks))


def test_without_cross_entropy_it_is_dice_of_the_regions() -> None:
    masks = torch.ones(2, 3, 2, 2, 2)
    logits = torch.linspace(-2, 2, masks.numel()).reshape(masks.shape)
    expected = dice.build(False, squared_prediction=True, batch=True)(logits, masks)
    assert torch.equal(
        dice_ce.build(False, squared_prediction=True, batch=True, ce_weight=0.0)(logits, masks), expected
    )


def test_no_weight_at_all_is_an_error() -> None:
    with pytest.raises(ConfigError, match="dice_weight and ce_weight are both 0"):
        components.assemble("losses", {"name": "dice_ce", "dice_weight": 0.0, "ce_weight": 0.0}, True)
