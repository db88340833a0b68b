"""Soft Dice and cross entropy: one over exclusive classes, or a binary one for each region where they overlap."""

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
    squared_prediction: bool = False,
    smooth_numerator: NonNegativeFloat = SMOOTHING,
    smooth_denominator: Denominator = SMOOTHING,
    include_background: bool = False,
    batch: bool = False,
    dice_weight: NonNegativeFloat = 1.0,
    ce_weight: NonNegativeFloat = 1.0,
) -> Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]:
    """Weighted sum of both; the Dice options are those of `dice`, cross entropy always knows the background."""
    if dice_weight == ce_weight == 0:
        raise ConfigError("loss dice_ce: dice_weight and ce_weight are both 0; give one of them a weight above 0")

    from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

    entropy = cross_entropy if exclusive else binary_cross_entropy_with_logits
    overlap = soft_dice(
        exclusive,
        squared_prediction=squared_prediction,
        smooth_numerator=smooth_numerator,
        smooth_denominator=smooth_denominator,
        include_background=include_background,
        batch=batch,
        pool=pool,
    )

    def loss(logits: "torch.Tensor", masks: "torch.Tensor") -> "torch.Tensor":
        logits, masks = logits.float(), masks.float()
        return dice_weight * overlap(logits, masks) + ce_weight * entropy(logits, masks)

    return loss
