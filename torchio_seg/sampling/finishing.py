"""Patches augmented on the device that trains, where workers could not keep up with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torchio as tio

from torchio_seg.errors import ConfigError
from torchio_seg.transforms.changes import change
from torchio_seg.transforms.random import RandomChange, RandomMove

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchio_seg.sampling.patches import PatchRecipe
    from torchio_seg.sampling.samplers import Piece


def require_ours(augmentation: tio.Compose) -> None:
    """Refuse steps that a batch on a GPU cannot go through: TorchIO's, and a second deformation."""
    steps = list(augmentation.transforms)
    later = steps[1:] if steps and isinstance(steps[0], RandomMove) else steps
    for each in later:
        if not isinstance(each, RandomChange):
            what = "a second step that bends" if isinstance(each, RandomMove) else type(each).__name__
            raise ConfigError(
                f"augmentation.device is cuda, where torchio_seg's own steps run, one that bends among them; {what} "
                "runs in the workers only: use augmentation.device=cpu, or take that step out"
            )


class Finisher:
    """Makes batches on a device of what the workers have read."""

    def __init__(self, recipe: PatchRecipe, device: torch.device) -> None:
        self.sampler, changes = recipe.parts()
        self.device = device
        self.changes = [one for each in changes.transforms if isinstance(each, RandomChange) for one in each.changes]

    def __call__(self, pieces: Sequence[tuple[Piece, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Images B C I J K and labels B 1 I J K; each sample draws from its own seed."""
        images, labels = [], []
        for piece, seed in pieces:
            image, label = self.sampler.moved(piece, self.device)
            images.append(change(image, self.changes, [piece.spacing], torch.Generator().manual_seed(seed)))
            labels.append(label)
        return torch.cat(images), torch.cat(labels)
