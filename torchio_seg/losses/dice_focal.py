"""Soft Dice and focal loss: cross entropy in which voxels count less, the surer they are (Lin et al. 2017)."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import NonNegativeFloat

from torchio_seg.errors import ConfigError
from torchio_seg.soft_dice import SMOOTHING, Denominator, Pool, alone, soft_dice

if TYPE_CHECKING:
    import torch


def build(  # noqa: PLR0913 (options are what a component is made of)
    exclusive: bool,
    *,
    pool: Pool = alone,
    gamma: NonNegativeFloat = 2.0,
    squared_prediction: bool = False,
    smooth_numerator: NonNegativeFloat = SMOOTHING,
    smooth_denominator: Denominator = SMOOTHING,
    include_background: bool = False,
    batch: bool = False,
    dice_weight: NonNegativeFloat = 1.0,
    focal_weight: NonNegativeFloat = 1.0,
) -> Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]:
    """Weighted sum of both; the Dice options are those of `dice`, the focal loss always knows the background.

    `gamma`: each voxel's cross entropy times what is missing of its probability to this power; 0 is `dice_ce`.
    """
    if dice_weight == focal_weight == 0:
        raise ConfigError("loss dice_focal: dice_weight and focal_weight are both 0; give one of them a weight above 0")

    overlap = soft_dice(
        exclusive,
        squared_prediction=squared_prediction,
        smooth_numerator=smooth_numerator,
        smooth_denominator=smooth_denominator,
        include_background=include_background,
        batch=batch,
        pool=pool,
    )
    truth_and_rest = _of_classes if exclusive else _of_regions

    def loss(logits: "torch.Tensor", masks: "torch.Tensor") -> "torch.Tensor":
        logits, masks = logits.float(), masks.float()
        truth, rest = truth_and_rest(logits, masks)
        focal = -((gamma * rest).exp() * truth).mean()
        return dice_weight * overlap(logits, masks) + focal_weight * focal

    return loss


def _of_classes(logits: "torch.Tensor", masks: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """Logarithms of the true class's probability and of all others' together, at each voxel.

    The second is no 1 - p: where p rounds to 1, a gamma below 1 would have an infinite gradient.
    """
    shares = logits.log_softmax(dim=1)
    return (shares * masks).sum(dim=1), shares.masked_fill(masks > 0, -math.inf).logsumexp(dim=1)


def _of_regions(logits: "torch.Tensor", masks: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """The same of each region and its complement."""
    from torch.nn.functional import logsigmoid

    towards = logits * (2 * masks - 1)
    return logsigmoid(towards), logsigmoid(-towards)
