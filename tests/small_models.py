"""Untrained models in folders, as a training leaves them, and scans to use them on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchio_seg import checkpoint, components
from torchio_seg.checkpoint import ModelCard
from torchio_seg.config.resolve import load, shipped
from torchio_seg.records import Labels
from torchio_seg.transforms.recipe import Recipe

CHANNELS = ("FLAIR", "T1w")
NETWORKS: dict[str, dict[str, Any]] = {
    "unet": {"channels": [4, 8]},
    "dynunet": {"channels": [4, 6, 8], "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]]},
    "segresnet": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
}
"""Options that make each quick."""
OTHERS: dict[str, dict[str, Any]] = {
    "resencunet": {"channels": [4, 6, 8], "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]], "blocks": [1, 2, 1]},
    "swinunetr": {"feature_size": 12, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 2},
    "unet_plain": {"channels": [4, 8]},
    "unetr": {"feature_size": 4, "hidden_size": 24, "mlp_size": 32, "num_heads": 2},
}
AFFINE = np.array([[-1.0, 0, 0, 30], [0, 0, 1.25, -20], [0, 1.5, 0, 10], [0, 0, 0, 1]])
"""Of a scan that is stored left, up, front."""


def save_model(
    folder: Path,
    name: str = "unet",
    patch_size: tuple[int, int, int] = (16, 16, 16),
    channels: tuple[str, ...] = CHANNELS,
) -> Path:
    """A checkpoint of a small network with random weights, for these channels and two classes beside background."""
    options = {**NETWORKS, **OTHERS}.get(name, {})
    changes = {f"network.{key}": value for key, value in {"name": name, **options}.items()}
    experiment = load(shipped()["phantom"], {**changes, "training.precision": "fp32", "device": "cpu"})
    labels = Labels.of_classes({0: "background", 1: "oedema", 2: "core"})
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = components.assemble(
            "networks", experiment.network.section, len(channels), labels.num_channels, patch_size
        )
        network.train()(torch.randn(2, len(channels), *patch_size))  # running statistics move away from their start
    recipe = Recipe((1.0, 1.0, 1.5), None, "zscore")
    card = ModelCard(experiment.model_dump(mode="json"), "small", channels, False, labels, recipe, patch_size)
    checkpoint.save(folder, network, card, {})
    return folder


def scan(seed: int = 0, shape: tuple[int, int, int] = (20, 18, 22)) -> np.ndarray:
    """Two channels of noise, C I J K."""
    return np.random.default_rng(seed).normal(100, 20, (len(CHANNELS), *shape)).astype(np.float32)
