"""What predicting a volume takes of memory, reckoned from shapes before it begins, and how it is made to take less.

Every part of the reckoning is what the code allocates for it; only what a patch takes in the network is measured.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

import torch

from torchio_seg.memory import peak_bytes, reset_peak, resident_bytes
from torchio_seg.predictor.grid import on_device
from torchio_seg.predictor.native import Predictor, Storage
from torchio_seg.predictor.own_grid import KEPT_BYTES, LABELS_KEPT_BYTES
from torchio_seg.predictor.skipping import Skipping
from torchio_seg.predictor.streaming import CPU, PLANES
from torchio_seg.transforms.prepared import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torchio_seg.predictor.patch_grid import PatchGrid
    from torchio_seg.transforms.preprocessing import Grids

_FLOAT = 4
_SLACK = 128 * 2**20
"""For what is not reckoned: buffers of files, and pieces up to 32 MiB that the allocator holds back."""


@dataclass(frozen=True)
class PatchCost:
    """What one patch takes while a network answers for it, images and logits included; measured."""

    num_channels: int
    """Of the logits."""
    ram: int
    vram: int = 0


@dataclass(frozen=True)
class Image:
    """A volume that is to be predicted."""

    channels: int
    grids: Grids
    held: int
    """Bytes that the process has in memory before it begins, the volume included."""
    is_laid_out: bool
    """Whether it is float32 and turned already, so that no copy is made for that."""


@dataclass(frozen=True)
class Need:
    """Bytes, by what they are for."""

    parts: tuple[tuple[str, int], ...]
    vram: int = 0

    @property
    def ram(self) -> int:
        return sum(size for _, size in self.parts)


def measure_patch(predictor: Predictor, channels: int) -> PatchCost:
    """Ask the network about one patch of nothing."""
    images = torch.zeros(1, channels, *predictor.window.patch_size)
    on_gpu = predictor.device.type == "cuda"
    asked = predictor.network.network if isinstance(predictor.network, Skipping) else predictor.network
    if isinstance(asked, torch.nn.Module):
        asked.eval()  # or a patch of nothing would change running statistics, and what is learnt after it
    network = on_device(asked, predictor.device, predictor.precision)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(predictor.device)
    gpu_before = torch.cuda.memory_allocated(predictor.device) if on_gpu else 0
    reset_peak()
    before = resident_bytes(os.getpid())
    num_channels = network(images).shape[1]
    ram = max(0, peak_bytes() - before) + images.nbytes
    vram = torch.cuda.max_memory_allocated(predictor.device) - gpu_before if on_gpu else 0
    logits = _FLOAT * num_channels * prod(predictor.window.patch_size)
    least = images.nbytes + logits
    return PatchCost(num_channels, least if on_gpu else max(ram, least), max(vram, least) if on_gpu else 0)


def reckon(members: Sequence[Predictor], costs: Sequence[PatchCost], image: Image, *, kept: bool) -> Need:
    """What these predictors take for an image; `kept`: with probabilities."""
    grid = members[0].window.grid(image.grids.model_shape)
    channels = costs[0].num_channels
    voxels, own_voxels = prod(image.grids.model_shape), prod(image.grids.turned_shape)
    volume = _FLOAT * image.channels * voxels
    copied = 0 if image.is_laid_out else _FLOAT * image.channels * own_voxels
    is_changed = image.grids.model_shape != image.grids.turned_shape
    is_long = _FLOAT * image.channels * prod(grid.shape) > members[0].held_bytes
    label_map = own_voxels * (1 if max(r.value for r in members[0].labels.regions) <= 255 else 4)
    sums = [_sums(member, grid, channels) for member in members]
    patches = max(cost.ram * member.window.batch_size for member, cost in zip(members, costs, strict=True))
    patches += _waiting_answers(members, costs)
    parts = {
        "held": image.held,
        "volume": len(members) * _window(grid, image.channels) if is_long else volume if is_changed else copied,
        "sums": sum(ram for ram, _ in sums),
        "patches": patches,
        "strips": _strips(grid, image.grids, channels, len(members)),
        "label map": label_map if label_map <= members[0].held_bytes else 2 * LABELS_KEPT_BYTES,
        "probabilities": _probabilities(members[0], channels, own_voxels) if kept else 0,
        "uncertainty": _FLOAT * own_voxels if members[0].measure is not None else 0,
        "slack": _SLACK,
    }
    before_patches = (copied if is_changed else 0) + _FLOAT * voxels  # one channel is copied to be measured
    missing = before_patches - sum(parts[name] for name in ("sums", "patches", "strips", "label map", "probabilities"))
    if missing > 0 and not is_long:
        parts["preparation"] = missing
    vram = sum(own for _, own in sums) + max(
        cost.vram * member.window.batch_size for member, cost in zip(members, costs, strict=True)
    )
    return Need(tuple(parts.items()), vram)


def _window(grid: PatchGrid, channels: int) -> int:
    """Bytes of the planes that patches are cut from, while what is kept of them is moved, and of those on the way."""
    planes = grid.shape[grid.axis]
    length = grid.patch_size[grid.axis]
    per_plane = _FLOAT * channels * prod(grid.shape) // planes
    return per_plane * (length + max(grid.carried)) + 6 * CHUNK_BYTES


def _waiting_answers(members: Sequence[Predictor], costs: Sequence[PatchCost]) -> int:
    """The logits that each member but the one at work holds."""
    answers = [
        _FLOAT * cost.num_channels * prod(member.window.patch_size) * member.window.batch_size
        for member, cost in zip(members, costs, strict=True)
    ]
    return sum(answers) - max(answers)


def _sums(member: Predictor, grid: PatchGrid, channels: int) -> tuple[int, int]:
    """Bytes of a member's sums in main memory and on its GPU."""
    bar, waiting = (_FLOAT * channels * prod(shape) for shape in (grid.bar_shape, grid.waiting_shape))
    if member.storage.sums.type != "cpu":
        return 0, bar + waiting
    if member.storage.sums_in_file and grid.has_bars:  # as much of it as a bar reads or writes is in memory
        rows = grid.axes[1]
        waiting = waiting * grid.patch_size[rows] // grid.shape[rows]
    return bar + waiting, 0


def _probabilities(member: Predictor, channels: int, voxels: int) -> int:
    size = _FLOAT * channels * voxels
    return min(size, KEPT_BYTES * 5 // 4) if member.storage.probabilities_in_file else size


def _strips(grid: PatchGrid, grids: Grids, channels: int, num_members: int) -> int:
    """Bytes of what is finished and under way to the label map: some planes of a bar, a few strips, the last plane."""
    planes, rows, along = grid.axes
    finished = PLANES * max(end - row for row, end in grid.bars) * grid.shape[along]
    strip = max(
        max(end - row for row, end in grid.bars) * grid.shape[along],
        prod(grids.turned_shape) // grids.turned_shape[planes] if grids.turned_shape != grids.model_shape else 0,
    )
    copies = 2 if planes == 2 else 1
    last = grids.turned_shape[rows] * grids.turned_shape[along] if grids.turned_shape != grids.model_shape else 0
    return _FLOAT * channels * (num_members * (copies * finished + 2 * strip) + 3 * strip + last)


def ladder(members: Sequence[Predictor], *, kept: bool) -> Iterator[tuple[Predictor, ...]]:
    """Ways to predict the same, those first that take more memory and less time."""
    most = max(member.window.batch_size for member in members)
    sizes = [most >> power for power in range(most.bit_length())]
    places = [members[0].device, CPU] if members[0].device.type == "cuda" else [CPU]
    for probabilities_in_file in (False, True)[: 1 + kept]:
        for size in sizes:
            for place in places:
                yield _with(members, size, Storage(place, probabilities_in_file=probabilities_in_file))
        for size in sizes:
            yield _with(members, size, Storage(CPU, True, probabilities_in_file))


def roomiest(
    members: Sequence[Predictor], costs: Sequence[PatchCost], image: Image, vram: int
) -> tuple[Predictor, ...]:
    """The first way for which the GPU has room; where there is none, the one that takes least of it."""
    ways = [(way, reckon(way, costs, image, kept=False).vram) for way in ladder(members, kept=False)]
    return next((way for way, need in ways if need <= vram), min(ways, key=lambda each: each[1])[0])


def _with(members: Sequence[Predictor], batch_size: int, storage: Storage) -> tuple[Predictor, ...]:
    return tuple(
        replace(
            member,
            window=replace(member.window, batch_size=min(batch_size, member.window.batch_size)),
            storage=storage,
        )
        for member in members
    )
