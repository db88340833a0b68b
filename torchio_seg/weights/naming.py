"""Which given tensor belongs to which of a network's: by name, after the prefixes that wrappers add."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

import torch

from torchio_seg.errors import DataError

PREFIXES = ("module.", "_orig_mod.", "network.", "model.", "net.", "backbone.")
"""What DataParallel, torch.compile and trainers that hold the network in an attribute put before its names."""

AGAIN = re.compile(r"(^|\.)all_modules\.|^decoder\.encoder\.")
"""Second names of tensors that nnU-Net holds twice."""

UNUSED = re.compile(
    r"(^|\.)norm_cross_attn\."  # of MONAI's transformer block, called with cross-attention alone
    r"|^vit\.patch_embedding\.cls_token$"  # of earlier MONAI's, never called
    r"|^(encoder|decoder)\d+\.(layer|conv_block|blocks\.\d+\.1)\.(conv|norm)3\."  # of MONAI until 0.7 where a block
    # changes neither size nor channels, and so never called (research-contributions, issue 170)
    r"|^decoder\.seg_layers\.|^heads\."  # of levels that are not supervised here
)
"""Tensors without which a network gives the same logits."""

Tensors = Mapping[str, torch.Tensor]


def strip(tensors: Tensors, expected: Collection[str], name: str) -> tuple[Tensors, tuple[str, ...]]:
    """The tensors without those prefixes that hide the most expected names, and what lies outside of the prefixes."""
    candidates = list(_candidates(tensors, ()))
    agreement = [sum(key in expected for key in inside) for inside, _ in candidates]
    best = [candidate for candidate, count in zip(candidates, agreement, strict=True) if count == max(agreement)]
    if max(agreement) == 0:
        return tensors, ()
    if len(best) > 1:
        raise DataError(f"{name}: holds several networks that fit, under different prefixes; save one state_dict alone")
    return best[0]


def _candidates(tensors: Tensors, outside: tuple[str, ...]) -> Iterator[tuple[Tensors, tuple[str, ...]]]:
    """The tensors as they are, and without each prefix that some of them have."""
    yield tensors, outside
    for prefix in PREFIXES:
        inside = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
        if inside:
            yield from _candidates(inside, (*outside, *(key for key in tensors if not key.startswith(prefix))))
