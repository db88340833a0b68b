"""Given weights held against a network: what it takes, what begins anew, what does not fit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch

from torchio_seg.errors import UsageError
from torchio_seg.weights.naming import AGAIN, UNUSED, strip
from torchio_seg.weights.nnunet import their_names
from torchio_seg.weights.reading import Weights

_SHOWN = 5

Variants = Mapping[str, Callable[[], torch.nn.Module]]
"""The same network for other channels (`first`) and for other labels (`last`): what changes of it depends on them."""


@dataclass(frozen=True)
class Fit:
    """What a network takes of given weights."""

    taken: Mapping[str, torch.Tensor]
    """By the network's own names."""
    renewed: tuple[str, ...]
    """Layers that keep the network's first weights, in words with both shapes."""
    left: tuple[str, ...]
    """Names of given tensors that the network has no use for."""


def fit(weights: Weights, network: torch.nn.Module, variants: Variants) -> Fit:
    """Match by name and compare by shape; layers that depend on channels or labels may differ, nothing else."""
    own = network.state_dict()
    names = their_names(own) if weights.is_nnunet else {name: name for name in own}
    tensors, outside = strip(weights.tensors, set(names.values()), weights.name)
    found = {ours: tensors[theirs] for ours, theirs in names.items() if theirs in tensors}
    without_place = [name for name in tensors if name not in set(names.values()) and not AGAIN.search(name)]
    odd = {name: _difference(found.get(name), own[name]) for name in own if not _same(found.get(name), own[name])}
    renewed = _renewable(odd, own, found, variants) if odd else {}
    misfits = [f"{name} {text}" for name, text in odd.items() if _layer(name) not in renewed]
    misfits += [
        f"{name} {_shape(tensors[name])} has no place here" for name in without_place if not UNUSED.search(name)
    ]
    taken = {name: tensor for name, tensor in found.items() if _layer(name) not in renewed}
    if misfits or not taken:
        raise _misfit(weights, misfits or ["no name agrees"], len(taken))
    if broken := [name for name, tensor in taken.items() if not bool(torch.isfinite(tensor).all())]:
        raise UsageError(f"{weights.name}: {broken[0]} holds NaN or infinite weights; choose an earlier checkpoint")
    left = (*outside, *(name for name in without_place if UNUSED.search(name)))
    return Fit(taken, tuple(renewed.values()), left)


def give(network: torch.nn.Module, fitted: Fit) -> None:
    """Copy what fits into the network, in its own precision."""
    own = network.state_dict()
    with torch.no_grad():
        for name, tensor in fitted.taken.items():
            own[name].copy_(tensor)


def _renewable(
    odd: Mapping[str, str], own: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor], variants: Variants
) -> dict[str, str]:
    """Of the layers that differ, those that differ by their channels or labels alone, each in words."""
    axes: dict[str, set[int]] = defaultdict(set)
    place = {}
    for which, build in variants.items():
        for name, tensor in build().state_dict().items():
            if name in own and tensor.shape != (here := own[name].shape):
                axes[name] |= {axis for axis in range(len(here)) if tensor.shape[axis] != here[axis]}
                place.setdefault(_layer(name), which)
    allowed = {name for name in odd if name in axes and _differs_in(found.get(name), own[name], axes[name])}
    layers = {_layer(name) for name in allowed}
    return {
        layer: f"{place[layer]} layer, {'; '.join(f'{name} {odd[name]}' for name in allowed if _layer(name) == layer)}"
        for layer in sorted(layers)
        if all(name in allowed for name in odd if _layer(name) == layer)
    }


def _same(given: torch.Tensor | None, own: torch.Tensor) -> bool:
    return given is not None and given.shape == own.shape and given.is_floating_point() == own.is_floating_point()


def _differs_in(given: torch.Tensor | None, own: torch.Tensor, axes: Iterable[int]) -> bool:
    """Whether a tensor is absent, or has another length on some of these axes alone."""
    if given is None:
        return True
    if given.dim() != own.dim() or given.is_floating_point() != own.is_floating_point():
        return False
    return {axis for axis in range(own.dim()) if given.shape[axis] != own.shape[axis]} <= set(axes)


def _difference(given: torch.Tensor | None, own: torch.Tensor) -> str:
    if given is None:
        return f"({_shape(own)} here) is not there"
    if given.shape != own.shape:
        return f"({_shape(given)} there, {_shape(own)} here)"
    return f"({given.dtype} there, {own.dtype} here)"


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _shape(tensor: torch.Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"


def _misfit(weights: Weights, misfits: list[str], num_taken: int) -> UsageError:
    listed = "".join(f"\n  {line}" for line in misfits[:_SHOWN])
    more = f"\n  and {len(misfits) - _SHOWN} more" if len(misfits) > _SHOWN else ""
    made_for = f" They were made for {weights.network}." if weights.network else ""
    return UsageError(
        f"{weights.name}: these weights are of another network; {num_taken} tensors fit, these do not:{listed}{more}\n"
        f"Set network.name and its options to those that the weights were trained with.{made_for}"
    )
