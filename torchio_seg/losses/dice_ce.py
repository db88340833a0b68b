"""Soft Dice and cross entropy, for exclusive classes."""

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
    include_background: bool = False,
    batch: bool = False,
    dice_weight: NonNegativeFloat = 1.0,
    ce_weight: NonNegativeFloat = 1.0,
) -> Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]:
    """Weighted sum of both; the Dice options are those of `dice`, cross entropy always knows the background."""
    if not exclusive:
        raise ConfigError("loss dice_ce is for exclusive classes, and these regions overlap: use dice_bce")
    if dice_weight == ce_weight == 0:
        raise ConfigError("loss dice_ce: dice_weight and ce_weight are both 0; give one of them a weight above 0")

    from torch.nn.functional import cross_entropy

    overlap = soft_dice(
        exclusive,
        squared_prediction=squared_prediction,
        smooth_numerator=smooth_numerator,
        smooth_denominator=smooth_denominator,
        include_background=include_background,
        batch=batch,
    )

    def loss(logits: "torch.Tensor", masks: "torch.Tensor") -> "torch.Tensor":
        logits, masks = logits.float(), masks.float()
        return dice_weight * overlap(logits, masks) + ce_weight * cross_entropy(logits, masks)

    return loss
