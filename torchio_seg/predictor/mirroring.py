"""A network asked about a patch and its mirror images, whose answers are averaged."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Mirrored:
    """Answers with the logits of the mean probability over all mirror images, each turned back.

    Means are taken of probabilities, as in an ensemble, but through their logarithms, so that none is lost where it is
    below what float32 holds.
    """

    network: Callable[[torch.Tensor], torch.Tensor]
    axes: tuple[int, ...]
    """Of I J K, each mirrored alone and together with others."""
    exclusive: bool
    """Whether channels exclude each other (softmax), or each is for itself (sigmoid)."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Logits B C I J K for images B C I J K."""
        mean = self._logarithms(images, ())
        for axes in mirrorings(self.axes)[1:]:
            mean = torch.logaddexp(mean, self._logarithms(images, axes))
        mean = mean - math.log(len(mirrorings(self.axes)))
        return mean[0] if self.exclusive else mean[0] - mean[1]

    def _logarithms(self, images: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        """Of each channel's probability and, without softmax, of its opposite: 1 or 2 of them, each B C I J K."""
        dims = [axis + 2 for axis in axes]
        logits = self.network(images.flip(dims)).float().flip(dims)
        if self.exclusive:
            return functional.log_softmax(logits, dim=1)[None]
        return torch.stack([functional.logsigmoid(logits), functional.logsigmoid(-logits)])


def mirrorings(axes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Every choice of some of the axes, none of them first."""
    return [chosen for number in range(len(axes) + 1) for chosen in itertools.combinations(axes, number)]
