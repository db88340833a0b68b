"""Between label values and network channels: masks to learn from, probabilities, and the label map to write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torchio_seg.records import Labels

THRESHOLD = 0.5


def encode(label_map: torch.Tensor, labels: Labels) -> torch.Tensor:
    """Label values B 1 I J K as masks B C I J K of 0 and 1, one for each network channel."""
    masks = [_any_of(label_map, region.labels) for region in labels.regions]
    if labels.exclusive:
        masks.insert(0, ~torch.stack(masks).any(dim=0))
    return torch.cat(masks, dim=1).float()


def activate(logits: torch.Tensor, labels: Labels) -> torch.Tensor:
    """Probabilities of the channels, dimension 1 of B C I J K."""
    return logits.softmax(dim=1) if labels.exclusive else logits.sigmoid()


def decode(probabilities: torch.Tensor, labels: Labels) -> torch.Tensor:
    """The label map I J K to write, from probabilities C I J K; later regions over earlier ones."""
    values = [region.value for region in labels.regions]
    dtype = torch.uint8 if max(values) <= 255 else torch.int32
    if labels.exclusive:
        return torch.tensor([0, *values], dtype=dtype)[probabilities.argmax(dim=0)]
    written = torch.zeros(probabilities.shape[1:], dtype=dtype)
    for probability, value in zip(probabilities, values, strict=True):
        written[probability > THRESHOLD] = value
    return written


def _any_of(label_map: torch.Tensor, values: tuple[int, ...]) -> torch.Tensor:
    return torch.stack([label_map == value for value in values]).any(dim=0)
