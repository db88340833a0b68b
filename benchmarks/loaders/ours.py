"""This package's loader, with the augmentation of its peers (or another, see ours_nnunet.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

Steps = Mapping[str, Sequence[Mapping[str, Any]]]

AUGMENTATION: Steps = {
    "spatial": [
        {"name": "flip", "probability": 0.5, "axes": [0, 1, 2]},
        {"name": "affine", "probability": 0.75, "degrees": 10.0, "scale": 0.1, "isotropic": False},
    ],
    # The field is TorchIO's polynomial, over the patch as MONAI has it. Gamma is of the patch's span, as in MONAI,
    # with TorchIO's distribution of the exponent; TorchIO draws it for each channel, here and in MONAI one serves all.
    "intensity": [
        {"name": "bias_field", "probability": 0.3, "coefficients": 0.5, "order": 3},
        {"name": "noise", "probability": 0.5, "std": [0.0, 0.25]},
        {"name": "gamma", "probability": 0.3, "log_gamma": 0.3},
    ],
}
"""As in queue_raw.py and monai_cache.py, in a config's words."""


def prepare(folder: Path) -> None:
    """The store of the cases."""
    raise NotImplementedError("the loader of prepared cases is not there yet")


def batches(
    folder: Path, num_workers: int, seed: int, *, augmentation: Steps = AUGMENTATION
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Patches of the store."""
    raise NotImplementedError("the loader of prepared cases is not there yet")
