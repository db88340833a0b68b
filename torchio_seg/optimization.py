"""How weights change: the optimizer, and the learning rate over the steps of a training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.optim import SGD, Adam, AdamW, Optimizer

from torchio_seg.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torchio_seg.config.optimizations import Optimization


FIRST_STEPS = 10
"""In which the rate rises where the length of the training is not known yet."""


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


def fill_averages(optimizer: Optimizer) -> None:
    """Have what the optimizer keeps from step to step in memory before its first, with the weights as they are."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


class Schedule:
    """The learning rate of each step, set after every one that changes the weights."""

    def __init__(self, optimizer: Optimizer, settings: Optimization, num_steps: int | None) -> None:
        if num_steps is not None and num_steps < 1:
            raise ConfigError(f"training has {num_steps} steps; it needs at least 1: raise training.epochs")
        self._optimizer = optimizer
        self._settings = settings
        self._num_steps = num_steps
        self._highest = [float(group["lr"]) for group in optimizer.param_groups]
        self._done = 0
        self._apply()

    def expect(self, num_steps: int) -> None:
        """Follow this number of steps from now on."""
        self._num_steps = num_steps
        self._apply()

    def step(self) -> None:
        """One step is done."""
        self._done += 1
        self._apply()

    def state_dict(self) -> dict[str, int]:
        """How far it is."""
        return {"done": self._done}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on from there."""
        self._done = state["done"]
        self._apply()

    def _apply(self) -> None:
        share = factor(self._settings, self._done, self._num_steps)
        for group, highest in zip(self._optimizer.param_groups, self._highest, strict=True):
            group["lr"] = share * highest


def factor(settings: Optimization, step: int, num_steps: int | None) -> float:
    """Share of the full learning rate in step 0, 1, ...; at `num_steps` and after it, where the schedule ends.

    While nobody knows yet how many steps there will be, the rate rises over the first ones and stays: at its full, or,
    so that it need not fall back to a warm-up, at the share of it that warm-up is of training.
    """
    if num_steps is None:
        highest = settings.warmup_fraction if settings.schedule == "warmup_cosine" and settings.warmup_fraction else 1.0
        return 1.0 if settings.schedule == "constant" else highest * min(1.0, (step + 1) / FIRST_STEPS)
    step = min(step, num_steps)
    if settings.schedule == "constant":
        return 1.0
    if settings.schedule == "poly":
        return float((1 - step / num_steps) ** settings.power)
    num_warmup = int(settings.warmup_fraction * num_steps) if settings.schedule == "warmup_cosine" else 0
    if step < num_warmup:
        return (step + 1) / (num_warmup + 1)
    return (1 + math.cos(math.pi * (step - num_warmup) / (num_steps - num_warmup))) / 2
