"""Soft Dice and binary cross entropy, for overlapping regions."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import NonNegativeFloat

from torchio_seg.errors import ConfigError
from torchio_seg.soft_dice import SMOOTHING, Denominator, soft_dice

if TYPE_CHECKING:
    import torch


def build(  # noqa: PLR0913 (options are what a component is made of)
    exclusive: bool,
    *,
    squared_prediction: bool = False,
    smooth_numerator: NonNegativeFloat = SMOOTHING,
    smooth_denominator: Denominator = SMOOTHING,
    batch: bool = False,
    dice_weight: NonNegativeFloat = 1.0,
    bce_weight: NonNegativeFloat = 1.0,
) -> Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]:
    """Weighted sum of both, each averaged over the regions; the Dice options are those of `dice`."""
    if exclusive:
        raise ConfigError("loss dice_bce is for overlapping regions, and these classes are exclusive: use dice_ce")
    if dice_weight == bce_weight == 0:
        raise ConfigError("loss dice_bce: dice_weight and bce_weight are both 0; give one of them a weight above 0")

    from torch.nn.functional import binary_cross_entropy_with_logits

    overlap = soft_dice(
        exclusive,
        squared_prediction=squared_prediction,
        smooth_numerator=smooth_numerator,
        smooth_denominator=smooth_denominator,
        include_background=False,
        batch=batch,
    )

    def loss(logits: "torch.Tensor", masks: "torch.Tensor") -> "torch.Tensor":
        logits, masks = logits.float(), masks.float()
        return dice_weight * overlap(logits, masks) + bce_weight * binary_cross_entropy_with_logits(logits, masks)

    return loss
