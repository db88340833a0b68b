"""A point of the memory benchmark: one network, patch and way of computing, measured in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

import torch

from torchio_seg import devices, machine, memory
from torchio_seg.config.resolve import resolve
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import ConfigError, TrainingError
from torchio_seg.network_sizes import Size, Sizes, fit, sizes_of
from torchio_seg.records import Dataset
from torchio_seg.sampling.stream import shrink
from torchio_seg.workflows import memory_work, trial
from torchio_seg.workflows.network import build_network

PACKAGES = ("torchio-seg", "torch", "torchio", "monai")
_MOST_DOUBLINGS = 5
"""Of the multiple that a padded size is tried with: deeper networks for larger patches ask for coarser ones."""

_SETTINGS = ("seed", "preprocessing", "augmentation", "loss", "optimization", "training")
_VARIED = ("precision", "activation_checkpointing", "epochs", "steps", "max_time")
"""Of training: what points differ in, and how long it is."""

Work = Literal["training", "prediction"]
Aggregation = Literal["streaming", "full"]


@dataclass(frozen=True)
class Point:
    """What is measured."""

    network: str
    work: Work
    patch: int | None
    """Edge in voxels; None: the whole volume."""
    precision: str
    checkpointing: bool = False
    blending: str | None = None
    aggregation: Aggregation | None = None

    @property
    def series(self) -> Point:
        """The same for all patches that differ in size alone."""
        return replace(self, patch=None)


@dataclass(frozen=True)
class Measured:
    """A point and what it took."""

    point: Point
    size: Size
    """Voxels of the patch, as the network takes it."""
    fits: bool | None
    """None: not measured, and `why` says the reason."""
    why: str = ""
    crashed: bool = False
    """Not measured because its process ended by itself, which the next time it may not."""
    limit: int = 0
    """Bytes that it might take."""
    most_seconds: float = 0.0
    """Seconds that it might last."""
    asked: int = 0
    """Where it did not fit: bytes that it had when it was ended, at least; 0 where only torch's words tell."""
    held: int = 0
    """Bytes of the weights, and of the batch where it trains."""
    before: int = 0
    """Bytes of the process with imports, network and batch, or volume."""
    peak: int = 0
    """The most that the process had from then on."""
    reserved: int | None = None
    """The most that torch took of a GPU."""
    allocated: int | None = None
    """The most of that which was in use at once."""
    device_used: int | None = None
    """What the GPU says is taken when the work ends, by all its users."""
    seconds: float | None = None
    """A warm step; the volume."""
    parameters: int | None = None
    commit: str | None = None
    """Of the checkout that measured it."""

    @property
    def voxels(self) -> int:
        return prod(self.size)

    @property
    def memory(self) -> int:
        """Of the work itself: on a GPU all that torch took, on a CPU what the process grew by beyond `before`."""
        return max(0, self.peak - self.before) if self.reserved is None else self.reserved

    @property
    def taken(self) -> int:
        """What a limit holds."""
        return self.peak if self.reserved is None else self.reserved

    def counted(self, *, as_gpu: bool) -> int:
        """What a budget must hold: the process, or the GPU; of a GPU that is not there, what would lie on it."""
        if not as_gpu:
            return self.peak
        return self.held + self.memory if self.device_used is None else self.device_used


@dataclass(frozen=True)
class Bench:
    """What all points of a benchmark share."""

    base: Experiment
    """Its network's section is that of the networks of this name; others have their defaults."""
    dataset: Dataset
    """Channels and labels; no cases."""
    shape: Size
    """Of the volume."""
    limit: int
    """Bytes that a process may take; of a GPU, what torch may."""
    most_seconds: float
    """For a point, all its steps, imports not counted."""

    @property
    def is_for_gpu(self) -> bool:
        """Whether the memory that counts is a GPU's."""
        return devices.choose(self.base.device).type == "cuda"

    def identity(self) -> dict[str, Any]:
        """Results are of use to another benchmark where this is the same."""
        device = devices.choose(self.base.device)
        about = machine.describe(PACKAGES)
        training = self.base.training
        return {
            "data": self.dataset.name,
            "shape": list(self.shape),
            "channels": len(self.dataset.channels),
            "classes": self.dataset.labels.num_channels,
            "batch_size": training.batch_size,
            "overlap": self.base.prediction.overlap,
            "network": self._own_network(),
            "settings": self._settings(),
            "device": devices.describe(device),
            "processor": about["processor"],
            "versions": about["versions"],
        }

    def _own_network(self) -> dict[str, Any] | None:
        """Its section, where options differ from those that a network of its name has by itself."""
        section = self.base.network.section
        plain = {"name": "plain", "dataset": {"name": "phantom"}, "network": {"name": self.base.network.name}}
        return None if section == resolve(plain, {}, "the network").network.section else section

    def _settings(self) -> dict[str, Any]:
        """What else a step, or a training, depends on."""
        found = self.base.model_dump(mode="json", include=set(_SETTINGS))
        for name in _VARIED:
            found["training"].pop(name)
        return found

    def experiment(self, point: Point, size: Size) -> Experiment:
        """The experiment whose step, or prediction, this point is."""
        changes: dict[str, Any] = {
            "network.name": point.network,
            "sampling.patch_size": list(size),
            "sampling.mode": "foreground",
            "sampling.map": None,
            "training.precision": point.precision,
            "training.activation_checkpointing": point.checkpointing,
            "prediction.patch_size": None,
        }
        if point.blending is not None:
            changes["prediction.blending"] = point.blending
        return resolve(self.base.model_dump(mode="json"), changes, "the benchmark with these options")

    def size_of(self, point: Point) -> Size:
        """The patch no longer than the volume, or the whole volume, each padded to what the network takes."""
        wanted = self.shape if point.patch is None else shrink((point.patch,) * 3, [self.shape])
        multiple = 1
        for _ in range(_MOST_DOUBLINGS + 1):
            size = fit(wanted, Sizes(multiple_of=(multiple,) * 3))
            try:
                sizes = self._sizes(point, size)
            except ConfigError as error:
                refused, multiple = error, 8 if multiple == 1 else 2 * multiple
                continue
            return size if sizes.fixed_size else fit(size, sizes)
        raise refused

    def _sizes(self, point: Point, size: Size) -> Sizes:
        """What the network asks for, without its weights where it can be built so."""
        experiment = self.experiment(point, size)
        try:
            with torch.device("meta"):
                return sizes_of(build_network(experiment, self.dataset, size))
        except RuntimeError:  # it looks at values, as swinunetr does
            return sizes_of(build_network(experiment, self.dataset, size))

    def measure(self, point: Point, reason: str | None = None) -> Measured:
        """In a process of its own, unless there is a reason not to; what does not fit, or cannot be, is a result."""
        size = self.shape
        try:
            size = self.size_of(point)
            reason = reason or self._refusal(point)
            found = self._measure(point, size) if reason is None else Measured(point, size, None, reason)
        except ConfigError as error:
            found = Measured(point, size, None, str(error))
        except TrainingError as error:
            found = Measured(point, size, None, str(error), crashed=True)
        return replace(found, limit=self.limit, most_seconds=self.most_seconds, commit=machine.commit())

    def _refusal(self, point: Point) -> str | None:
        device = devices.choose(self.base.device)
        if devices.usable(device, point.precision) != point.precision:
            return f"this CPU has no instructions for {point.precision} and would compute in fp32"
        return None

    def _measure(self, point: Point, size: Size) -> Measured:
        is_gpu = self.is_for_gpu
        task, argument = self._task(point, size, self.limit if is_gpu else None)
        most_bytes = None if is_gpu else self.limit
        found = memory.measure(task, argument, most_bytes=most_bytes, most_seconds=self.most_seconds)
        if not found.fits:
            return Measured(point, size, False, found.said or found.why, asked=0 if is_gpu else found.peak)
        answer = found.answer
        took = Measured(
            point,
            size,
            True,
            held=self._held(point, size, answer["parameters"]),
            before=answer["before_step"],
            peak=found.peak,
            reserved=answer["device_bytes"],
            allocated=answer["allocated_bytes"],
            device_used=answer["device_used"],
            seconds=round(answer["seconds"], 4),
            parameters=answer["parameters"],
        )
        exceeded = most_bytes is not None and took.peak > most_bytes  # between two looks of the watchdog
        return replace(took, fits=False, why="memory", asked=took.peak) if exceeded else took

    def _held(self, point: Point, size: Size, parameters: int) -> int:
        channels = len(self.dataset.channels) + self.dataset.labels.num_channels
        batch = self.base.training.batch_size * channels * prod(size) if point.work == "training" else 0
        return 4 * (parameters + batch)

    def _task(self, point: Point, size: Size, device_bytes: int | None) -> tuple[str, Mapping[str, Any]]:
        argument = trial.describe(self.experiment(point, size), self.dataset, device_bytes)
        if point.work == "training":
            return f"{trial.__name__}:{trial.take_steps.__name__}", argument
        more = {"shape": self.shape, "aggregation": point.aggregation}
        return f"{memory_work.__name__}:{memory_work.label_volume.__name__}", argument | more
