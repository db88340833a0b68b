"""Try candidates of a plan on the machine that the plan is for, each in a process of its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import torch

from torchio_seg import devices, machine, memory
from torchio_seg.config.durations import seconds
from torchio_seg.config.resolve import resolve
from torchio_seg.config.sections import Experiment
from torchio_seg.machine import in_units
from torchio_seg.planning.fitting import Trial
from torchio_seg.planning.schedule import DAY_S
from torchio_seg.planning.settings import Surroundings, candidate_settings, merged
from torchio_seg.planning.telling import size_text, time_text
from torchio_seg.workflows import trial

if TYPE_CHECKING:
    from torchio_seg.planning.ladder import Candidate
    from torchio_seg.records import Dataset

log = logging.getLogger(__name__)

LAYOUT = "training.channels_last"
USUAL_BUDGET = 8 * 2**30
"""Of RAM or of a GPU's memory, where nobody gives one and so much is free."""
_LARGEST_SHARE = 0.8
"""Of what is free."""
_MOST_SECONDS, _LEAST_SECONDS = 180.0, 20.0
_MOST_OF_TIME = 0.1
"""Of the time for the training, a trial."""
_BUSY = 0.5
"""Of the processors, over the last minute."""
_FASTEST_BF16 = 8
"""CUDA's major compute capability from which bf16 has units of its own."""
_WORKER_BYTES = 64 * 2**20
_WORTH_IT = 0.97
"""Of a step's time, what channels last must fall below to be taken."""
_COPIES = 10
"""Of a patch's images that a worker holds at its peak, the neighbourhood that moves in among them."""


@dataclass(frozen=True)
class Rig:
    """The machine that a plan is for, and how much of it there is to use."""

    device: torch.device
    surroundings: Surroundings
    ram_budget: int
    vram_budget: int | None
    """None on a CPU for which nobody gave one."""
    seconds: float
    """For the whole training."""

    @property
    def is_gpu(self) -> bool:
        """Whether its memory is the GPU's own."""
        return self.device.type == "cuda"

    @property
    def memory_limit(self) -> int:
        """Bytes that a training process may take of what is counted."""
        return self.vram_budget if self.is_gpu and self.vram_budget is not None else self.ram_budget


def rig_of(
    experiment: Experiment,
    ram_budget: int | None,
    vram_budget: int | None,
    max_time: str | None,
    *,
    num_local: int = 1,
) -> Rig:
    """The experiment's device with these budgets, or with what is free up to the usual.

    `num_local`: so many processes of the training share the machine.
    """
    device = devices.choose(experiment.device)
    is_gpu = device.type == "cuda"
    if is_gpu and vram_budget is None:
        vram_budget = min(USUAL_BUDGET, int(_LARGEST_SHARE * torch.cuda.mem_get_info(device)[0]))
    ram = ram_budget or min(USUAL_BUDGET, int(_LARGEST_SHARE * machine.free_memory() / num_local))
    processors = max(1, machine.num_processors() // num_local)
    workers = min(8, processors) if is_gpu else max(1, min(4, processors // 4))
    surroundings = Surroundings(_precision(device), workers, is_gpu, max_time)
    return Rig(device, surroundings, ram, vram_budget, seconds(max_time) if max_time else DAY_S)


def tell_if_busy() -> None:
    """Say so where other work would make steps look slower than they are."""
    busy, processors = os.getloadavg()[0], machine.num_processors()
    if busy > _BUSY * processors:
        log.warning(
            "other work keeps %.1f of %d processors busy: steps are timed slower than they are, and the plan asks for "
            "less of the machine than it could; plan again when it is idle",
            busy,
            processors,
        )


def _precision(device: torch.device) -> Any:
    """The fastest that is sound there."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= _FASTEST_BF16 else "fp16"
    return devices.usable(device, "bf16") if device.type == "cpu" else "fp32"


def worker_bytes(candidate: Candidate) -> int:
    """What a worker adds, about: a patch in the making, and the batch that it is part of."""
    image = 4 * candidate.space.in_channels * candidate.voxels
    return _WORKER_BYTES + _COPIES * image // candidate.batch_size + image


@dataclass
class Tryer:
    """Measures candidates as the experiment that they would become, the first that fits in both memory layouts."""

    settings: Mapping[str, Any]
    """The sections that are settled."""
    changes: Mapping[str, Any]
    dataset: Dataset
    rig: Rig
    resident: int
    """Bytes that this process holds once it has looked at the data: as much as a training holds before its network."""
    smallest: Candidate
    """The last resort, which may take its time: nothing faster is left."""
    channels_last: bool = False
    """Whether convolutions are faster so on this machine."""
    _knows_layout: bool = False

    @property
    def measures_layout(self) -> bool:
        """Whether it is for us to choose."""
        return LAYOUT not in self.changes and self.rig.device.type in {"cpu", "cuda"}

    def __call__(self, candidate: Candidate) -> Trial:
        """Take some steps with it, or learn that it is too large."""
        tried = self._try(candidate, channels_last=self.channels_last)
        if self._knows_layout or not self.measures_layout or not tried.fits or tried.seconds == inf:
            return tried
        other = self._try(candidate, channels_last=True)
        self.channels_last = other.fits and other.seconds < _WORTH_IT * tried.seconds
        self._knows_layout = True
        return other if self.channels_last else tried

    def _try(self, candidate: Candidate, *, channels_last: bool) -> Trial:
        rig = self.rig
        layout = {"training": {"channels_last": channels_last}}
        settings = merged(merged(self.settings, candidate_settings(candidate, rig.surroundings)), layout)
        experiment = resolve(settings, self.changes, "the plan with these options")
        budget, is_ours = rig.vram_budget if rig.is_gpu else None, "training.precision" not in self.changes
        argument = trial.describe(experiment, self.dataset, budget, or_fp32=is_ours)
        outcome = memory.measure(
            f"{trial.__name__}:{trial.take_steps.__name__}",
            argument,
            most_bytes=None if rig.is_gpu else max(1, rig.ram_budget - self._beside(candidate)),
            most_seconds=_MOST_SECONDS if candidate == self.smallest else self._most_seconds,
        )
        found = self._judge(candidate, outcome)
        took = time_text(found.seconds) if outcome.fits else f"too much {outcome.why}"
        log.info(
            "tried %d x %s voxels%s%s: %s, %s a step",
            candidate.batch_size,
            size_text(candidate.patch_size),
            f", {candidate.width} features" if candidate.space.has_levels else "",
            ", channels last" if channels_last else "",
            in_units(outcome.answer.get("device_bytes") or outcome.peak),
            took,
        )
        return found

    def _judge(self, candidate: Candidate, outcome: memory.Outcome) -> Trial:
        """What counts: the GPU's memory, or the processes'; a budget for a GPU that is not there is one for growth."""
        rig, answer = self.rig, outcome.answer
        if not outcome.fits:
            is_slow = outcome.why == "time"
            return Trial(candidate, is_slow, outcome.peak if is_slow else rig.memory_limit + 1, 0, inf, outcome)
        if rig.is_gpu:
            return Trial(candidate, True, answer["device_bytes"], 0, answer["seconds"], outcome)
        fixed = max(outcome.before, self.resident) + self._beside(candidate)
        if rig.vram_budget is not None:
            fixed = max(fixed, rig.ram_budget - rig.vram_budget)
        return Trial(candidate, True, fixed + outcome.growth, fixed, answer["seconds"], outcome)

    @property
    def _most_seconds(self) -> float:
        return min(_MOST_SECONDS, max(_LEAST_SECONDS, _MOST_OF_TIME * self.rig.seconds))

    def _beside(self, candidate: Candidate) -> int:
        """What workers will take, about."""
        return self.rig.surroundings.num_workers * worker_bytes(candidate)
