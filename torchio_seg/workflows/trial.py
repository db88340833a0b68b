"""What a process of its own does to tell what a training step takes: real steps of the real network on noise."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from pydantic import TypeAdapter

from torchio_seg import devices, memory, speedups
from torchio_seg.config.resolve import resolve
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import ConfigError
from torchio_seg.optimization import Schedule, build_optimizer, fill_averages
from torchio_seg.records import Dataset, Labels
from torchio_seg.step import Stepper
from torchio_seg.targets import encode
from torchio_seg.workflows import job  # noqa: F401 (so that as much is imported as in a training)
from torchio_seg.workflows.assembly import build_loss
from torchio_seg.workflows.network import build_network, require_sound_gradients

_NUM_STEPS = 3
_LONG_S, _VERY_LONG_S = 10.0, 60.0
"""A step after which one more is enough; one after which none is needed."""


def describe(
    experiment: Experiment, dataset: Dataset, device_bytes: int | None, *, or_fp32: bool = False
) -> dict[str, Any]:
    """The argument of `take_steps`; `or_fp32`: where the precision is not sound for this patch, take that."""
    return {
        "experiment": experiment.model_dump(mode="json"),
        "channels": dataset.channels,
        "labels": asdict(dataset.labels),
        "device_bytes": device_bytes,
        "or_fp32": or_fp32,
    }


def take_steps(argument: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds of a step once it is warm, bytes before the first and on a GPU, number of weights, precision.

    A network that is to be compiled is taken as it is: to compile it lasts longer than all trials.
    """
    experiment = resolve(argument["experiment"], {}, "the plan")
    labels: Labels = TypeAdapter(Labels).validate_python(argument["labels"])
    dataset = Dataset("trial", tuple(argument["channels"]), labels, ())
    device = devices.choose(experiment.device)
    if device.type == "cuda" and argument["device_bytes"] is not None:
        limit(device, argument["device_bytes"])
    devices.seed_everything(experiment.seed, strict=experiment.deterministic == "strict")
    patch_size = experiment.sampling.patch_size
    network = build_network(experiment, dataset, patch_size)
    if device.type == "cpu":
        precision = devices.usable(device, experiment.training.precision)
        try:
            require_sound_gradients(network, len(dataset.channels), patch_size, precision)
        except ConfigError:
            if not argument["or_fp32"]:
                raise
            experiment = resolve(argument["experiment"], {"training.precision": "fp32"}, "the plan")
    network = network.to(device)
    if experiment.training.activation_checkpointing:
        speedups.recompute_levels(network)
    if experiment.training.channels_last:
        speedups.use_channels_last(network)
    seconds, before = _time_steps(_stepper(experiment, dataset, network, device), experiment, dataset)
    return {
        "seconds": seconds,
        "before_step": before,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "precision": experiment.training.precision,
        **device_figures(device),
    }


def device_figures(device: torch.device) -> dict[str, int | None]:
    """The most bytes that torch had reserved on a GPU, and used of them; what the GPU itself says is taken, by all."""
    if device.type != "cuda":
        return {"device_bytes": None, "allocated_bytes": None, "device_used": None}
    free, total = torch.cuda.mem_get_info(device)
    return {
        "device_bytes": torch.cuda.max_memory_reserved(device),
        "allocated_bytes": torch.cuda.max_memory_allocated(device),
        "device_used": total - free,
    }


def _stepper(experiment: Experiment, dataset: Dataset, network: torch.nn.Module, device: torch.device) -> Stepper:
    optimizer = build_optimizer(network.parameters(), experiment.optimization)
    schedule = Schedule(optimizer, experiment.optimization, _NUM_STEPS)
    loss = build_loss(experiment, dataset)
    return Stepper(network, loss, optimizer, schedule, settings=experiment.training, device=device)


def _time_steps(stepper: Stepper, experiment: Experiment, dataset: Dataset) -> tuple[float, int]:
    """The fastest of some steps, the first of which only warms up where others follow; bytes before it."""
    generator = torch.Generator().manual_seed(0)
    shape = (experiment.training.batch_size, len(dataset.channels), *experiment.sampling.patch_size)
    values = torch.tensor(sorted(set(dataset.labels.names) - {dataset.labels.ignore}))
    times: list[float] = []
    before = 0
    for number in range(_NUM_STEPS):
        images = torch.randn(shape, generator=generator)
        label_map = values[torch.randint(len(values), (shape[0], 1, *shape[2:]), generator=generator)]
        pair = (images, encode(label_map, dataset.labels))
        if number == 0:
            memory.reset_peak()  # building the network and looking at it is no part of a step
            before = memory.resident_bytes(os.getpid())
            fill_averages(stepper.optimizer)  # the first step takes as much as others: it may be the only one
        started = time.perf_counter()
        stepper([pair])
        devices.wait_for(stepper.device)
        times.append(time.perf_counter() - started)
        if times[0] > (_LONG_S if number else _VERY_LONG_S):
            break
    return min(times[1:] or times), before


def limit(device: torch.device, most_bytes: int) -> None:
    """Torch refuses what exceeds a budget smaller than the GPU."""
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, most_bytes / total), device)
