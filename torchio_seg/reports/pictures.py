"""Rows of the tables that trackers show: axial slices of cases, with truth and prediction to switch on and off."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from torchio_seg.metrics import region_mask
from torchio_seg.reports.slices import as_seen, middle_of_largest, to_grey
from torchio_seg.tracking.interface import Overlay, Picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from torchio_seg.reports.slices import Window
    from torchio_seg.tracking.interface import Cell, Slices
    from torchio_seg.volumes.source import Source

    Array = NDArray[Any]

COMPARISON_COLUMNS = ("Case", "Slice Index", "Ground Truth", "Prediction", "Dice")
_PLACE = ("Split", "Data Index", "Slice Index")
_TRUE, _PREDICTED = 1, 2
NEARLY = 0.75
"""Share of a region's largest area at which it counts as shown."""


@dataclass(frozen=True)
class Drawn:
    """A case whose axes are right, front, up."""

    case: str
    place: tuple[str, int]
    """Its part of the data, and its number in it."""
    image: Source
    """C I J K, of which no more than a slice is read at a time."""
    windows: Sequence[Window]
    label_map: Array | None
    """I J K; None where nobody knows the truth."""
    regions: Mapping[str, tuple[int, ...]]
    """The labels of each."""
    predicted: Array | None = None
    """The same as predicted."""
    dice: Mapping[str, float | None] = field(default_factory=dict)

    def telling_slices(self, wanted: Slices) -> list[int]:
        """Those that show each region large, and others spread over what they reach in truth and prediction."""
        if wanted == "all":
            return list(range(self.image.shape[3]))
        shares = self._shares
        chosen = _showing_all(shares, wanted)
        occupied = np.flatnonzero(shares.any(axis=0)) if shares.any() else np.arange(shares.shape[1])
        others = np.setdiff1d(occupied, chosen)
        if (more := wanted - len(chosen)) and len(others):
            chosen += others[np.linspace(0, len(others) - 1, more + 2).round().astype(int)[1:-1]].tolist()
        return sorted(set(chosen))

    @cached_property
    def _shares(self) -> Array:
        """Of each region's largest area in each slice: in truth, then half of that in prediction.

        Apart, so that a prediction of nearly everything does not hide where the truth is.
        """
        return np.concatenate([_of_largest(self._areas(self.label_map)), _of_largest(self._predicted_areas) / 2])

    def _areas(self, label_map: Array | None) -> Array:
        """The voxels of each region in each slice, of one region at a time; of no region where there is no map."""
        if label_map is None:
            return np.empty((0, self.image.shape[3]), np.intp)
        masks = (region_mask(label_map, labels) for labels in self.regions.values())
        return np.stack([np.count_nonzero(mask, axis=(0, 1)) for mask in masks])

    @property
    def predicted_voxels(self) -> list[int]:
        """Of each region."""
        return [int(areas.sum()) for areas in self._predicted_areas]

    @cached_property
    def _predicted_areas(self) -> Array:
        return self._areas(self.predicted)

    def true(self, index: int) -> dict[str, Array]:
        """The mask of each region in a slice."""
        return self._masks(self.label_map, index)

    def guessed(self, index: int) -> dict[str, Array]:
        """The same of what was predicted."""
        return self._masks(self.predicted, index)

    def _masks(self, label_map: Array | None, index: int) -> dict[str, Array]:
        if label_map is None:
            return {}
        return {name: region_mask(label_map[:, :, index], labels) for name, labels in self.regions.items()}

    def pixels(self, index: int) -> list[Array]:
        """A slice of each channel in 256 greys."""
        slices = self.image.read(2, index, index + 1)[..., 0]
        greys = (to_grey(*pair) for pair in zip(slices, self.windows, strict=True))
        return [as_seen(np.rint(grey * 255).astype(np.uint8)) for grey in greys]


def _of_largest(areas: Array) -> Array:
    """Areas in slices, as shares of the largest of their row."""
    shares: Array = areas / np.maximum(areas.max(axis=1, keepdims=True), 1)
    return shares


def _showing_all(shares: Array, most: int) -> list[int]:
    """At least one slice, then those that add most, until each region is shown at nearly its largest."""
    shown = np.zeros(len(shares))
    chosen: list[int] = []
    while len(chosen) < most:
        gains = np.maximum(shares - shown[:, None], 0)
        if chosen and gains.max(initial=0) <= 1 - NEARLY:
            break
        chosen.append(middle_of_largest(gains.sum(axis=0)))
        shown = np.maximum(shown, shares[:, chosen[-1]])
    return chosen


def data_columns(num_channels: int) -> tuple[str, ...]:
    """One picture a channel, with every region's truth over it."""
    return (*_PLACE, *(f"Image-Channel-{channel}" for channel in range(num_channels)), "Case")


def data_rows(drawn: Drawn, slices: Slices) -> Iterator[tuple[Cell, ...]]:
    """The rows of a case before training."""
    for index in drawn.telling_slices(slices):
        overlays = _overlays("ground-truth", drawn.true(index))
        pictures = (Picture(pixels, overlays) for pixels in drawn.pixels(index))
        yield (*drawn.place, index, *pictures, drawn.case)


def prediction_columns(num_channels: int, regions: Sequence[str]) -> tuple[str, ...]:
    """One picture a channel and region, then the case's Dice of each region."""
    pictures = (f"Image-Channel-{channel}/{region}" for region in regions for channel in range(num_channels))
    return (*_PLACE, *pictures, "Case", *(f"Dice/{region}" for region in regions))


def prediction_rows(drawn: Drawn, slices: Slices) -> Iterator[tuple[Cell, ...]]:
    """The rows of a case that was predicted."""
    for index in drawn.telling_slices(slices):
        channels = drawn.pixels(index)
        true, guessed = drawn.true(index), drawn.guessed(index)
        pictures = []
        for region in drawn.regions:
            overlays = (
                _overlay("ground-truth", region, true[region], _TRUE),
                _overlay("prediction", region, guessed[region], _PREDICTED),
            )
            pictures += [Picture(pixels, overlays) for pixels in channels]
        yield (*drawn.place, index, *pictures, drawn.case, *(drawn.dice[region] for region in drawn.regions))


def found_columns(num_channels: int, regions: Sequence[str]) -> tuple[str, ...]:
    """One picture a channel with all that was predicted over it, then how many voxels that is."""
    pictures = (f"Image-Channel-{channel}" for channel in range(num_channels))
    return ("Case", "Slice Index", *pictures, *(f"Voxels/{region}" for region in regions))


def found_rows(drawn: Drawn, slices: Slices) -> Iterator[tuple[Cell, ...]]:
    """The rows of a case of which no truth is known."""
    voxels = drawn.predicted_voxels
    for index in drawn.telling_slices(slices):
        overlays = _overlays("prediction", drawn.guessed(index))
        pictures = (Picture(pixels, overlays) for pixels in drawn.pixels(index))
        yield (drawn.case, index, *pictures, *voxels)


def comparison_rows(drawn: Drawn, slices: Slices) -> Iterator[tuple[Cell, ...]]:
    """Slices of truth beside slices of prediction, and the case's mean Dice."""
    known = [value for value in drawn.dice.values() if value is not None]
    mean = sum(known) / len(known) if known else None
    for index in drawn.telling_slices(slices):
        pixels = drawn.pixels(index)[0]
        truth = Picture(pixels, _overlays("ground-truth", drawn.true(index)))
        predicted = Picture(pixels, _overlays("prediction", drawn.guessed(index)))
        yield (drawn.case, index, truth, predicted, mean)


def _overlays(kind: str, masks: Mapping[str, Array]) -> tuple[Overlay, ...]:
    """All regions of a slice, each marked with a value of its own."""
    return tuple(_overlay(kind, region, mask, n) for n, (region, mask) in enumerate(masks.items(), start=1))


def _overlay(kind: str, region: str, mask: Array, value: int) -> Overlay:
    return Overlay(f"{kind}/{region}", as_seen(mask), value, region)
