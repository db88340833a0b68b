"""How unsure a prediction is, voxel by voxel: one number from what is known of a voxel while its label is made.

entropy       of the probabilities: 0 where one answer is certain, 1 where all are as likely. Of regions, which are each
              for themselves, that of the region that is least sure
disagreement  between mirror images: how far their probabilities lie from their mean (standard deviation, 0 to 0.5), of
              the channel that differs most; where patches overlap, the weighted mean; of an ensemble, its members' mean
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torchio_seg.records import Labels

    Measure = Callable[[torch.Tensor, Labels], torch.Tensor]
    """From channels C A B, the probabilities and what a network adds to them, to A B."""


def entropy(channels: torch.Tensor, labels: Labels) -> torch.Tensor:
    """Normalised, A B."""
    probabilities = channels[: labels.num_channels].clamp(0, 1)
    if labels.exclusive:
        found: torch.Tensor = torch.special.entr(probabilities).sum(dim=0) / math.log(labels.num_channels)
    else:
        each = torch.special.entr(probabilities) + torch.special.entr(1 - probabilities)
        found = each.amax(dim=0) / math.log(2)
    return found.clamp_(0, 1)


def disagreement(channels: torch.Tensor, labels: Labels) -> torch.Tensor:
    """What `Mirrored` adds after the channels of the labels, A B."""
    return channels[labels.num_channels]


MEASURES: dict[str, Measure] = {"entropy": entropy, "disagreement": disagreement}
