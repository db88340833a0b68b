"""Dice and focal loss by hand, beside cross entropy and MONAI's, and what is refused."""

import math

import pytest
import torch
from monai.losses.dice import DiceFocalLoss
from monai.losses.focal_loss import FocalLoss

from torchio_seg import components
from torchio_seg.errors import ConfigError
from torchio_seg.losses import dice_ce, dice_focal

LIKELY = math.log(3)
"""A logit whose sigmoid is 3/4; against 0 in two channels, its softmax too."""


def random_pair(num_channels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, num_channels, (2, 5, 4, 3), generator=generator)
    masks = torch.nn.functional.one_hot(labels, num_channels).movedim(-1, 1).float()
    return torch.randn(masks.shape, generator=generator), masks


def test_classes_by_hand() -> None:
    masks = torch.tensor([1.0, 0, 0, 1]).reshape(1, 2, 2, 1, 1)  # one voxel of each class
    logits = torch.tensor([LIKELY, 0, 0, 0]).reshape(1, 2, 2, 1, 1)  # true probabilities 3/4 and 1/2
    found = dice_focal.build(True, gamma=3.0, dice_weight=0.0)(logits, masks)
    assert float(found) == pytest.approx(-(0.25**3 * math.log(0.75) + 0.5**3 * math.log(0.5)) / 2)


def test_regions_by_hand() -> None:
    masks = torch.tensor([1.0, 0, 0, 1]).reshape(1, 2, 2, 1, 1)
    logits = torch.tensor([LIKELY, 0, -LIKELY, -LIKELY]).reshape(1, 2, 2, 1, 1)
    found = dice_focal.build(False, dice_weight=0.0)(logits, masks)  # right with 3/4, 1/2, 3/4 and 1/4
    terms = 2 * 0.25**2 * math.log(0.75) + 0.5**2 * math.log(0.5) + 0.75**2 * math.log(0.25)
    assert float(found) == pytest.approx(-terms / 4)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("batch", [True, False])
def test_without_focus_it_is_dice_and_cross_entropy(exclusive: bool, batch: bool) -> None:
    logits, masks = random_pair()
    found = dice_focal.build(exclusive, gamma=0.0, batch=batch, focal_weight=0.4)(logits, masks)
    torch.testing.assert_close(found, dice_ce.build(exclusive, batch=batch, ce_weight=0.4)(logits, masks))


def test_regions_are_those_of_monai() -> None:
    logits, masks = random_pair()
    theirs = DiceFocalLoss(sigmoid=True, squared_pred=True, batch=True, gamma=1.5, lambda_focal=2.0)
    ours = dice_focal.build(False, squared_prediction=True, batch=True, gamma=1.5, focal_weight=2.0)
    torch.testing.assert_close(ours(logits, masks), theirs(logits, masks))


def test_classes_are_the_softmax_of_monai_over_voxels_not_channels() -> None:
    """Its DiceFocalLoss takes a sigmoid of exclusive classes too, so its focal part alone is the measure."""
    logits, masks = random_pair()
    theirs = FocalLoss(use_softmax=True, gamma=2.0)(logits, masks)
    torch.testing.assert_close(dice_focal.build(True, dice_weight=0.0)(logits, masks), 3 * theirs)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("scale", [100.0, -100.0])
def test_a_focus_below_one_has_a_finite_gradient_where_a_voxel_is_sure(exclusive: bool, scale: float) -> None:
    _, masks = random_pair()
    logits = (scale * (2 * masks - 1)).requires_grad_()
    dice_focal.build(exclusive, gamma=0.5)(logits, masks).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_no_weight_at_all_is_an_error() -> None:
    with pytest.raises(ConfigError, match="dice_weight and focal_weight are both 0"):
        components.assemble("losses", {"name": "dice_focal", "dice_weight": 0.0, "focal_weight": 0.0}, True)
