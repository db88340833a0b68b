"""What a training keeps: checkpoints that others use as a model, and from which it goes on itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from torchio_seg import checkpoint, devices
from torchio_seg.checkpoint import ModelCard, Seen
from torchio_seg.config.sections import Experiment
from torchio_seg.distributed import Peers
from torchio_seg.errors import UsageError
from torchio_seg.trainer import Position
from torchio_seg.workflows.describing import tell_of_going_on
from torchio_seg.workflows.judging import Judge
from torchio_seg.workflows.provenance import versions
from torchio_seg.workflows.seen import describe_cases

if TYPE_CHECKING:
    from pathlib import Path

    from torchio_seg.step import Stepper
    from torchio_seg.workflows.assembly import Plan

Model = tuple[ModelCard, dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Keeper:
    """Writes a training's checkpoints, and puts it back to where one left it; the network is that which is kept."""

    experiment: Experiment
    plan: Plan
    judge: Judge
    network: torch.nn.Module
    device: torch.device
    peers: Peers

    def save(self, folder: Path, stepper: Stepper, position: Position) -> None:
        """A checkpoint in this folder, which the main process writes."""
        generators = self.peers.gather(devices.generators(self.device))
        if not self.peers.is_main:
            return
        state = {
            "stepper": stepper.state(),
            "position": asdict(position),
            "rotation": self.judge.rotation.state(),
            "generators": generators,
        }
        score = position.best_score
        best = -score if score is not None and self.judge.best.falls else score
        progress = {"epoch": position.epoch, "step": position.step, f"best_{self.judge.best.name}": best}
        with stepper.averaged():
            checkpoint.save(folder, self.network, self._card(progress), state)

    def load(self, folder: Path) -> ModelCard:
        """Give the network the weights of a checkpoint."""
        card, weights = self.peers.from_main(lambda: _read_model(folder))
        self.network.load_state_dict(weights)
        return card

    def restore(self, folder: Path, stepper: Stepper, num_steps: int | None) -> Position:
        """Everything as it was at a checkpoint; training is to have so many steps, None: as many as fit its time."""
        card = self.load(folder)
        state = self.peers.from_main(lambda: checkpoint.read_trainer_state(folder))
        _require_as_many(self.peers, len(state["generators"]))
        stepper.restore(state["stepper"])
        self.judge.rotation.restore(state.get("rotation", {}))
        devices.restore_generators(self.device, state["generators"][self.peers.rank])
        position = Position(**state["position"])
        before = position.num_steps
        if num_steps is not None or self._has_other_time(card.experiment["training"]):
            position.num_steps = num_steps
        if (expected := position.num_steps or before) is not None:
            stepper.expect(expected)  # where the new length is not known yet, the rate follows the old one
        if before is not None and position.num_steps != before:
            position.validations_since_best = 0  # a longer training has a new patience
        tell_of_going_on(position, before, self.experiment.training.patience)
        return position

    def _has_other_time(self, before: Mapping[str, Any]) -> bool:
        return bool(before["max_time"] != self.experiment.training.max_time)

    def _card(self, progress: dict[str, float | int | None]) -> ModelCard:
        dataset = self.plan.dataset
        return ModelCard(
            experiment=self.experiment.model_dump(mode="json"),
            dataset=dataset.name,
            channels=dataset.channels,
            is_ct=dataset.is_ct,
            labels=dataset.labels,
            recipe=self.plan.recipe,
            patch_size=self.plan.patch_size,
            progress=progress,
            versions=versions(),
            initial=self.plan.initial,
            seen=self._seen,
        )

    @cached_property
    def _seen(self) -> Seen:
        return describe_cases(self.plan)


def _read_model(folder: Path) -> Model:
    card = checkpoint.read_card(folder)
    return card, checkpoint.read_weights(folder, card)


def _require_as_many(peers: Peers, num_before: int) -> None:
    """A step of another number of processes would be another step."""
    if peers.num_ranks != num_before:
        how = "without torchrun" if num_before == 1 else f"by torchrun, {num_before} processes in all"
        raise UsageError(f"this training ran in {num_before} processes, not {peers.num_ranks}; start it {how}")
