"""Names that tensors had in earlier MONAI and in code built on it, and those that they have now."""

from __future__ import annotations

import re
from collections.abc import Collection

from torchio_seg.weights.naming import UNUSED, Tensors

_RULES = (
    (re.compile(r"(^|\.)swin_vit\."), r"\1swinViT."),  # research-contributions, pull request 89
    (re.compile(r"\.mlp\.fc([12])\."), r".mlp.linear\1."),  # SwinUNETR.load_from
    (re.compile(r"^transformer\."), "vit."),  # research-contributions, UNETR.load_from; so are the next two
    (re.compile(r"^vit\.patch_embeddings\."), "vit.patch_embedding.patch_embeddings."),
    (re.compile(r"\.(position|patch)_embeddings_3d(\.|$)"), r".\1_embeddings\2"),
    (re.compile(r"\.norm\.(?=\w+$)"), r".adn.N."),  # MONAI issue 1410; so are the next two
    (re.compile(r"\.act\.(?=\w+$)"), r".adn.A."),
    (re.compile(r"(?<!\.adn)\.([NA])\.(?=\w+$)"), r".adn.\1."),
)
"""What a name held, and what stands there now; each with where the renaming is told."""


def rename(tensors: Tensors, expected: Collection[str]) -> tuple[Tensors, dict[str, str]]:
    """The tensors under present names, and which names were earlier ones.

    A name is changed only where nobody expects it as it is, somebody expects the new one (or has no use for it), and no
    tensor has that yet.
    """
    changed: dict[str, str] = {}
    for old in tensors:
        if old in expected:
            continue
        known = [new for new in _later(old) if new in expected or UNUSED.search(new)]
        if len(known) == 1 and known[0] not in tensors and known[0] not in changed.values():
            changed[old] = known[0]
    return {changed.get(name, name): tensor for name, tensor in tensors.items()}, changed


def _later(name: str) -> set[str]:
    """What it may be called now, by any of the rules together."""
    names = {name}
    for pattern, replacement in _RULES:
        names |= {pattern.sub(replacement, each) for each in names}
    return names - {name}
