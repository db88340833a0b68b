"""The network of an experiment: built, fitted to its patches, and tried once before anything depends on it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from torchio_seg import components
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import ConfigError
from torchio_seg.network_sizes import check_patch_size, fit, sizes_of
from torchio_seg.records import Dataset
from torchio_seg.sampling.stream import shrink

log = logging.getLogger(__name__)

Size = tuple[int, int, int]


def build_network(experiment: Experiment, dataset: Dataset, patch_size: Size) -> torch.nn.Module:
    """The network for this data set's channels; its first weights depend on the seed alone."""
    with torch.random.fork_rng():
        torch.manual_seed(experiment.seed)
        network = components.assemble(
            "networks", experiment.network.section, len(dataset.channels), dataset.labels.num_channels, patch_size
        )
    if not isinstance(network, torch.nn.Module):
        raise ConfigError(f"network '{experiment.network.name}': build() gave {type(network).__name__}, not a module")
    check_patch_size(patch_size, sizes_of(network), experiment.network.name)
    return network


def fit_network(experiment: Experiment, dataset: Dataset, shapes: Sequence[Size]) -> tuple[torch.nn.Module, Size]:
    """The network and its patch size, no larger than the volumes need, tried once on zeros."""
    wanted = experiment.sampling.patch_size
    network = build_network(experiment, dataset, wanted)
    if experiment.sampling.mode == "whole":
        shape = _whole(shapes)
        patch_size = shape if sizes_of(network).fixed_size else fit(shape, sizes_of(network))
        unused = "" if patch_size == wanted else f"; sampling.patch_size, {_text(wanted)}, is not used"
        log.info("patches are whole volumes, %s voxels%s", _text(patch_size), unused)
    else:
        patch_size = fit(shrink(wanted, shapes), sizes_of(network))
        if patch_size != wanted:
            log.info("patch %s instead of %s: no training volume is larger", _text(patch_size), _text(wanted))
    if patch_size != wanted:
        network = build_network(experiment, dataset, patch_size)
    _require_logits(network, experiment.network.name, len(dataset.channels), (dataset.labels.num_channels, *patch_size))
    return network, patch_size


def _whole(shapes: Sequence[Size]) -> Size:
    """The one shape that all volumes have."""
    if len(found := sorted(set(shapes))) > 1:
        some = ", ".join(_text(shape) for shape in found[:3])
        raise ConfigError(
            f"sampling.mode=whole needs volumes of one shape, and after preprocessing these have {len(found)} ({some}"
            f"{', ...' if len(found) > 3 else ''}): set preprocessing.crop_or_pad or preprocessing.resize"
        )
    return found[0]


def _require_logits(network: torch.nn.Module, name: str, in_channels: int, expected: tuple[int, ...]) -> None:
    """One forward pass on zeros: a network that answers in the wrong shape is found before training."""
    patch_size = expected[1:]
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            outputs = network(torch.zeros(1, in_channels, *patch_size))
    except RuntimeError as error:
        raise ConfigError(f"network '{name}' fails on a patch of {_text(patch_size)}: {error}") from error
    finally:
        network.train(training)
    if not isinstance(outputs, torch.Tensor) or tuple(outputs.shape) != (1, *expected):
        found = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise ConfigError(f"network '{name}' answers {found}; logits of shape {(1, *expected)} are expected")


def require_sound_gradients(network: torch.nn.Module, in_channels: int, patch_size: Size, precision: str) -> None:
    """Refuse what torch computes wrongly: in bf16 on a CPU, the weight gradient of a convolution over two voxels.

    Where the first axis of a 3-D convolution's input has exactly 2 voxels, torch 2.13 with oneDNN leaves part of the
    weight's gradient unwritten; the numbers are often finite, so no later check would notice.
    """
    if precision != "bf16":
        return
    lengths: set[int] = set()
    convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv3d)]
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs: lengths.add(inputs[0].shape[2])) for module in convolutions
    ]
    try:
        network.eval()
        with torch.inference_mode():
            network(torch.zeros(1, in_channels, *patch_size))
    finally:
        for hook in hooks:
            hook.remove()
    if 2 in lengths:
        raise ConfigError(
            f"training.precision=bf16 with a patch of {_text(patch_size)}: a convolution would see 2 voxels on its "
            "first axis, where the CPU's bf16 gradients are wrong. Use a first side that is no power of two (48, 96), "
            "or training.precision=fp32"
        )


def _text(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
