"""This package's loader, with the augmentation of its peers (or another, see ours_nnunet.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torchio as tio

from loaders.cases import BATCH_SIZE, CHANNELS, PATCH_SIZE, PATCHES_PER_CASE, case_files
from torchio_seg import components
from torchio_seg.records import Case
from torchio_seg.sampling.choices import Foreground
from torchio_seg.sampling.patches import PatchRecipe, to_subject
from torchio_seg.sampling.stream import PatchStream
from torchio_seg.store import preparing
from torchio_seg.store.laying import Layout
from torchio_seg.store.store import Store, Stored
from torchio_seg.transforms.random import fused
from torchio_seg.transforms.recipe import Recipe

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


RECIPE = Recipe(None, None, "zscore")


def prepare(folder: Path) -> None:
    """The store of the cases."""
    stored_cases(folder)


def stored_cases(folder: Path) -> list[Stored]:
    """The cases as the store keeps them; made by the first call."""
    cases = [Case(label.name, tuple(images), label) for images, label in case_files(folder)]
    return preparing.prepare(Store(folder / "store"), cases, Layout(len(CHANNELS), (0, 1, 2, 3), RECIPE))


def batches(
    folder: Path,
    num_workers: int,
    seed: int,
    *,
    augmentation: Steps = AUGMENTATION,
    foreground: float = 0.0,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Patches of the store, anywhere in what is not empty, or a share of them around foreground."""
    steps = [
        components.assemble(f"transforms.{part}", section) for part in augmentation for section in augmentation[part]
    ]
    recipe = PatchRecipe(
        RECIPE, PATCH_SIZE, PATCHES_PER_CASE, Foreground(foreground), tio.Compose(fused(steps), copy=False)
    )
    subjects = tuple(to_subject(stored, RECIPE) for stored in stored_cases(folder))
    return PatchStream(subjects, recipe, BATCH_SIZE, seed, num_workers).batches(0)
