"""What every format is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from torchio_seg import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from torchio_seg.checkpoint import ModelCard

    Network = Callable[[torch.Tensor], torch.Tensor]

CARD = checkpoint.CARD
"""The name of the card inside of what is exported."""
IMAGES, LOGITS = "images", "logits"
"""The names of input and output, B C I J K, where a format has names."""


@dataclass(frozen=True)
class Exportable:
    """A network on the CPU that predicts, its card, and two patches to try it on."""

    network: torch.nn.Module
    card: ModelCard
    images: torch.Tensor
    """B C I J K, as large as the patches will be; how many there are is left open."""
