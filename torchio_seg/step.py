"""One optimization step: forward, loss, backward, clipping, update."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from torchio_seg.averaging import WeightAverage
from torchio_seg.config.sections import Training
from torchio_seg.devices import autocast
from torchio_seg.distributed import ALONE, Peers
from torchio_seg.errors import TrainingError
from torchio_seg.optimization import Schedule

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Pair = tuple[torch.Tensor, torch.Tensor]
"""Images and masks, both B C I J K."""

MOST_SKIPPED_IN_A_ROW = 20


@dataclass(frozen=True)
class StepResult:
    """What one step did."""

    loss: float
    gradient_norm: float
    skipped: bool
    """The gradient was not finite, so the weights were left as they were."""


class Stepper:
    """Changes a network's weights, one step a call; everything that a step needs lives and is saved here."""

    def __init__(  # noqa: PLR0913 (what a step is made of)
        self,
        network: torch.nn.Module,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        *,
        settings: Training,
        device: torch.device,
        peers: Peers = ALONE,
    ) -> None:
        self.network = network
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.settings = settings
        self.device = device
        self.peers = peers
        self._shared = peers.share(network)
        self.scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "fp16")
        self.skipped_in_a_row = 0
        self._average = None if settings.ema is None else WeightAverage(network, settings.ema)

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def __call__(self, pairs: Sequence[Pair]) -> StepResult:
        """One step on the images and masks of one or more batches; each sample counts the same, and all peers' do."""
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        buffers = [buffer.clone() for buffer in self.network.buffers()]
        loss = self.peers.mean(self._learn(pairs))
        if self.peers.num_ranks > 1:
            _require_gradients(self.network)
        self.peers.align(self.network)
        self.scaler.unscale_(self.optimizer)
        limit = self.settings.clip_norm or math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), limit))
        skipped = not math.isfinite(norm)
        if skipped:
            for buffer, earlier in zip(self.network.buffers(), buffers, strict=True):
                buffer.copy_(earlier)
        else:
            self.scaler.step(self.optimizer)
            self.schedule.step()
            if self._average is not None:
                self._average.update()
        self.scaler.update()
        self._count(skipped=skipped)
        return StepResult(loss, norm, skipped)

    def _learn(self, pairs: Sequence[Pair]) -> float:
        """The gradients of all batches, portion by portion; peers exchange them once, with the last one's."""
        portions = [portion for pair in pairs for portion in _portions(pair, self.settings.patches_at_once)]
        total = 0.0
        for number, (portion, share) in enumerate(zip(portions, self._shares(portions), strict=True), start=1):
            with nullcontext() if number == len(portions) else self.peers.apart(self._shared):
                total += self._backward(*portion, share)
        return total

    def _shares(self, portions: Sequence[Pair]) -> list[float]:
        """What each portion counts for: as many samples as it has, here and elsewhere, of which anything is known."""
        if len(portions) == 1:
            return [1.0]
        counts = [self.peers.mean(_num_known(masks)) for _, masks in portions]
        return [count / (sum(counts) or 1) for count in counts]

    def _backward(self, images: torch.Tensor, masks: torch.Tensor, share: float) -> float:
        images, masks = images.to(self.device, non_blocking=True), masks.to(self.device, non_blocking=True)
        with autocast(self.device, self.settings.precision):
            outputs = self._shared(images)
        loss = share * supervised(self.loss, outputs, masks, self.settings.coarse_weight)
        self.scaler.scale(loss).backward()
        return float(loss.detach())

    def _count(self, *, skipped: bool) -> None:
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if skipped else 0
        if self.skipped_in_a_row >= MOST_SKIPPED_IN_A_ROW:
            raise TrainingError(
                f"{MOST_SKIPPED_IN_A_ROW} steps in a row had a gradient that is not finite; what was saved before is "
                "kept. Lower optimization.learning_rate, or set training.precision=fp32"
            )

    def expect(self, num_steps: int) -> None:
        """The training will have so many steps."""
        self.schedule.expect(num_steps)

    def averaged(self) -> AbstractContextManager[object]:
        """The network has the weights to be used inside the block: their average, if one is kept."""
        return nullcontext() if self._average is None else self._average.in_place()

    def state(self) -> dict[str, Any]:
        """All but the weights to be used, for a later `restore`."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "skipped_in_a_row": self.skipped_in_a_row,
            "average": None if self._average is None else self._average.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned; the network has the weights to be used."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.skipped_in_a_row = state["skipped_in_a_row"]
        if self._average is not None:
            self._average.restore(state["average"])


def _require_gradients(network: torch.nn.Module) -> None:
    """Processes wait for each other's gradients of all weights, so that each weight must have one."""
    if without := [name for name, weight in network.named_parameters() if weight.requires_grad and weight.grad is None]:
        raise TrainingError(
            f"{len(without)} weights of the network had no part in its logits ({', '.join(without[:3])}), for whose "
            "gradients several processes would wait: take them out of the network or set requires_grad=False on them; "
            "one process alone trains it as it is"
        )


def _portions(pair: Pair, most: int | None) -> list[Pair]:
    """The samples of a batch, so many at a time; None: all."""
    images, masks = pair
    most = most or len(images)
    return list(zip(images.split(most), masks.split(most), strict=True))


def _num_known(masks: torch.Tensor) -> int:
    """Samples that have a voxel to learn from; where nothing is known, masks are NaN."""
    return int((~masks[:, 0].isnan()).flatten(1).any(1).sum())


def supervised(
    loss: Loss, outputs: torch.Tensor | Sequence[torch.Tensor], masks: torch.Tensor, coarse_weight: float = 0.5
) -> torch.Tensor:
    """The loss of the logits; of a list (deep supervision, finest first) the mean, each counting less."""
    if isinstance(outputs, torch.Tensor):
        return loss(outputs.float(), masks)
    weights = [coarse_weight**level for level in range(len(outputs))]
    total = masks.new_zeros(())
    for weight, logits in zip(weights, outputs, strict=True):
        size = logits.shape[2:]
        coarse = masks if masks.shape[2:] == size else functional.interpolate(masks, size=size, mode="nearest-exact")
        total = total + weight / sum(weights) * loss(logits.float(), coarse)
    return total
