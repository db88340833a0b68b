"""What a volume must have before a model is used on it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING

from torchio_seg.errors import DataError, TorchioSegError, VolumeError
from torchio_seg.listings.brats_names import LABEL, NEW, OLD
from torchio_seg.transforms.preprocessing import find_grids
from torchio_seg.volumes.nifti import stem
from torchio_seg.workflows.seen import NONSENSE, Lengths, differences, is_far
from torchio_seg.workflows.trained_on import tell_of_training

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torchio_seg.records import Case
    from torchio_seg.volumes.scan import Image
    from torchio_seg.workflows.models import LoadedModel

LOWEST_CT, HIGHEST_AIR = -1100.0, -500.0
"""Hounsfield units: no body part is below the first; a CT that shows air goes below the second."""
MANY_BYTES = 8 * 2**30
"""Of a volume on the model's grid."""
KNOWN_NAMES = {**OLD, **NEW}
"""How files' names end that say which channel is in them."""


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Let every error say which volume it is about, once: those of single volumes do so of themselves."""
    try:
        yield
    except VolumeError:
        raise
    except TorchioSegError as error:
        if re.search(rf"(?<![\w/.-]){re.escape(str(path))}(?![\w/-])", str(error)):
            raise
        raise type(error)(f"{path}: {error}") from error


def inspect(model: LoadedModel, volume: Image, case: Case, *, implicit: bool) -> list[str]:
    """Refuse what the model can make nothing of; a sentence for each thing that is odd, or unlike its training."""
    card = model.card
    with about(volume.path):
        require_contrast(model, volume)
        if implicit:
            require_modality(model, volume)
        require_spacing(model, volume)
        found = list(differences(volume, card.seen, card.recipe, card.channels)) if card.seen is not None else []
        odd = (*tell_of_training(model, case), *otherwise_named(model, case), *huge(model, volume), *found)
    return [*zeroed(volume), *(f"{volume.path}: {sentence}" for sentence in odd)]


def zeroed(volume: Image) -> list[str]:
    """A sentence where voxels were not read as they are."""
    if not volume.num_zeroed:
        return []
    which = "1 voxel that is" if volume.num_zeroed == 1 else f"{volume.num_zeroed} voxels that are"
    return [f"{volume.path}: {which} NaN or infinite and read as 0"]


def require_spacing(model: LoadedModel, volume: Image) -> None:
    """Refuse a voxel size in another unit, which resampling would follow."""
    lengths, seen = Lengths.of(volume), model.card.seen
    told = " x ".join(f"{edge:.3g}" for edge in lengths.spacing_mm)
    if seen is not None and is_far(lengths.spacing_mm, seen.spacing_mm, NONSENSE):
        lowest, highest = min(seen.spacing_mm[0]), max(seen.spacing_mm[1])
        raise DataError(
            f"{volume.path}: its header says that voxels are {told} mm, the model was trained on {lowest:.3g} to "
            f"{highest:.3g} mm; the header may count in metres or micrometres, or be empty: correct it first"
        )


def huge(model: LoadedModel, volume: Image) -> list[str]:
    """A sentence where the model's grid has so many voxels that the header is to be doubted."""
    shape = find_grids(volume.shape, volume.affine, model.card.recipe).resampled_shape
    if (needed := 4 * volume.num_channels * prod(shape)) <= MANY_BYTES:
        return []
    spacing = " x ".join(f"{edge:.3g}" for edge in Lengths.of(volume).spacing_mm)
    voxels, size = " x ".join(map(str, shape)), f"{needed / 2**30:.0f} GiB"
    doubt = f"with voxels of {spacing} mm it has {voxels} on the model's grid, {size} in float32"
    return [f"{doubt}; if it is not that large, its header is wrong"]


def otherwise_named(model: LoadedModel, case: Case) -> list[str]:
    """What is odd where a file's name says that another channel is in it than the one it is given as."""
    if len(case.images) != len(model.card.channels):
        return []
    said = [_said_by_name(image) for image in case.images]
    pairs = zip(case.images, said, model.card.channels, strict=True)
    kinds = {kind.lower() for kind in KNOWN_NAMES.values()}
    return [
        f"{image.name} is given as {channel}, its name says {other}"
        for image, other, channel in pairs
        if other is not None and other.lower() != channel.lower() and (other == LABEL or channel.lower() in kinds)
    ]


def _said_by_name(image: Path) -> str | None:
    name = stem(image).lower()
    return next((KNOWN_NAMES[end] for end in KNOWN_NAMES if name.endswith((f"_{end}", f"-{end}"))), None)


def require_contrast(model: LoadedModel, volume: Image) -> None:
    """Refuse a volume of which a channel shows nothing."""
    for name, (lowest, highest) in zip(model.card.channels, volume.ranges, strict=True):
        if lowest == highest:
            raise DataError(f"{volume.path}: channel {name} is {lowest:g} everywhere; there is nothing to segment")


def require_modality(model: LoadedModel, volume: Image) -> None:
    """A model that the user did not name must at least be of the input's kind."""
    lowest = min(low for low, _ in volume.ranges)
    looks_like_ct = LOWEST_CT * 3 < lowest < HIGHEST_AIR
    if model.card.is_ct == looks_like_ct:
        return
    found = "looks like CT (there is air" if looks_like_ct else "does not look like CT (nothing is as dark as air"
    kind = "CT" if model.card.is_ct else ", ".join(model.card.channels)
    raise DataError(
        f"{volume.path} {found}: lowest value {lowest:g}). No model was named, and the newest, {model.folder}, was "
        f"trained on {kind}: name another with --model, or this one, if it is the right one all the same"
    )
