"""What predicting a volume takes of memory, reckoned from shapes before it begins, and how it is made to take less.

Every part of the reckoning bounds what the code allocates for it; only what a patch takes in the network is measured.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

import torch

from torchio_seg.memory import peak_bytes, reset_peak, resident_bytes
from torchio_seg.postprocessing import mending_bytes
from torchio_seg.predictor import reckoning
from torchio_seg.predictor.predictor import Predictor, Storage, find_ways
from torchio_seg.predictor.reckoning import FLOAT, Image, Part, PatchCost
from torchio_seg.predictor.skipping import without_skipping
from torchio_seg.predictor.streaming import CPU
from torchio_seg.predictor.window import on_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SLACK = 128 * 2**20
"""For what is not reckoned: buffers of files, and pieces up to 32 MiB that the allocator holds back."""


@dataclass(frozen=True)
class Wanted:
    """What is made of a prediction."""

    probabilities: bool = False
    mended: bool = False
    """Pieces are dropped or holes filled, for which the whole label map is looked at."""
    beside: int = 0
    """Bytes that other work of the process may take meanwhile, as reading the next volume."""


@dataclass(frozen=True)
class Need:
    """Bytes, by what they are for."""

    parts: tuple[tuple[str, int], ...]
    """Of the moment at which most is taken."""
    vram_parts: tuple[tuple[str, int], ...] = ()

    @property
    def ram(self) -> int:
        return sum(size for _, size in self.parts)

    @property
    def vram(self) -> int:
        return sum(size for _, size in self.vram_parts)


def measure_patch(predictor: Predictor, channels: int) -> PatchCost:
    """Ask the network about one patch of nothing."""
    images = torch.zeros(1, channels, *predictor.window.patch_size)
    on_gpu = predictor.device.type == "cuda"
    asked = without_skipping(predictor.network)
    if isinstance(asked, torch.nn.Module):
        asked.eval()  # or a patch of nothing would change running statistics, and what is learnt after it
    network = on_device(asked, predictor.device, predictor.precision, predictor.num_channels)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(predictor.device)
    gpu_before = torch.cuda.memory_allocated(predictor.device) if on_gpu else 0
    reset_peak()
    before = resident_bytes(os.getpid())
    num_channels = network(images).shape[1]
    ram = max(0, peak_bytes() - before) + images.nbytes
    vram = torch.cuda.max_memory_allocated(predictor.device) - gpu_before if on_gpu else 0
    logits = FLOAT * num_channels * prod(predictor.window.patch_size)
    least = images.nbytes + logits
    return PatchCost(num_channels, least if on_gpu else max(ram, least), max(vram, least) if on_gpu else 0)


def reckon(members: Sequence[Predictor], costs: Sequence[PatchCost], image: Image, wanted: Wanted) -> Need:
    """What these predictors take for an image, at the moment that takes most."""
    ways = find_ways(members, image.shape, image.affine)
    parts = [Part(*each) for each in zip(members, costs, ways, strict=True)]
    held, preparing = reckoning.volumes(parts, image)
    outputs = reckoning.outputs(parts, image, kept=wanted.probabilities)
    moments: list[dict[str, int]] = [
        {"preparation": preparing},
        {"volume": held, **_working(parts, image), **outputs},
        {**outputs, "post-processing": mending_bytes(prod(image.shape)) if wanted.mended else 0},
        {**outputs, "writing": reckoning.writing(members[0], image, kept=wanted.probabilities)},
    ]
    most = max(moments, key=lambda moment: sum(moment.values()))
    always = {"held": image.held, "other volumes": wanted.beside, "slack": SLACK}
    return Need(tuple((always | most).items()), tuple(_working_on_gpu(parts, image).items()))


def _working(parts: Sequence[Part], image: Image) -> dict[str, int]:
    """Bytes of main memory while patches come, beside the volume and what is made of it."""
    here = [part for part in parts if part.member.storage.sums.type == "cpu"]
    batches = max(
        part.cost.ram * part.member.window.batch_size + reckoning.images(part, image.channels) for part in parts
    )
    found = {"patches": batches}
    if parts[0].member.device.type != "cuda":
        found["kept logits"] = reckoning.kept_logits(parts)
    if not here:
        return found | {"strips": 2 * reckoning.longest_strip(parts)}
    answers = reckoning.waiting_answers(parts)
    return found | {"sums": sum(map(reckoning.sums, parts)), "strips": reckoning.strips(parts), "answers": answers}


def _working_on_gpu(parts: Sequence[Part], image: Image) -> dict[str, int]:
    """Bytes of the GPU's memory, if it computes."""
    if parts[0].member.device.type != "cuda":
        return {}
    found = {
        "held": image.held_vram,
        "patches": max(part.cost.vram * part.member.window.batch_size for part in parts),
        "kept logits": reckoning.kept_logits(parts),
    }
    if parts[0].member.storage.sums.type == "cpu":
        return found
    answers = reckoning.waiting_answers(parts)
    return found | {"sums": sum(map(reckoning.sums, parts)), "strips": reckoning.strips(parts), "answers": answers}


def ladder(members: Sequence[Predictor]) -> Iterator[tuple[Predictor, ...]]:
    """Ways to predict the same, those first that take more memory and less time."""
    most = max(member.window.batch_size for member in members)
    sizes = [most >> power for power in range(most.bit_length())]
    places = [members[0].device, CPU] if members[0].device.type == "cuda" else [CPU]
    for size in sizes:
        for place in places:
            yield _with(members, size, Storage(place))
    for size in sizes:
        yield _with(members, size, Storage(CPU, sums_in_file=True))


def roomiest(
    members: Sequence[Predictor], costs: Sequence[PatchCost], image: Image, vram: int
) -> tuple[Predictor, ...]:
    """The first way for which the GPU has room; where there is none, the one that takes least of it."""
    ways = [(way, reckon(way, costs, image, Wanted()).vram) for way in ladder(members)]
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
