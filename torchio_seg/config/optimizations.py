"""How weights are changed: the section, and whole sections by name."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat

from torchio_seg.config.values import Fraction, Section


class Optimization(Section):
    """How weights are changed."""

    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """Which rule."""
    learning_rate: PositiveFloat = 1e-3
    """At its highest."""
    weight_decay: NonNegativeFloat = 1e-5
    """Decoupled with adamw, an L2 penalty with the others."""
    momentum: Fraction = 0.9
    """sgd only."""
    nesterov: bool = True
    """sgd only."""
    schedule: Literal["constant", "poly", "cosine", "warmup_cosine"] = "cosine"
    """How the learning rate falls over all steps of the training."""
    power: PositiveFloat = 0.9
    """Exponent of poly."""
    warmup_fraction: Fraction = 0.05
    """Share of the steps in which warmup_cosine rises to the full learning rate."""


OPTIMIZATIONS: dict[str, Optimization] = {
    # Isensee et al. 2021
    "nnunet_sgd": Optimization(
        optimizer="sgd", learning_rate=1e-2, weight_decay=3e-5, momentum=0.99, nesterov=True, schedule="poly", power=0.9
    ),
    # as transformers are trained (Hatamizadeh et al. 2022, its code)
    "adamw": Optimization(
        optimizer="adamw", learning_rate=1e-4, weight_decay=1e-5, schedule="warmup_cosine", warmup_fraction=0.05
    ),
}
"""Whole sections by name: `optimization: nnunet_sgd` stands for all that is written here, defaults included."""
