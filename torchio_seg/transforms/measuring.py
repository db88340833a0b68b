"""What normalisation takes from a volume that is seen a part at a time, as often as it takes.

Extremes and percentiles are exactly those of the whole; means and spreads are joined in double precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.transforms.normalization import LANDMARK_PERCENTILES, Measures, Moments, between

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Parts = Callable[[], Iterator[torch.Tensor]]
    """C I J K, which together are the volume, anew at each call."""

_HALF = 16
_BINS = 1 << _HALF


def measure_parts(parts: Parts, *, histogram: bool) -> tuple[Measures, ...]:
    """The measures of each channel: one pass, and three more with a histogram."""
    found = [[_measure(channel.numpy().ravel()) for channel in part] for part in parts()]
    measures = tuple(_joined(of_channel) for of_channel in zip(*found, strict=True))
    if not histogram:
        return measures
    percentiles = [
        _percentiles(partial(_nonzero, parts, number), measured.nonzero.number)
        for number, measured in enumerate(measures)
    ]
    pieces = [[between(values, known) for values in _nonzero(parts, n)] for n, known in enumerate(percentiles)]
    return tuple(
        replace(
            measured,
            percentiles=tuple(known.tolist()),
            between=tuple(Moments.joined(some) for some in zip(*of_channel, strict=True)),
        )
        for measured, known, of_channel in zip(measures, percentiles, pieces, strict=True)
    )


def _measure(values: NDArray[np.float32]) -> Measures:
    nonzero = values[values != 0]
    return Measures(float(values.min()), float(values.max()), Moments.of(values), Moments.of(nonzero))


def _joined(parts: tuple[Measures, ...]) -> Measures:
    return Measures(
        min(part.lowest for part in parts),
        max(part.highest for part in parts),
        Moments.joined([part.all for part in parts]),
        Moments.joined([part.nonzero for part in parts]),
    )


def _nonzero(parts: Parts, channel: int) -> Iterator[NDArray[np.float32]]:
    for part in parts():
        values = part[channel].numpy().ravel()
        yield values[values != 0]


def _percentiles(parts: Callable[[], Iterator[NDArray[np.float32]]], number: int) -> NDArray[np.float64]:
    """Those of normalisation, as `np.percentile` has them of all values at once."""
    if not number:
        return np.zeros(len(LANDMARK_PERCENTILES))
    places = np.array(LANDMARK_PERCENTILES) / 100 * (number - 1)
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, number - 1)
    found = _in_order(parts, sorted({*low.tolist(), *high.tolist()}))
    a, b = (np.array([found[rank] for rank in ranks.tolist()], np.float32) for ranks in (low, high))
    share = places - low
    return np.where(share >= 0.5, b - (b - a) * (1 - share), a + (b - a) * share)


def _in_order(parts: Callable[[], Iterator[NDArray[np.float32]]], ranks: list[int]) -> dict[int, np.float32]:
    """The values of these ranks, counted from 0, among all: by the upper half of their bits, then by the lower."""
    upper = np.zeros(_BINS, np.int64)
    for values in parts():
        upper += np.bincount(_keys(values) >> _HALF, minlength=_BINS)
    ends = np.cumsum(upper)
    bin_of = {rank: int(np.searchsorted(ends, rank, side="right")) for rank in ranks}
    lower = {number: np.zeros(_BINS, np.int64) for number in set(bin_of.values())}
    for values in parts():
        keys = _keys(values)
        halves = keys >> _HALF
        for number in lower:
            lower[number] += np.bincount(keys[halves == number] & (_BINS - 1), minlength=_BINS)
    found = {}
    for rank, number in bin_of.items():
        within = rank - (ends[number] - upper[number])
        low = int(np.searchsorted(np.cumsum(lower[number]), within, side="right"))
        found[rank] = _value((number << _HALF) | low)
    return found


def _keys(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Whole numbers in the order of the values."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return bits ^ np.where(bits >> 31, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))


def _value(key: int) -> np.float32:
    bits = key ^ (0x80000000 if key >> 31 else 0xFFFFFFFF)
    return np.float32(np.array([bits], np.uint32).view(np.float32)[0])
