"""Which patch sizes a network takes: it says so in attributes, which are read, checked and met here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

from torchio_seg.errors import ConfigError

Size = tuple[int, int, int]
Network = TypeVar("Network")


@dataclass(frozen=True)
class Sizes:
    """What a network asks of its patches, in voxels; each field is an attribute that the network may have."""

    multiple_of: Size = (1, 1, 1)
    """Each side is a multiple of this."""
    fixed_size: Size | None = None
    """The only size there is, or None."""
    min_cells: int = 1
    """Voxels at the coarsest level, where each covers `multiple_of` ones: normalisation over one alone fails."""


def declare(network: Network, sizes: Sizes) -> Network:
    """The network, which now says what sizes it takes."""
    for field in fields(sizes):
        setattr(network, field.name, getattr(sizes, field.name))
    return network


def sizes_of(network: object) -> Sizes:
    """What a network says about sizes; one that says nothing takes all."""
    multiple_of = _size_attribute(network, "multiple_of")
    return Sizes(
        Sizes.multiple_of if multiple_of is None else multiple_of,
        _size_attribute(network, "fixed_size"),
        getattr(network, "min_cells", Sizes.min_cells),
    )


def check_patch_size(patch_size: Size, sizes: Sizes, name: str, *, setting: str = "sampling.patch_size") -> None:
    """Raise an error that names a size that would work, unless the given one does."""
    if sizes.fixed_size is not None and patch_size != sizes.fixed_size:
        reason = "which takes one size only"
    elif any(side < 1 or side % multiple for side, multiple in zip(patch_size, sizes.multiple_of, strict=True)):
        sides = set(sizes.multiple_of)
        multiple = str(sides.pop()) if len(sides) == 1 else f"{_words(sizes.multiple_of)}, axis by axis"
        reason = f"each side must be a multiple of {multiple}"
    elif _num_cells(patch_size, sizes) < sizes.min_cells:
        reason = f"{sizes.min_cells} voxels must be left at its coarsest level, not {_num_cells(patch_size, sizes)}"
    else:
        return
    raise ConfigError(
        f"{setting} {_words(patch_size)} does not fit {name}; {reason}: use {_words(_nearest(patch_size, sizes))}"
    )


def fit(size: Size, sizes: Sizes) -> Size:
    """The smallest admissible size that covers the given one; the only size where it is fixed."""
    if sizes.fixed_size is not None:
        return sizes.fixed_size
    sides = [
        max(1, math.ceil(side / multiple)) * multiple for side, multiple in zip(size, sizes.multiple_of, strict=True)
    ]
    while _num_cells(sides, sizes) < sizes.min_cells:
        axis = min(range(3), key=lambda axis: sizes.multiple_of[axis] / sides[axis])  # adds the fewest voxels
        sides[axis] += sizes.multiple_of[axis]
    return (sides[0], sides[1], sides[2])


def _nearest(size: Size, sizes: Sizes) -> Size:
    rounded = [
        (side + multiple // 2) // multiple * multiple for side, multiple in zip(size, sizes.multiple_of, strict=True)
    ]
    return fit((rounded[0], rounded[1], rounded[2]), sizes)


def _num_cells(size: Sequence[int], sizes: Sizes) -> int:
    return math.prod(side // multiple for side, multiple in zip(size, sizes.multiple_of, strict=True))


def _size_attribute(network: object, name: str) -> Size | None:
    value = getattr(network, name, None)
    if value is None:
        return None
    if (
        not isinstance(value, Sequence)
        or len(value) != 3
        or not all(isinstance(side, int) and side > 0 for side in value)
    ):
        raise ConfigError(
            f"{type(network).__name__}.{name} is {value!r}; it must be three whole numbers above 0, as (16, 16, 16)"
        )
    return (value[0], value[1], value[2])


def _words(size: Sequence[int]) -> str:
    return " x ".join(str(side) for side in size)
