"""Intensities as a network expects them, channel by channel.

What is taken from a volume (a mean, its percentiles) is measured once over the whole of it; with that, each voxel is
changed for itself. So any part of a volume can be normalised alone and is what it would be in the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from torchio_seg.transforms.recipe import Recipe, Statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

LANDMARK_PERCENTILES = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99)
SMALLEST_STD = 1e-8
"""What varies less is constant."""
_SHORTEST_PIECE = 1e-3
"""Of a histogram, as a share of its span."""


@dataclass(frozen=True)
class Moments:
    """Of some voxels."""

    number: int
    mean: float
    spread: float
    """Sum of squared distances from the mean."""

    @property
    def std(self) -> float:
        return (self.spread / self.number) ** 0.5 if self.number else 0.0

    @classmethod
    def of(cls, values: NDArray[np.generic]) -> Moments:
        """Summed in float64, piece by piece, without a copy of the whole."""
        if not values.size:
            return cls(0, 0.0, 0.0)
        pieces = np.array_split(values, max(1, values.size >> 20))
        mean = sum(float(piece.sum(dtype=np.float64)) for piece in pieces) / values.size
        spread = sum(float(np.square(piece.astype(np.float64) - mean).sum()) for piece in pieces)
        return cls(values.size, mean, spread)

    @classmethod
    def joined(cls, parts: Sequence[Moments]) -> Moments:
        """Of the voxels of all parts."""
        number = sum(part.number for part in parts)
        mean = sum(part.number * part.mean for part in parts) / max(number, 1)
        return cls(number, mean, sum(part.spread + part.number * (part.mean - mean) ** 2 for part in parts))


@dataclass(frozen=True)
class Measures:
    """All that any normalisation takes from one channel of a volume."""

    lowest: float
    highest: float
    all: Moments
    nonzero: Moments
    """Of the voxels that are not exactly 0."""
    percentiles: tuple[float, ...] = ()
    """Of those, LANDMARK_PERCENTILES."""
    between: tuple[Moments, ...] = ()
    """Of those between two percentiles, each the lower included, the first and last pieces to the extremes."""


def measure(volume: torch.Tensor, *, histogram: bool = True) -> tuple[Measures, ...]:
    """What normalisation may need of each channel of C I J K; without the histogram much faster."""
    return tuple(_measure(channel.numpy().ravel(), histogram) for channel in volume)


def apply(volume: torch.Tensor, measures: Sequence[Measures], recipe: Recipe) -> torch.Tensor:
    """Any part C I J K, float32, of a volume that was measured, with intensities as the network expects them.

    A constant channel becomes 0, and 0 stays 0 where zeros are left out.
    """
    if recipe.normalization == "none":
        return volume
    if recipe.normalization == "window":
        low, high = recipe.window or (0.0, 1.0)
        return (volume.clamp(low, high) - low) / (high - low)
    result = torch.empty_like(volume)
    if recipe.normalization == "percentile":
        for channel, target, known in zip(volume, result, recipe.statistics, strict=True):
            _clip(channel, known, target)
    elif recipe.normalization == "histogram":
        for channel, target, measured, landmarks in zip(volume, result, measures, recipe.landmarks, strict=True):
            target.copy_(_matched(channel, measured, landmarks))
    else:
        change = {"zscore": _zscore, "zscore_all": _zscore_all, "minmax": _minmax}[recipe.normalization]
        for channel, target, measured in zip(volume, result, measures, strict=True):
            change(channel, measured, target)
    return result


def outside(measures: Sequence[Measures], recipe: Recipe) -> list[float]:
    """What stands for air beyond a normalised volume, for each channel: the lowest of a CT, else 0."""
    if recipe.normalization != "percentile":
        return [0.0] * len(measures)
    lowest = torch.tensor([each.lowest for each in measures]).view(-1, 1, 1, 1)
    return apply(lowest, measures, recipe).flatten().tolist()


def learn_statistics(
    samples: Sequence[NDArray[np.float32]], percentiles: tuple[float, float]
) -> tuple[Statistics, ...]:
    """Statistics of each channel from foreground intensities C N of the training cases."""
    values = np.concatenate(samples, axis=1)
    low, high = np.percentile(values, percentiles, axis=1)
    return tuple(
        Statistics(float(low[c]), float(high[c]), float(values[c].mean()), float(values[c].std()))
        for c in range(len(values))
    )


def learn_landmarks(cases: Sequence[Sequence[Measures]]) -> tuple[tuple[float, ...], ...]:
    """Where the percentiles of each channel lie, on average over the cases, when each case's span is 0 to 100."""
    spans = np.array([[channel.percentiles for channel in case] for case in cases])  # cases C P
    low, high = spans[..., :1], spans[..., -1:]
    scaled = 100 * (spans - low) / np.maximum(high - low, SMALLEST_STD)
    return tuple(tuple(row) for row in scaled.mean(axis=0).tolist())


def _measure(channel: NDArray[np.float32], histogram: bool) -> Measures:
    nonzero = channel[channel != 0]
    found = Measures(float(channel.min()), float(channel.max()), Moments.of(channel), Moments.of(nonzero))
    if not histogram:
        return found
    values = nonzero if nonzero.size else np.zeros(1, np.float32)
    percentiles = np.percentile(values, LANDMARK_PERCENTILES, overwrite_input=True)
    return replace(found, percentiles=tuple(percentiles.tolist()), between=between(nonzero, percentiles))


def between(values: NDArray[np.float32], percentiles: NDArray[np.float64]) -> tuple[Moments, ...]:
    """Moments of the values between two percentiles each, some values at a time."""
    parts: list[list[Moments]] = [[] for _ in percentiles[1:]]
    for some in np.array_split(values, max(1, values.size >> 20)):
        piece = _piece(some, percentiles)
        for number, found in enumerate(parts):
            found.append(Moments.of(some[piece == number]))
    return tuple(Moments.joined(found) for found in parts)


def _piece(values: NDArray[np.float32], percentiles: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Between which two percentiles each value lies; what is beyond the first and last counts to their pieces."""
    found = np.searchsorted(percentiles[1:-1].astype(np.float32), values, side="right")
    return found.astype(np.uint8)


def _clip(channel: torch.Tensor, known: Statistics, target: torch.Tensor) -> None:
    torch.clamp(channel, known.low, known.high, out=target).sub_(known.mean).div_(max(known.std, SMALLEST_STD))


def _matched(channel: torch.Tensor, measured: Measures, landmarks: Sequence[float]) -> torch.Tensor:
    """The case's percentiles moved to the landmarks, linear in between and beyond, then z-scores; 0 stays 0."""
    own = np.array(measured.percentiles)
    shortest = max(_SHORTEST_PIECE * (own[-1] - own[0]), SMALLEST_STD)  # of tied percentiles none is steep
    slopes = np.diff(landmarks) / np.maximum(np.diff(own), shortest)
    offsets = np.asarray(landmarks[:-1]) - own[:-1] * slopes
    lines = zip(measured.between, slopes.tolist(), offsets.tolist(), strict=True)
    after = Moments.joined(
        [Moments(part.number, slope * part.mean + offset, slope**2 * part.spread) for part, slope, offset in lines]
    )
    if not after.std > SMALLEST_STD:
        return torch.zeros_like(channel)
    values = channel.numpy()
    piece = _piece(values, own)
    moved = (values * slopes[piece] + offsets[piece] - after.mean) / after.std
    return torch.from_numpy(np.where(values != 0, moved, 0.0).astype(np.float32))


def _zscore(channel: torch.Tensor, measured: Measures, target: torch.Tensor) -> None:
    _standardize(channel, measured.nonzero, target)
    target.mul_(torch.ne(channel, 0, out=torch.empty_like(channel)))  # a mask of floats takes a fifth of the time


def _zscore_all(channel: torch.Tensor, measured: Measures, target: torch.Tensor) -> None:
    _standardize(channel, measured.all, target)


def _standardize(channel: torch.Tensor, known: Moments, target: torch.Tensor) -> None:
    """Mean and deviation taken out; 0 where the voxels do not vary."""
    if known.std > SMALLEST_STD:
        torch.sub(channel, known.mean, out=target).mul_(1 / known.std)
    else:
        target.zero_()


def _minmax(channel: torch.Tensor, measured: Measures, target: torch.Tensor) -> None:
    low, high = measured.lowest, measured.highest
    if high > low:
        torch.sub(channel, low, out=target).div_(high - low)
    else:
        target.zero_()
