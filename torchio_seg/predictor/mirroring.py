"""A network asked about a patch and its mirror images, whose answers are averaged."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from torchio_seg.predictor.answering import answer

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
    tells_disagreement: bool = False
    """Whether one more channel has the standard deviation of probabilities, that of the channel where it is most."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Logits B C I J K for images B C I J K."""
        mean = self._logarithms(images, ())
        spread = _Spread() if self.tells_disagreement else None
        for number, axes in enumerate(mirrorings(self.axes)):
            found = self._logarithms(images, axes) if number else mean
            mean = torch.logaddexp(mean, found) if number else mean
            if spread is not None:
                spread.add(found[0].exp())
        mean = mean - math.log(len(mirrorings(self.axes)))
        logits = mean[0] if self.exclusive else mean[0] - mean[1]
        return logits if spread is None else torch.cat([logits, spread.largest()], dim=1)

    def _logarithms(self, images: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        """Of each channel's probability and, without softmax, of its opposite: 1 or 2 of them, each B C I J K."""
        dims = [axis + 2 for axis in axes]
        logits = answer(self.network, images.flip(dims)).float().flip(dims)
        if self.exclusive:
            return functional.log_softmax(logits, dim=1)[None]
        return torch.stack([functional.logsigmoid(logits), functional.logsigmoid(-logits)])


class _Spread:
    """The standard deviation of probabilities B C I J K that come one after another (Welford 1962)."""

    def __init__(self) -> None:
        self._number = 0
        self._mean: torch.Tensor | float = 0.0
        self._squares: torch.Tensor | float = 0.0

    def add(self, probabilities: torch.Tensor) -> None:
        self._number += 1
        before = probabilities - self._mean
        self._mean = self._mean + before / self._number
        self._squares = self._squares + before * (probabilities - self._mean)

    def largest(self) -> torch.Tensor:
        """B 1 I J K, that of the channel where it is most."""
        variance = torch.as_tensor(self._squares) / self._number
        return variance.clamp(min=0).sqrt().amax(dim=1, keepdim=True)


def mirrorings(axes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Every choice of some of the axes, none of them first."""
    return [chosen for number in range(len(axes) + 1) for chosen in itertools.combinations(axes, number)]
