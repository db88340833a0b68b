"""Losses of overlap: one minus a share of probabilities and masks, averaged over channels and samples."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

if TYPE_CHECKING:
    import torch

SMOOTHING = 1e-5
"""Added to numerator and denominator unless an option says otherwise, so that empty and empty agree."""
Denominator = Annotated[float, Field(ge=1e-9)]


Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
Share = Callable[["torch.Tensor", "torch.Tensor", list[int]], "torch.Tensor"]
"""Of probabilities and masks, summed over these axes."""


def soft_dice(
    exclusive: bool,
    *,
    squared_prediction: bool,
    smooth_numerator: float,
    smooth_denominator: float,
    include_background: bool,
    batch: bool,
) -> Loss:
    """Softmax over exclusive classes, with channel 0 if `include_background`; a sigmoid for each region otherwise.

    `batch`: overlap is summed over the samples of a batch before it is divided, not sample by sample.
    """

    def share(probabilities: "torch.Tensor", masks: "torch.Tensor", axes: list[int]) -> "torch.Tensor":
        # summed as they stand: MONAI takes the overlap from differences of norms if squared, 12 % off at 160^3 voxels
        overlap = (probabilities * masks).sum(axes)
        extent = (probabilities.square() if squared_prediction else probabilities).sum(axes) + masks.sum(axes)
        return (2 * overlap + smooth_numerator) / (extent + smooth_denominator)

    return share_loss(share, exclusive, include_background=include_background, batch=batch)


def share_loss(share: Share, exclusive: bool, *, include_background: bool, batch: bool) -> Loss:
    """One minus a share of each channel of each sample, or of all samples together; for the options see `soft_dice`."""
    first = 1 if exclusive and not include_background else 0

    def loss(logits: "torch.Tensor", masks: "torch.Tensor") -> "torch.Tensor":
        if logits.shape != masks.shape:
            raise ValueError(f"logits {tuple(logits.shape)} and masks {tuple(masks.shape)} differ in shape")
        probabilities = logits.float().softmax(dim=1) if exclusive else logits.float().sigmoid()
        axes = [axis for axis in range(masks.ndim) if axis > 1 or (batch and axis == 0)]
        return 1 - share(probabilities[:, first:], masks[:, first:].float(), axes).mean()

    return loss
