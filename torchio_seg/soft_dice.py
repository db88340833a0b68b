"""Soft Dice: one minus the overlap of probabilities and masks, averaged over channels and samples."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

if TYPE_CHECKING:
    import torch

SMOOTHING = 1e-5
"""Added to numerator and denominator unless an option says otherwise, so that empty and empty agree."""
Denominator = Annotated[float, Field(ge=1e-9)]
Pool = Callable[["torch.Tensor"], "torch.Tensor"]
"""The sum of a tensor over all processes that learn from parts of one batch."""


def alone(tensor: "torch.Tensor") -> "torch.Tensor":
    """The sum where one process has the whole batch."""
    return tensor


def soft_dice(  # noqa: PLR0913 (options are what a component is made of)
    exclusive: bool,
    *,
    squared_prediction: bool,
    smooth_numerator: float,
    smooth_denominator: float,
    include_background: bool,
    batch: bool,
    pool: Pool = alone,
) -> Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]:
    """Softmax over exclusive classes, with channel 0 if `include_background`; a sigmoid for each region otherwise.

    `batch`: overlap is summed over the samples of a batch before it is divided, not sample by sample.
    """
    first = 1 if exclusive and not include_background else 0

    def loss(logits: "torch.Tensor", masks: "torch.Tensor") -> "torch.Tensor":
        if logits.shape != masks.shape:
            raise ValueError(f"logits {tuple(logits.shape)} and masks {tuple(masks.shape)} differ in shape")
        probabilities = logits.float().softmax(dim=1) if exclusive else logits.float().sigmoid()
        probabilities, masks = probabilities[:, first:], masks[:, first:].float()
        axes = [axis for axis in range(masks.ndim) if axis > 1 or (batch and axis == 0)]
        # summed as they stand: MONAI takes the overlap from differences of norms if squared, 12 % off at 160^3 voxels
        overlap = (probabilities * masks).sum(axes)
        extent = (probabilities.square() if squared_prediction else probabilities).sum(axes) + masks.sum(axes)
        if batch:
            overlap, extent = pool(overlap), pool(extent)
        return 1 - ((2 * overlap + smooth_numerator) / (extent + smooth_denominator)).mean()

    return loss
