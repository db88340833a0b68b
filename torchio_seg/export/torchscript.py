"""TorchScript: a program for libtorch, the network as it was traced on a batch of patches."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from torchio_seg import checkpoint
from torchio_seg.errors import DataError
from torchio_seg.export.exportable import CARD, Exportable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torchio_seg.checkpoint import ModelCard
    from torchio_seg.export.exportable import Network

SUFFIX = ".ts"


def write(exportable: Exportable, path: Path, files: Mapping[str, str] | None = None) -> None:
    """The network with its card inside, and further texts by name."""
    inside = {CARD: checkpoint.card_text(exportable.card), **(files or {})}
    with _no_advice(), torch.no_grad():
        # what it was traced on is compared by the caller, with another number of patches too
        traced = torch.jit.trace(exportable.network, exportable.images, check_trace=False)
        torch.jit.save(traced, str(path), _extra_files=inside)


def read(path: Path) -> Network:
    """The network, by running the program; only for what this process wrote or the user trusts."""
    return _load(path)[0]


def read_with_card(path: Path) -> tuple[Network, ModelCard]:
    """The network and the card beside it; only for what the user trusts."""
    network, text = _load(path)
    if not text:
        raise DataError(f"{path}: no {CARD} in it, so how to use it is not known; export it with torchio-seg export")
    return network, checkpoint.parse_card(text, str(path))


def _load(path: Path) -> tuple[torch.jit.ScriptModule, str | bytes]:
    inside: dict[str, str | bytes] = {CARD: ""}
    try:
        with _no_advice():
            network = torch.jit.load(str(path), map_location="cpu", _extra_files=inside)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: cannot be read as TorchScript: {reason}") from error
    return network, inside[CARD]


@contextmanager
def _no_advice() -> Iterator[None]:
    """Neither that torch.jit is old, nor that shapes are held fast, which is what is meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        yield
