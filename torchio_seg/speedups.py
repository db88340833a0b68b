"""The same training in less memory or time: levels computed twice, channels last, a compiled network."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from torchio_seg.devices import autocast

log = logging.getLogger(__name__)

LAST = torch.channels_last_3d


def recompute_levels(network: nn.Module) -> None:
    """From now on, keep a level's input alone in training; the rest is computed again when its gradient is due.

    A network says what these are in an attribute `recomputable`; of one that does not, it is the innermost modules of
    two or more convolutions or linear layers. Weights keep their names, and the gradients are the same.
    """
    levels = getattr(network, "recomputable", None)
    for level in _blocks(network) if levels is None else levels:
        level.forward = MethodType(_recomputed, level)  # bound, so that a deep copy computes with its own weights


def use_channels_last(network: nn.Module) -> None:
    """Lay out the weights of 3-D convolutions with channels last, and from now on the images that come in."""
    for parameter in network.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.contiguous(memory_format=LAST)
    network.register_forward_pre_hook(_lay_out)


def compiled(network: nn.Module, shape: tuple[int, ...], device: torch.device, precision: str) -> nn.Module:
    """The network to call in training, whose weights are those of the given one; that itself where compiling fails.

    Tried on zeros of the images' shape, which leaves no trace. The weights' names stay in the given one.
    """
    fast: nn.Module = torch.compile(network, dynamic=False)  # type: ignore[assignment]
    kept = {name: buffer.clone() for name, buffer in network.named_buffers()}
    training = network.training
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            with autocast(device, precision):
                outputs = fast.train()(torch.zeros(shape, device=device))
            heads = [outputs] if isinstance(outputs, torch.Tensor) else outputs
            torch.stack([logits.float().sum() for logits in heads]).sum().backward()
    except (RuntimeError, ImportError, OSError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        log.warning("training.compile: the network cannot be compiled here and runs as it is (%s)", reason)
        return network
    finally:
        network.zero_grad(set_to_none=True)
        network.train(training)
        with torch.no_grad():
            for name, buffer in network.named_buffers():
                buffer.copy_(kept[name])
    return fast


def _blocks(module: nn.Module) -> list[nn.Module]:
    """The innermost modules that hold two or more layers with matrices or kernels, and can be called."""
    if inner := [block for child in module.children() for block in _blocks(child)]:
        return inner
    layers = [part for part in module.modules() if any(weight.dim() > 1 for weight in part.parameters(recurse=False))]
    return [module] if len(layers) > 1 and not isinstance(module, nn.ModuleList | nn.ModuleDict) else []


def _recomputed(level: nn.Module, *inputs: Any, **options: Any) -> Any:
    """A level's own forward pass, of which nothing inside is kept where a gradient will be asked for."""
    forward = partial(type(level).forward, level)
    if not (level.training and torch.is_grad_enabled()):
        return forward(*inputs, **options)
    if norms := [part for part in level.modules() if getattr(part, "num_batches_tracked", None) is not None]:
        options["context_fn"] = partial(_first_and_second, norms)
    return checkpoint(forward, *inputs, use_reentrant=False, **options)


def _first_and_second(norms: list[Any]) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _statistics_kept(norms)


@contextmanager
def _statistics_kept(norms: list[Any]) -> Iterator[None]:
    """Batch norms learn from a batch once, though they see it twice."""
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)


def _lay_out(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.contiguous(memory_format=LAST) if torch.is_tensor(value) else value for value in inputs)
