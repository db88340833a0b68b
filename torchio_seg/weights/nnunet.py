"""Checkpoints of nnU-Net v2: which of its tensors is which of ours, and how its axes lie.

nnU-Net holds volumes as K J I and turns them by its plans' `transpose_forward`; ours are I J K. A kernel whose axes are
turned the same way does on our volumes what it did on theirs. The direction along an axis is not known: nnU-Net keeps
volumes as they lie in their files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from torchio_seg.errors import DataError

Axes = tuple[int, int, int]
"""Of the network's volumes, the axis that is our first, our second and our third."""

_RULES = (
    (re.compile(r"encoder\.stages\.(\d+)\.(\d+)\.(conv|norm)\."), r"encoder.stages.\1.0.convs.\2.\3."),
    (re.compile(r"encoder\.stages\.(\d+)\.(\d+)\.(conv\d|skip)\."), r"encoder.stages.\1.blocks.\2.\3."),
    (re.compile(r"encoder\.stem\.(conv|norm)\."), r"encoder.stem.convs.0.\1."),
    (re.compile(r"decoder\.(\d+)\.up\."), r"decoder.transpconvs.\1."),
    (re.compile(r"decoder\.(\d+)\.convs\."), r"decoder.stages.\1.convs."),
)
"""Our names (unet_blocks.py) and nnU-Net's."""
_HEAD = re.compile(r"heads\.(\d+)\.(.+)")


def is_checkpoint(content: Any) -> bool:
    """Whether this is what nnU-Net's trainer saves."""
    return isinstance(content, Mapping) and {"network_weights", "init_args"} <= content.keys()


def their_names(ours: Iterable[str]) -> dict[str, str]:
    """nnU-Net's name of each of our tensors; one that no rule knows keeps its name."""
    ours = list(ours)
    num_levels_up = len({name.split(".")[1] for name in ours if name.startswith("decoder.")})
    return {name: _their_name(name, num_levels_up) for name in ours}


def _their_name(name: str, num_levels_up: int) -> str:
    if head := _HEAD.fullmatch(name):
        return f"decoder.seg_layers.{num_levels_up - 1 - int(head[1])}.{head[2]}"
    for ours, theirs in _RULES:
        if ours.match(name):
            return ours.sub(theirs, name)
    return name


def find_axes(content: Mapping[str, Any], name: str) -> Axes | None:
    """How the network's axes lie, as its plans say; None where the checkpoint holds no plans."""
    plans = _plans(content)
    if plans is None:
        return None
    forward = plans.get("transpose_forward")
    if not isinstance(forward, Sequence) or sorted(forward) != [0, 1, 2]:
        raise DataError(f"{name}: its plans' transpose_forward is {forward!r}; it must order the axes 0, 1 and 2")
    return forward.index(2), forward.index(1), forward.index(0)


def turn(tensors: Mapping[str, torch.Tensor], axes: Axes) -> dict[str, torch.Tensor]:
    """The kernels among the tensors, for volumes whose axes lie as ours."""
    order = (0, 1, *(2 + axis for axis in axes))
    return {key: tensor.permute(order) if tensor.dim() == 5 else tensor for key, tensor in tensors.items()}


def describe(content: Mapping[str, Any], axes: Axes) -> str:
    """The network that its plans describe, in our settings; empty where they do not."""
    try:
        configuration = (_plans(content) or {})["configurations"][content["init_args"]["configuration"]]
        architecture = configuration["architecture"]
        options = architecture["arch_kwargs"]
        described: dict[str, Any] = {"channels": list(options["features_per_stage"])}
        for key in ("strides", "kernel_sizes"):
            described[key] = [[level[axis] for axis in axes] for level in options[key]]
    except (KeyError, TypeError, IndexError):
        return ""
    name = str(architecture.get("network_class_name", "")).rpartition(".")[2]
    return f"{name}, " + ", ".join(f"network.{key}={value}" for key, value in described.items())


def _plans(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    arguments = content["init_args"]
    plans = arguments.get("plans") if isinstance(arguments, Mapping) else None
    return plans if isinstance(plans, Mapping) else None
