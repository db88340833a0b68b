"""What a memory benchmark is about: volumes made up, or those of a data set; which points."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

from torchio_seg import components, devices, machine
from torchio_seg.config.resolve import choose, resolve
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import UsageError
from torchio_seg.network_sizes import Size
from torchio_seg.planning.telling import size_text
from torchio_seg.records import Dataset, Labels
from torchio_seg.workflows.assembly import resolve_grids
from torchio_seg.workflows.beforehand import require_word
from torchio_seg.workflows.cases import load_dataset
from torchio_seg.workflows.memory_benchmark import Selection
from torchio_seg.workflows.memory_points import Bench

log = logging.getLogger(__name__)

CHANNELS, CLASSES, SHAPE = 4, 4, (240, 240, 155)
"""Of BraTS."""
PHANTOM_SHAPE = (128, 128, 128)
"""Of phantoms that are trained on."""
_SHARE = 0.9
"""Of the free memory, which a point may take."""
_PRECISIONS = ("fp32", "bf16", "fp16")
_CHECKPOINTING = {"off": (False,), "on": (True,), "both": (False, True)}
_WORK = ("training", "prediction", "both")


EDGES, _NUM_EDGES = (16, 24, 32, 48, 64, 96, 128, 160), 4
"""Of patches; the longest that are shorter than the volume are measured."""
_OPTIONS = {
    "training.batch_size": "give --batch-size",
    "training.precision": "give --precisions",
    "training.activation_checkpointing": "give --checkpointing",
    "training.max_time": "give --accuracy-time",
    "sampling.patch_size": "give --patches",
    "prediction.patch_size": "give --patches",
    "prediction.blending": "every blending is measured",
    "prediction.batch_size": "a patch after the other is predicted",
}
"""Settings that points differ in, or that are the same for all, and what to do instead of setting them."""


@dataclass(frozen=True)
class Words:
    """Which points the user asks for, as typed."""

    all_networks: bool = False
    patches: str | None = None
    precisions: str = "fp32,bf16"
    checkpointing: str = "both"
    work: str = "both"
    whole: bool = True


@dataclass(frozen=True)
class Wishes:
    """What the user wants to be measured, and within which limits."""

    dataset: str | None = None
    config: Path | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    channels: int | None = None
    classes: int | None = None
    shape: Sequence[int] | None = None
    batch_size: int = 1
    memory_limit: int | None = None
    most_seconds: float = 600.0
    with_accuracy: bool = False


def make_bench(wishes: Wishes) -> tuple[Experiment, Bench]:
    """The experiment, its data found, and the benchmark of its network."""
    _require_free(wishes)
    if wishes.dataset is None and wishes.config is None and not wishes.with_accuracy:
        settings = {"name": "memory", "dataset": {"name": "phantom"}, "network": {"name": "unet"}}
        experiment = resolve(settings, wishes.changes, "the benchmark with these options")
        dataset, shape = _made_up(wishes.channels or CHANNELS, wishes.classes or CLASSES), SHAPE
    else:
        experiment, dataset, shape = _of_data(wishes)
    if wishes.shape is not None:
        i, j, k = wishes.shape
        shape = (i, j, k)
    if wishes.config is not None and experiment.training.batch_size != wishes.batch_size:
        log.info(
            "a step is measured with --batch-size %d; %s has %d",
            *(wishes.batch_size, wishes.config, experiment.training.batch_size),
        )
    training = experiment.training.model_copy(update={"batch_size": wishes.batch_size})
    prediction = experiment.prediction.model_copy(update={"batch_size": 1})
    base = experiment.model_copy(update={"training": training, "prediction": prediction})
    devices.choose(base.device)
    limit = wishes.memory_limit or int(_SHARE * _free(base))
    return experiment, Bench(base, replace(dataset, cases=()), shape, limit, wishes.most_seconds)


def _require_free(wishes: Wishes) -> None:
    """Refuse settings that the benchmark has options for, or has no use for."""
    for key, instead in _OPTIONS.items():
        if key in wishes.changes:
            raise UsageError(f"--set {key} is what the benchmark goes through: {instead}")
    is_noise = wishes.dataset is None and wishes.config is None and not wishes.with_accuracy
    if is_noise and (named := [key for key in wishes.changes if key.startswith("dataset.")]):
        flag = "--root" if named[0] == "dataset.root" else f"--set {named[0]}"
        raise UsageError(f"{flag} is about a data set, but none is named: add --dataset NAME, or leave it out")


def _of_data(wishes: Wishes) -> tuple[Experiment, Dataset, Size]:
    """Of the data set that is named, or large phantom brains; its largest case, or the box that holds every one."""
    changes = dict(wishes.changes)
    name = wishes.dataset
    if wishes.dataset is None and wishes.config is None:
        name, changes = "phantom", {"dataset.shape": list(PHANTOM_SHAPE)} | changes
    source = "--dataset" if wishes.dataset else "--config" if wishes.config else "--with-accuracy"
    if wishes.channels is not None or wishes.classes is not None:
        raise UsageError(f"--channels and --classes are those of the data set; leave them out, or leave out {source}")
    if name == "phantom" and wishes.shape is not None:
        changes["dataset.shape"] = list(wishes.shape)
    elif wishes.shape is not None:
        raise UsageError(f"--shape is that of the data set's largest case; leave it out, or leave out {source}")
    experiment = choose(name, wishes.config, changes)
    dataset = load_dataset(experiment)
    _, grids = resolve_grids(experiment, dataset, dataset.cases)
    shapes = [grid.model_shape for grid in grids]
    if wishes.with_accuracy:  # whole volumes are brought to one size, which must cut nothing away
        i, j, k = (max(lengths) for lengths in zip(*shapes, strict=True))
        return experiment, dataset, (i, j, k)
    return experiment, dataset, max(shapes, key=prod)


def _made_up(channels: int, classes: int) -> Dataset:
    labels = Labels.of_classes({number: f"class {number}" for number in range(classes)})
    return Dataset("noise", tuple(f"channel {number}" for number in range(channels)), labels, ())


def _free(experiment: Experiment) -> int:
    device = devices.choose(experiment.device)
    return machine.free_memory() if device.type != "cuda" else devices.free_memory(device)


def make_selection(bench: Bench, words: Words) -> Selection:
    """The points in the user's words: of the benchmark's network, or of all that are shipped."""
    wanted = [part.strip() for part in words.precisions.split(",")]
    if unknown := sorted(set(wanted) - set(_PRECISIONS)):
        require_word("--precisions", unknown[0], _PRECISIONS)
    require_word("--checkpointing", words.checkpointing, tuple(_CHECKPOINTING))
    require_word("--work", words.work, tuple(_WORK))
    return Selection(
        components.names("networks") if words.all_networks else (bench.base.network.name,),
        _edges(words.patches, bench.shape),
        tuple(dict.fromkeys(wanted)),
        _CHECKPOINTING[words.checkpointing],
        training=words.work != "prediction",
        prediction=words.work != "training",
        whole=words.whole,
    )


def require_training(selection: Selection, flags: Mapping[str, object]) -> None:
    """Refuse what only a training has an answer to where none is measured."""
    if asked := [flag for flag, value in flags.items() if value and not selection.training]:
        raise UsageError(f"{asked[0]} is about training, which --work prediction leaves out; leave out one of the two")
    if flags.get("--with-accuracy") and False not in selection.checkpointing:
        raise UsageError(
            "--with-accuracy trains without activation checkpointing, which --checkpointing on leaves out; give "
            "--checkpointing both or off"
        )


def _edges(text: str | None, shape: Size) -> tuple[int, ...]:
    """Those that are asked for, or the usual ones; a patch that covers the volume is the whole volume."""
    longest = max(shape)
    if text is None:
        return tuple([edge for edge in EDGES if edge < longest][-_NUM_EDGES:])
    edges = [part.strip() for part in text.split(",") if part.strip()]
    if not edges or not all(edge.isdecimal() and int(edge) for edge in edges):
        raise UsageError(f"--patches {text}: give edges in voxels, as 64,96,128")
    if covering := [edge for edge in edges if int(edge) >= longest]:
        raise UsageError(
            f"--patches {text}: a patch of {', '.join(covering)} is the whole volume, {size_text(shape)}; give smaller "
            "ones, or leave the option out"
        )
    return tuple(sorted({int(edge) for edge in edges}))
