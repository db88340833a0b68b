"""Tversky: Dice in which inventing and missing voxels cost differently (Salehi et al. 2017)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import NonNegativeFloat

from torchio_seg.errors import ConfigError
from torchio_seg.soft_dice import SMOOTHING, Denominator, Pool, Total, alone, share_loss

if TYPE_CHECKING:
    import torch


def build(  # noqa: PLR0913 (options are what a component is made of)
    exclusive: bool,
    *,
    pool: Pool = alone,
    alpha: NonNegativeFloat = 0.3,
    beta: NonNegativeFloat = 0.7,
    smooth_numerator: NonNegativeFloat = SMOOTHING,
    smooth_denominator: Denominator = SMOOTHING,
    include_background: bool = False,
    batch: bool = False,
) -> Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]:
    """`alpha` weighs what is found and not there, `beta` what is there and not found; 0.5 and 0.5 are Dice.

    The other options are those of `dice`.
    """
    if alpha == beta == 0:
        raise ConfigError("loss tversky: alpha and beta are both 0, so no mistake costs anything; give one above 0")

    def share(probabilities: "torch.Tensor", masks: "torch.Tensor", total: Total) -> "torch.Tensor":
        overlap = total(probabilities * masks)
        invented, missed = total(probabilities * (1 - masks)), total((1 - probabilities) * masks)
        return (overlap + smooth_numerator) / (overlap + alpha * invented + beta * missed + smooth_denominator)

    return share_loss(share, exclusive, include_background=include_background, batch=batch, pool=pool)
