"""torch.export: the network's graph as PyTorch's own tools take it, to compile or to lower."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

from torchio_seg import checkpoint
from torchio_seg.export.exportable import CARD, Exportable

if TYPE_CHECKING:
    from pathlib import Path

    from torchio_seg.export.exportable import Network

SUFFIX = ".pt2"


def write(exportable: Exportable, path: Path) -> None:
    """The network with its card inside."""
    torch.export.save(graph(exportable), path, extra_files={CARD: checkpoint.card_text(exportable.card)})


def read(path: Path) -> Network:
    """The network; only for what this process wrote."""
    network: Network = torch.export.load(path).module()
    return network


def graph(exportable: Exportable) -> torch.export.ExportedProgram:
    """The network's graph, in which the number of patches is left open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's, of itself
        warnings.simplefilter("ignore", FutureWarning)
        return torch.export.export(
            exportable.network, (exportable.images,), dynamic_shapes=({0: torch.export.Dim("batch")},)
        )
