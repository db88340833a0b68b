"""A network that is not asked twice about patches in which there is nothing to see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from torchio_seg.predictor.answering import answer

if TYPE_CHECKING:
    from collections.abc import Callable


class Skipping:
    """Answers for a patch of which every channel is the same everywhere with what the network said of such a one.

    The air around a CT that is clipped, the zeros around a brain without its skull: after normalisation the network
    would see the same input again, so its answer is kept instead. Nothing is assumed about that answer: where a network
    finds something in nothing, it still does. The one kept is that for the values that came last.
    """

    def __init__(self, network: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.network = network
        self.num_patches = 0
        self.num_skipped = 0
        """Of those, how many the network was not asked about."""
        self._values: torch.Tensor | None = None
        self._logits: torch.Tensor | None = None

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Logits B C I J K for images B C I J K."""
        lowest, highest = torch.aminmax(images.flatten(2), dim=2)
        is_empty = (lowest == highest).all(dim=1).tolist()
        if not any(is_empty):
            logits = answer(self.network, images)
            self.num_patches += len(images)  # now that they are answered: where memory runs out, they come again
            return logits
        asked = [number for number, empty in enumerate(is_empty) if not empty]
        answers = dict(zip(asked, answer(self.network, images[asked]), strict=True)) if asked else {}
        for number, empty in enumerate(is_empty):
            if empty:
                answers[number] = self._of_nothing(images[number : number + 1], lowest[number])
        self.num_patches += len(images)
        return torch.stack([answers[number] for number in range(len(images))])

    def _of_nothing(self, image: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """The answer for one patch 1 C I J K that has these values, one a channel."""
        known, logits = self._values, self._logits
        if logits is None or known is None or logits.shape[1:] != image.shape[2:] or not torch.equal(known, values):
            self._values, self._logits = values.clone(), answer(self.network, image)[0].clone()
            return self._logits
        self.num_skipped += 1
        return logits


def without_skipping(network: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """The network that is asked in the end."""
    return without_skipping(network.network) if isinstance(network, Skipping) else network
