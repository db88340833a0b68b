"""How weights change: the optimizer, and the learning rate over the steps of a training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from torchio_seg.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

    from torchio_seg.config.sections import Optimization


def build_optimizer(parameters: Iterable[torch.nn.Parameter], settings: Optimization) -> Optimizer:
    """The optimizer of all parameters alike: weight decay reaches biases and norms too."""
    if settings.optimizer == "sgd":
        return SGD(
            parameters,
            lr=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            nesterov=settings.nesterov and settings.momentum > 0,  # torch refuses both; without momentum they agree
        )
    rule = AdamW if settings.optimizer == "adamw" else Adam
    return rule(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)


def build_schedule(optimizer: Optimizer, settings: Optimization, num_steps: int) -> LambdaLR:
    """The schedule whose `step()` follows each step of the optimizer."""
    if num_steps < 1:
        raise ConfigError(f"training has {num_steps} steps; it needs at least 1: raise training.epochs")
    return LambdaLR(optimizer, lambda step: factor(settings, step, num_steps))


def factor(settings: Optimization, step: int, num_steps: int) -> float:
    """Share of the full learning rate in step 0, 1, ...; at `num_steps` and after it, where the schedule ends."""
    step = min(step, num_steps)
    if settings.schedule == "constant":
        return 1.0
    if settings.schedule == "poly":
        return float((1 - step / num_steps) ** settings.power)
    num_warmup = int(settings.warmup_fraction * num_steps) if settings.schedule == "warmup_cosine" else 0
    if step < num_warmup:
        return (step + 1) / (num_warmup + 1)
    return (1 + math.cos(math.pi * (step - num_warmup) / (num_steps - num_warmup))) / 2
