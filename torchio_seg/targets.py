"""Between label values and network channels: masks to learn from, probabilities, and the label map to write."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torchio_seg.records import Labels

    Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    Pool = Callable[[torch.Tensor], torch.Tensor]

THRESHOLD = 0.5


def encode(label_map: torch.Tensor, labels: Labels) -> torch.Tensor:
    """Label values B 1 I J K as masks B C I J K of 0 and 1, one for each network channel; NaN where to be ignored."""
    masks = [_any_of(label_map, region.labels) for region in labels.regions]
    if labels.exclusive:
        masks.insert(0, ~torch.stack(masks).any(dim=0))
    encoded = torch.cat(masks, dim=1).float()
    return encoded if labels.ignore is None else encoded.masked_fill(label_map == labels.ignore, math.nan)


def leave_out_ignored(loss: Loss, *, pool: Pool | None = None) -> Loss:
    """The loss over the voxels whose masks are not NaN, sample by sample; a sample without any costs nothing.

    `pool`: sums over the processes that have the other samples of the batch, of which some may cost nothing there.
    """

    def masked(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        known = ~masks[:, 0].isnan()
        losses = [
            loss(_chosen(sample, where), _chosen(truth, where))
            for sample, truth, where in zip(logits, masks, known, strict=True)
            if where.any()
        ]
        total = torch.stack(losses).sum() if losses else 0 * logits.sum()
        return _mean(total, len(losses), pool)

    return masked


def leave_out_ignored_of_all(loss: Loss, *, pool: Pool | None = None) -> Loss:
    """The same over the voxels of all samples together, for a loss that does not tell them apart.

    What such a loss sums over all processes, as Dice, has one value there, and what is a mean over a process's own
    voxels, as cross entropy, another at each: weighted by how many voxels it knows, both are those of the whole batch.
    """

    def masked(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        logits, masks = (samples.flatten(2).movedim(0, 1).flatten(1) for samples in (logits, masks))
        known = ~masks[0].isnan()
        num_known = int(known.sum())
        if pool is None and not num_known:
            return 0 * logits.sum()
        own = loss(_chosen(logits, known), _chosen(masks, known))  # by each process, since others wait for its sums
        return _mean(num_known * own if num_known else own.nan_to_num(0.0) * 0, num_known, pool)

    return masked


def _chosen(sample: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Some voxels of a sample, as a batch of that sample alone."""
    return sample[:, where][None, ..., None, None]


def _mean(total: torch.Tensor, count: int, pool: Pool | None) -> torch.Tensor:
    """The total over the count, of all processes together; 0 where there is nothing to count."""
    counted = total.new_tensor(count)
    if pool is not None:
        total, counted = pool(total), pool(counted)
    return total / counted.clamp(min=1)


def background(labels: Labels) -> list[float]:
    """The probabilities of the channels where there is nothing."""
    return [1.0] * labels.exclusive + [0.0] * len(labels.regions)


def activate(logits: torch.Tensor, labels: Labels) -> torch.Tensor:
    """Probabilities of the channels, dimension 1 of B C I J K."""
    return logits.softmax(dim=1) if labels.exclusive else logits.sigmoid()


def decode(scores: torch.Tensor, labels: Labels) -> torch.Tensor:
    """The label map I J K to write, from probabilities C I J K; later regions over earlier ones.

    Of classes that exclude each other the likeliest is written, the first of equals; for these, logits serve as well.
    """
    values = [region.value for region in labels.regions]
    dtype = torch.uint8 if max(values) <= 255 else torch.int32
    if labels.exclusive:
        found = _largest(scores)
        if values == list(range(1, len(values) + 1)):
            return found.to(dtype)
        return torch.tensor([0, *values], dtype=dtype, device=scores.device).take(found.long())
    written = torch.zeros(scores.shape[1:], dtype=dtype, device=scores.device)
    for probability, value in zip(scores, values, strict=True):
        written[probability > THRESHOLD] = value
    return written


def _largest(scores: torch.Tensor) -> torch.Tensor:
    """The number of the channel that is largest in each voxel, the first of equals."""
    if scores.device.type != "cpu":
        return scores.max(dim=0).indices
    channels = scores.numpy()
    ranks = np.arange(len(channels), 0, -1, dtype=np.min_scalar_type(len(channels)))
    ranks = ranks.reshape(-1, *(1 for _ in scores.shape[1:]))
    is_largest = channels == channels.max(axis=0)  # argmax across channels takes several times as long
    return torch.from_numpy(len(channels) - (is_largest.view(np.uint8) * ranks).max(axis=0))


def _any_of(label_map: torch.Tensor, values: tuple[int, ...]) -> torch.Tensor:
    return torch.stack([label_map == value for value in values]).any(dim=0)
