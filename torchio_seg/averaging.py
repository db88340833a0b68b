"""The running average of a network's weights, which often segments better than the weights of any one step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch


class WeightAverage:
    """Follows a network; while it is young it forgets faster, so that the first weights leave no trace."""

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.num_updates = 0
        state = _tensors(network)
        floating = [name for name, tensor in state.items() if tensor.is_floating_point()]
        self._live = [state[name] for name in floating]
        self._average = [tensor.detach().clone() for tensor in self._live]

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of this step in."""
        self.num_updates += 1
        stays = min(self.decay, self.num_updates / (self.num_updates + 9))
        torch._foreach_lerp_(self._average, self._live, 1 - stays)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network has the average inside the block, its own weights after it."""
        own = [tensor.detach().clone() for tensor in self._live]
        self._set(self._average)
        try:
            yield
        finally:
            self._set(own)

    def state(self) -> dict[str, Any]:
        """All that `restore` needs beside a network that has the average."""
        return {"num_updates": self.num_updates, "own": [tensor.detach().cpu().clone() for tensor in self._live]}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on; the network has the average and gets its own weights back."""
        self.num_updates = state["num_updates"]
        for average, live in zip(self._average, self._live, strict=True):
            average.copy_(live)
        self._set(state["own"])

    @torch.no_grad()
    def _set(self, values: list[torch.Tensor]) -> None:
        for live, value in zip(self._live, values, strict=True):
            live.copy_(value)


def _tensors(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and kept buffers by name; one that a network holds twice once."""
    kept = network.state_dict().keys()
    buffers = {name: buffer for name, buffer in network.named_buffers() if name in kept}
    return dict(network.named_parameters()) | buffers
