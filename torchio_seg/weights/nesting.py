"""A network's tensors inside what a trainer saved beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from torchio_seg.errors import DataError

WRAPPERS = ("state_dict", "model_state_dict", "model", "network_weights", "network", "net", "weights")
"""Keys under which trainers keep a network's state_dict."""
_SHOWN = 8


def find_state_dict(content: Any, name: str) -> dict[str, torch.Tensor]:
    """The one state_dict in it: what is saved itself, or what stands under one of `WRAPPERS`, at any depth."""
    while inner := _wrapped(content):
        if len(inner) > 1:
            raise DataError(f"{name}: holds several networks ({', '.join(inner)}); save one state_dict alone")
        content = content[inner[0]]
    found = content if isinstance(content, Mapping) else {}
    tensors = {key: value for key, value in found.items() if isinstance(key, str) and isinstance(value, torch.Tensor)}
    if not tensors:
        raise DataError(f"{name}: holds no state_dict ({_described(content)}); looked for under {', '.join(WRAPPERS)}")
    if odd := [key for key, tensor in tensors.items() if not _is_plain(tensor)]:
        raise DataError(f"{name}: {odd[0]} is no plain tensor (quantised, sparse, nested or without values)")
    return tensors


def _wrapped(content: Any) -> list[str]:
    if not isinstance(content, Mapping):
        return []
    return [key for key in WRAPPERS if isinstance(content.get(key), Mapping) and content[key]]


def _is_plain(tensor: torch.Tensor) -> bool:
    dense = tensor.layout is torch.strided and not tensor.is_nested and not tensor.is_quantized
    return dense and tensor.device.type == "cpu"


def _described(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"it is of type {type(content).__name__}"
    keys = [str(key) for key in content]
    return f"its keys: {', '.join(keys[:_SHOWN])}{', ...' if len(keys) > _SHOWN else ''}" if keys else "it is empty"
