"""Networks small enough to be built by the dozen, and given weights as a file would bring them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from torchio_seg import components
from torchio_seg.weights.fitting import Fit, fit
from torchio_seg.weights.reading import Weights

OPTIONS: dict[str, dict[str, Any]] = {
    "segresnet": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1], "dropout": 0.0},
    "unet": {"channels": [4, 8], "norm": "batch"},
    "unet_plain": {"channels": [4, 8]},
    "unetr": {"feature_size": 4, "hidden_size": 24, "mlp_size": 32, "num_heads": 2},
    "dynunet": {"channels": [4, 8, 12]},
    "resencunet": {"channels": [4, 8, 12], "blocks": [1, 2, 1]},
    "swinunetr": {"feature_size": 12, "depths": [1, 1, 1, 1], "window_size": 2},
}
PATCHES = {"swinunetr": (64, 32, 32)}
"""Of networks that do not take the one of the others."""


def patch_of(name: str) -> tuple[int, int, int]:
    return PATCHES.get(name, (16, 16, 16))


def build(name: str, *, seed: int = 0, in_channels: int = 2, out_channels: int = 3, **options: Any) -> torch.nn.Module:
    torch.manual_seed(seed)
    section = {"name": name, **OPTIONS.get(name, {}), **options}
    network: torch.nn.Module = components.assemble("networks", section, in_channels, out_channels, patch_of(name))
    return network


def given(tensors: Mapping[str, torch.Tensor]) -> Weights:
    return Weights("given.pt", tensors, "state_dict")


def fit_into(weights: Weights, network: torch.nn.Module, rebuild: Callable[..., torch.nn.Module]) -> Fit:
    """Fit, with the network for one more channel and one more label where those are asked for."""
    return fit(weights, network, {"first": partial(rebuild, in_channels=3), "last": partial(rebuild, out_channels=4)})


def logits(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = network.eval()(images)
    return found
