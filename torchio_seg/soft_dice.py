"""Losses of overlap: one minus a share of probabilities and masks, averaged over channels and samples."""

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


Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
Total = Callable[["torch.Tensor"], "torch.Tensor"]
"""Sums what each voxel has over those that are taken together."""
Share = Callable[["torch.Tensor", "torch.Tensor", Total], "torch.Tensor"]
"""Of probabilities and masks."""


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
) -> Loss:
    """Softmax over exclusive classes, with channel 0 if `include_background`; a sigmoid for each region otherwise.

    `batch`: overlap is summed over the samples of a batch before it is divided, not sample by sample.
    """

    def share(probabilities: "torch.Tensor", masks: "torch.Tensor", total: Total) -> "torch.Tensor":
        # summed as they stand: MONAI takes the overlap from differences of norms if squared, 12 % off at 160^3 voxels
        overlap = total(probabilities * masks)
        extent = total(probabilities.square() if squared_prediction else probabilities) + total(masks)
        return (2 * overlap + smooth_numerator) / (extent + smooth_denominator)

    return share_loss(share, exclusive, include_background=include_background, batch=batch, pool=pool)


def share_loss(share: Share, exclusive: bool, *, include_background: bool, batch: bool, pool: Pool = alone) -> Loss:
    """One minus a share of each channel of each sample, or of all samples together; for the options see `soft_dice`."""
    first = 1 if exclusive and not include_background else 0

    def loss(logits: "torch.Tensor", masks: "torch.Tensor") -> "torch.Tensor":
        if logits.shape != masks.shape:
            raise ValueError(f"logits {tuple(logits.shape)} and masks {tuple(masks.shape)} differ in shape")
        probabilities = logits.float().softmax(dim=1) if exclusive else logits.float().sigmoid()
        axes = [axis for axis in range(masks.ndim) if axis > 1 or (batch and axis == 0)]

        def total(values: "torch.Tensor") -> "torch.Tensor":
            return pool(values.sum(axes)) if batch else values.sum(axes)

        return 1 - share(probabilities[:, first:], masks[:, first:].float(), total).mean()

    return loss
