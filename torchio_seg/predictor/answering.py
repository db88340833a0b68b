"""A network's answer, held to be one for every patch, channel and voxel before anything is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from torchio_seg.errors import TorchioSegError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def answer(
    network: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, num_channels: int | None = None
) -> torch.Tensor:
    """Logits B C I J K for images B C I J K, of so many channels where it is told how many."""
    found: object = network(images)
    if not isinstance(found, torch.Tensor):
        raise TorchioSegError(
            f"the network answered with a {type(found).__name__}, not with one tensor of logits; export or wrap it so "
            "that it gives those of its last layer alone"
        )
    given, size = len(images), images.shape[2:]
    is_whole = found.ndim == images.ndim and len(found) == given and found.shape[2:] == size
    if is_whole and num_channels in {None, found.shape[1]}:
        return found
    due = _times([given, num_channels or "channels", *size])
    by_record = f", {num_channels} channels by the labels in the model's record" if num_channels else ""
    raise TorchioSegError(
        f"the network answered with {_times(found.shape)} values where {due} are due (patches x channels x voxels"
        f"{by_record}), so that network and record are not of one model; export or train it anew"
    )


def _times(sizes: Iterable[int | str]) -> str:
    return " x ".join(map(str, sizes))
