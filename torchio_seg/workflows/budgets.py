"""How a volume is predicted within budgets of memory, decided before it begins."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from torchio_seg import machine
from torchio_seg.errors import DataError
from torchio_seg.machine import in_units
from torchio_seg.memory import resident_bytes
from torchio_seg.predictor import reckoning
from torchio_seg.predictor.budget import Need, Wanted, ladder, measure_patch, reckon, roomiest
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.predictor.reckoning import Image
from torchio_seg.volumes.geometry import Orientation
from torchio_seg.volumes.source import InMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torchio_seg.predictor.ensemble import Ensemble
    from torchio_seg.predictor.reckoning import PatchCost
    from torchio_seg.volumes.nifti import Volume
    from torchio_seg.volumes.scan import Scan

log = logging.getLogger(__name__)

_SHARE = 0.95
"""Of what is free, which nobody promised; a budget that was named is used whole."""

PROGRAM = ("held", "slack")
"""The parts of a need that the program takes whatever the patches are."""


@dataclass(frozen=True)
class Budgets:
    """The most bytes that the process may have in memory, and on its GPU; None: what is free."""

    ram: int | None = None
    vram: int | None = None
    num_local: int = 1
    """How many processes of this machine divide what is free of its memory."""

    @property
    def free(self) -> int:
        """Bytes of memory that nobody has, this process's part of them."""
        return machine.free_memory() // self.num_local


class Fitting:
    """A predictor whose batches and sums are fitted to each volume."""

    def __init__(self, predictor: Predictor | Ensemble, num_channels: int, budgets: Budgets) -> None:
        self._predictor = predictor
        self._members = (predictor,) if isinstance(predictor, Predictor) else predictor.members
        self._num_channels = num_channels
        self._budgets = budgets
        self._told = ""

    def predictor_for(self, volume: Scan, *, probabilities: bool, beside: int = 0) -> Predictor | Ensemble:
        """What predicts this volume within the budgets, which is said; a volume that nothing fits is refused.

        `beside`: bytes that other work may take meanwhile.
        """
        ram, vram = self._ram, self._vram
        tried: list[Need] = []
        for members, need in self._needs(volume, probabilities=probabilities, beside=beside):
            tried.append(need)
            if need.ram <= ram and need.vram <= vram:
                if (how := _how(members)) != self._told:  # once, not for every volume of a folder
                    log.info("%s: %s", volume.path.name, f"{_amounts(need, ram, vram)}: {how}")
                    self._told = how
                return _replaced(self._predictor, members)
        raise DataError(_refusal(volume, tried, ram, vram, is_given=self._budgets.ram is not None))

    def has_room_beside(self, volume: Scan, num_bytes: int, *, probabilities: bool) -> bool:
        """Whether the way that this volume is predicted leaves so many bytes for other work."""
        ram, vram = self._ram, self._vram
        needs = (need for _, need in self._needs(volume, probabilities=probabilities))
        chosen = next((need for need in needs if need.ram <= ram and need.vram <= vram), None)
        return chosen is not None and chosen.ram + num_bytes <= ram

    def writing_bytes(self, volume: Scan, *, probabilities: bool) -> int:
        """What it takes, beside the prediction of this volume, to write it."""
        return reckoning.writing(self._members[0], self._image(volume), kept=probabilities)

    def _needs(
        self, volume: Scan, *, probabilities: bool, beside: int = 0
    ) -> Iterator[tuple[tuple[Predictor, ...], Need]]:
        """Each way to predict it, and what that takes."""
        steps = () if isinstance(self._predictor, Predictor) else self._predictor.steps
        wanted, image = Wanted(probabilities, bool(steps), beside), self._image(volume)
        return ((members, reckon(members, self._costs, image, wanted)) for members in ladder(self._members))

    def placed_for(self, volume: Volume) -> tuple[Predictor, ...]:
        """The predictors with sums and batches as the GPU's free memory has room for them; on a CPU as they are.

        Nothing is refused or said, as in the middle of a training: should memory run out, they go on with less.
        """
        if self._members[0].device.type != "cuda":
            return self._members
        held = torch.cuda.memory_allocated(self._members[0].device)
        image = Image(volume.num_channels, volume.shape, volume.affine, held=0, held_vram=held)
        return roomiest(self._members, self._costs, image, self._vram)

    @cached_property
    def _costs(self) -> list[PatchCost]:
        return [measure_patch(member, self._num_channels) for member in self._members]

    @property
    def _ram(self) -> int:
        return self._budgets.ram or int(_SHARE * self._budgets.free) + resident_bytes(os.getpid())

    @property
    def _vram(self) -> int:
        device = self._members[0].device
        if device.type != "cuda":
            return 2**63
        held = torch.cuda.memory_allocated(device)
        kept = torch.cuda.memory_reserved(device) - held  # by torch, for its next use
        return self._budgets.vram or int(_SHARE * (torch.cuda.mem_get_info(device)[0] + kept)) + held

    def _image(self, volume: Scan) -> Image:
        _ = self._costs  # so that what its first use loads is among what is held
        device = self._members[0].device
        return Image(
            volume.num_channels,
            volume.shape,
            volume.affine,
            resident_bytes(os.getpid()),
            torch.cuda.memory_allocated(device) if device.type == "cuda" else 0,
            isinstance(volume.source, InMemory),
            _is_laid_out(volume),
        )


def _is_laid_out(scan: Scan) -> bool:
    """Whether its voxels are in memory as the network's are to be."""
    if not isinstance(scan.source, InMemory):
        return False
    turned = Orientation.to_ras(scan.affine).view(scan.source.array)
    return turned.dtype == np.float32 and turned.flags.c_contiguous


def _replaced(predictor: Predictor | Ensemble, members: tuple[Predictor, ...]) -> Predictor | Ensemble:
    return members[0] if isinstance(predictor, Predictor) else replace(predictor, members=members)


def _amounts(need: Need, ram: int, vram: int) -> str:
    gpu = f" and {in_units(need.vram)} of {in_units(vram)} on the GPU" if need.vram else ""
    return f"takes up to {in_units(need.ram)} of {in_units(ram)} of memory{gpu}"


def _how(members: tuple[Predictor, ...]) -> str:
    first = members[0]
    storage = first.storage
    where = "in a file" if storage.sums_in_file else "on the GPU" if storage.sums.type != "cpu" else "in memory"
    batch = first.window.batch_size
    patches = "single patches" if batch == 1 else f"batches of {batch} patches"
    return f"{patches}, sums {where}"


def _refusal(volume: Scan, tried: list[Need], ram: int, vram: int, *, is_given: bool) -> str:
    """What the way would need that comes nearest to the budgets."""
    if fitting := [need for need in tried if need.vram <= vram]:
        least = min(fitting, key=lambda need: need.ram)
        shape = " x ".join(map(str, volume.shape))
        cure = _cure(least, ram, is_given=is_given)
        return (
            f"{volume.path}: to predict its {shape} voxels takes {in_units(least.ram)} of memory even with single "
            f"patches and sums in a file ({_largest(least.parts)}), and {in_units(ram)} may be used; {cure}"
        )
    smallest = min(tried, key=lambda need: need.vram)
    return (
        f"{volume.path}: single patches take {in_units(smallest.vram)} on the GPU ({_largest(smallest.vram_parts)}), "
        f"and {in_units(vram)} may be used; raise --vram-budget, choose a smaller --patch-size, or use --device cpu"
    )


def _cure(least: Need, ram: int, *, is_given: bool) -> str:
    """What helps: where the program alone takes more than there is, no smaller patch does."""
    whole = f"give --ram-budget {in_units(1.05 * least.ram).replace(' ', '')}" if is_given else "free some memory"
    program = sum(size for name, size in least.parts if name in PROGRAM)
    if program >= ram:
        return f"the program alone takes {in_units(program)} of it, so {whole}"
    return f"{whole}, or choose a smaller --patch-size or --overlap"


def _largest(parts: tuple[tuple[str, int], ...]) -> str:
    return ", ".join(f"{name} {in_units(size)}" for name, size in sorted(parts, key=lambda part: -part[1])[:4] if size)
