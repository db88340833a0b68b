"""Memory as a line over the size of a patch, and the largest size whose memory a budget holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """Bytes that are always needed, and bytes for each voxel (or number that is kept) beside them."""

    fixed: float
    apiece: float

    def __call__(self, amount: float) -> float:
        return self.fixed + self.apiece * amount


def through(fixed: float, amount: float, num_bytes: float) -> Line:
    """The line of known offset through one measurement."""
    return Line(fixed, max(0.0, num_bytes - fixed) / amount)


def fit(points: Sequence[tuple[float, float]]) -> Line | None:
    """Least squares through amounts and bytes; None for fewer than two amounts, which tell no slope."""
    if len({amount for amount, _ in points}) < 2:
        return None
    amounts, sizes = zip(*points, strict=True)
    middle, level = sum(amounts) / len(points), sum(sizes) / len(points)
    spread = sum((amount - middle) ** 2 for amount in amounts)
    apiece = max(0.0, sum((amount - middle) * (size - level) for amount, size in points) / spread)
    return Line(level - apiece * middle, apiece)


@dataclass(frozen=True)
class Edge:
    """Where sizes stop to fit."""

    largest: int | None
    """Place of the last that was measured to fit; None where not even the first does."""
    too_large: int | None
    """Place of the smallest that was measured not to; None where none was."""


def find_edge(count: int, guess: Callable[[], int], fits: Callable[[int], bool], *, trust: bool = False) -> Edge:
    """The place in a list of ever larger sizes, by measuring the guess, then what is next to it, on to where it ends.

    What was measured before may change the guess. Both sides of the edge are measured; a guess that is trusted ends the
    search as soon as something fits and it names nothing larger.
    """
    low, high = -1, count
    while low + 1 < high:
        at = guess()
        if trust and low >= max(at, 0):
            break
        at = min(max(at, low + 1), high - 1)
        if fits(at):
            low = at
        else:
            high = at
    return Edge(low if low >= 0 else None, high if high < count else None)
