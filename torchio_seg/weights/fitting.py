"""Given weights held against a network: what it takes, what begins anew, what does not fit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import torch

from torchio_seg.errors import UsageError
from torchio_seg.weights.naming import AGAIN, UNUSED, Tensors, strip
from torchio_seg.weights.nnunet import their_names
from torchio_seg.weights.reading import Weights
from torchio_seg.weights.renaming import rename

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
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Of tensors that were saved under earlier names, those names and the present ones."""


def fit(weights: Weights, network: torch.nn.Module, variants: Variants) -> Fit:
    """Match by name and compare by shape; layers that depend on channels or labels may differ, nothing else."""
    own = network.state_dict()
    names = their_names(own) if weights.is_nnunet else {name: name for name in own}
    expected = set(names.values())
    tensors, outside = strip(weights.tensors, expected, weights.name)
    tensors, renamed = rename(tensors, expected)
    found = {ours: tensors[theirs] for ours, theirs in names.items() if theirs in tensors}
    odd = {
        name: _difference(found.get(name), tensor) for name, tensor in own.items() if not _same(found.get(name), tensor)
    }
    renewed = _renewable(odd, own, found, variants) if odd else {}
    taken = {name: tensor for name, tensor in found.items() if _layer(name) not in renewed}
    extra = [name for name in tensors if name not in expected and not AGAIN.search(name)]
    misfits = [f"{name} {difference}" for name, difference in odd.items() if _layer(name) not in renewed]
    misfits += [f"{name} ({_shape(tensors[name])} there) has no place" for name in extra if not UNUSED.search(name)]
    if misfits or not taken:
        raise _misfit(weights, misfits or list(renewed.values()), len(taken))
    if broken := [name for name, tensor in taken.items() if not bool(torch.isfinite(tensor).all())]:
        raise UsageError(f"{weights.name}: {broken[0]} holds NaN or infinite weights; choose an earlier checkpoint")
    return Fit(taken, tuple(renewed.values()), (*outside, *extra), renamed)


def give(network: torch.nn.Module, fitted: Fit) -> None:
    """Copy what fits into the network, in its own precision."""
    own = network.state_dict()
    with torch.no_grad():
        for name, tensor in fitted.taken.items():
            own[name].copy_(tensor)


def _renewable(odd: Mapping[str, str], own: Tensors, found: Tensors, variants: Variants) -> dict[str, str]:
    """Of the layers that differ, those that differ by their channels or labels alone, each in words."""
    axes: dict[str, set[int]] = defaultdict(set)
    which: dict[str, str] = {}
    for place, build in variants.items():
        for name, tensor in build().state_dict().items():
            if name in own and (differing := _differing(tensor, own[name])):
                axes[name] |= differing
                which.setdefault(_layer(name), place)
    layers: dict[str, list[str]] = defaultdict(list)
    for name in odd:
        layers[_layer(name)].append(name)
    return {
        layer: f"the {which[layer]} layer's {', '.join(f'{name} {odd[name]}' for name in names)}"
        for layer, names in layers.items()
        if all(name in axes and _differs_in(found.get(name), own[name], axes[name]) for name in names)
    }


def _same(given: torch.Tensor | None, own: torch.Tensor) -> bool:
    return given is not None and given.shape == own.shape and given.is_floating_point() == own.is_floating_point()


def _differs_in(given: torch.Tensor | None, own: torch.Tensor, axes: Collection[int]) -> bool:
    """Whether a tensor is absent, or differs in its length on some of these axes alone."""
    if given is None:
        return True
    alike = given.dim() == own.dim() and given.is_floating_point() == own.is_floating_point()
    return alike and _differing(given, own) <= set(axes)


def _differing(one: torch.Tensor, other: torch.Tensor) -> set[int]:
    """The axes on which two tensors have other lengths."""
    return {axis for axis, (m, n) in enumerate(zip(one.shape, other.shape, strict=False)) if m != n}


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
