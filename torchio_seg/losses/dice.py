"""Soft Dice: one minus the overlap of probabilities and masks, averaged over channels and samples."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import NonNegativeFloat

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
) -> Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]:
    """Softmax over exclusive classes, with channel 0 if `include_background`; a sigmoid for each region otherwise.

    `batch`: overlap is summed over the samples of a batch before it is divided, not sample by sample.
    """
    return soft_dice(
        exclusive,
        squared_prediction=squared_prediction,
        smooth_numerator=smooth_numerator,
        smooth_denominator=smooth_denominator,
        include_background=include_background,
        batch=batch,
        pool=pool,
    )
