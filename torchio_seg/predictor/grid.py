"""A network over a whole volume, patch by patch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
import torchio as tio

from torchio_seg.devices import autocast
from torchio_seg.predictor.blending import Aggregator, Blending
from torchio_seg.progress import Progress, Silent
from torchio_seg.subjects import IMAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.utils.data import Dataset

    Network = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Window:
    """How a volume is taken apart and put together."""

    patch_size: tuple[int, int, int]
    overlap: float
    """Share of a patch that its neighbours cover too."""
    batch_size: int
    blending: Blending

    @property
    def overlap_voxels(self) -> tuple[int, int, int]:
        """Even, as `tio.GridSampler` asks."""
        i, j, k = (2 * int(size * self.overlap / 2) for size in self.patch_size)
        return i, j, k


def predict_logits(
    network: Network,
    volume: torch.Tensor,
    window: Window,
    *,
    device: torch.device,
    precision: str,
    progress: Progress | None = None,
) -> torch.Tensor:
    """The network's logits C I J K, float32, for a normalised volume C I J K no shorter than a patch on any axis."""
    progress = progress or Silent()
    sampler = tio.GridSampler(
        tio.Subject(image=tio.ScalarImage(tensor=volume)), window.patch_size, window.overlap_voxels
    )
    aggregator = Aggregator(volume.shape[1:], window.patch_size, window.overlap_voxels, window.blending)
    progress.start("patches", len(sampler))
    try:
        with torch.inference_mode(), autocast(device, precision):
            loader = tio.SubjectsLoader(cast("Dataset[tio.Subject]", sampler), batch_size=window.batch_size)
            for batch in loader:
                logits = network(batch[IMAGE][tio.DATA].to(device))
                aggregator.add_batch(logits, batch[tio.LOCATION])
                progress.advance(len(logits))
    finally:
        progress.finish()
    return aggregator.get_output_tensor()
