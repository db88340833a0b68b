"""Memory against the edge of a patch: what was measured, the fitted curve, what did not fit, limits and cards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Literal

from torchio_seg.machine import in_units
from torchio_seg.reports.curves import COLORS
from torchio_seg.reports.marks import GREY, HEIGHT, WIDTH, Dot, Mark, Place, Stroke, Text, Triangle

LEFT, RIGHT, TOP, BOTTOM = 64, 330, 70, 60
CARDS = (8, 12, 24, 80)
"""GiB of the cards that people have."""
GB, GIB = 10**9, 2**30
_BLACK, _PALE = "#000000", "#dddddd"
_LINE, _SAMPLE = 18, 26
_BESIDE_CARDS = 90
"""Where a budget's name starts: beside those of cards, and left of the patches that come near it."""
_NESTED = 2.5
"""Triangles at one place lie in each other, each so much larger."""


@dataclass(frozen=True)
class Whole:
    """The whole volume."""

    edge: float
    num_bytes: float
    how: Literal["measured", "by the curve", "more than"]
    """How its bytes are known."""

    def __str__(self) -> str:
        amount = in_units(self.num_bytes)
        told = {"measured": amount, "by the curve": f"about {amount}, by the curve", "more than": f"more than {amount}"}
        return told[self.how]


@dataclass(frozen=True)
class Series:
    """One way of computing."""

    name: str
    points: Sequence[Place]
    """Edge and bytes, as measured."""
    curve: Sequence[Place] = ()
    """The same as fitted; empty where there is none."""
    whole: Whole | None = None
    """None where nothing is known of it."""
    refused: Sequence[Place] = ()
    """Edge of those that did not fit, and the limit that they exceeded."""


@dataclass(frozen=True)
class Level:
    """A memory limit or a budget."""

    num_bytes: float
    words: str
    is_budget: bool = False


def draw(
    title: str, what: str, series: Sequence[Series], *, levels: Sequence[Level] = (), empty: str = ""
) -> list[Mark]:
    """The marks of the diagram, memory on a logarithmic axis.

    `what` says which memory it is, `empty` why there is nothing in the frame.
    """
    low, high, cards = _heights(series, levels)
    edges = [x for each in series for x, _ in (*each.points, *each.curve, *each.refused)]
    edges += [each.whole.edge for each in series if each.whole]
    right, left = max(edges, default=1.0) * 1.03, min(edges, default=0.0) * 0.9
    span, rise = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> Place:
        return LEFT + span * (x - left) / (right - left), TOP + rise * (1 - log10(y / low) / log10(high / low))

    ends = (left, right)
    return [
        Text(12, 20, title, _BLACK, is_bold=True),
        Text(12, 38, what),
        *_axes(place, ends, (low, high)),
        *[_across(place, ends, card * GIB, GREY) for card in cards],
        *[_across(place, ends, level.num_bytes, _BLACK) for level in levels],
        *[mark for number, each in enumerate(series) for mark in _dashes(each, _color(number), place, ends)],
        *_card_names(cards, place, ends),
        *_level_names(levels, place, ends),
        *[mark for number, each in enumerate(series) for mark in _series(each, _color(number), place)],
        *_triangles(series, place),
        *([Text(LEFT + span / 2, TOP + rise / 2, empty, _BLACK, "middle", is_above=True)] if empty else []),
        *[mark for number, each in enumerate(series) for mark in _named(each, number)],
        *_legend(series),
    ]


Placer = Callable[[float, float], Place]
Ends = tuple[float, float]


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]


def _heights(series: Sequence[Series], levels: Sequence[Level]) -> tuple[float, float, list[int]]:
    """Where the axis starts and ends, and the cards on it: up to the first that holds everything."""
    values = [y for each in series for _, y in (*each.points, *each.curve, *each.refused)]
    values += [each.whole.num_bytes for each in series if each.whole] + [level.num_bytes for level in levels]
    known = [value for value in values if value > 0]
    low, most = min(known, default=GIB) / 1.3, max(known, default=GIB)
    last = next((card for card in CARDS if card * GIB >= most), CARDS[-1])
    cards = [card for card in CARDS if low < card * GIB and card <= last]
    return low, max([most, *(card * GIB for card in cards)]) * 1.15, cards


def _axes(place: Placer, ends: Ends, heights: Ends) -> Iterator[Mark]:
    low, high = heights
    for power in range(floor(log10(low / GB)), floor(log10(high / GB)) + 1):
        for factor in (1, 2, 5):
            value = factor * 10.0**power * GB
            if low <= value <= high:
                x, y = place(ends[0], value)
                yield _across(place, ends, value, _PALE)
                yield Text(x - 6, y + 4, f"{value / GB:g}", anchor="end")
    x, y = place(ends[0], high)
    yield Text(x - 6, y - 10, "GB", anchor="end")
    step = next(step for step in (8, 16, 32, 64, 128, 10**9) if (ends[1] - ends[0]) / step <= 8)
    for edge in range(step, int(ends[1]) + 1, step):
        if edge >= ends[0]:
            x, y = place(edge, low)
            yield Text(x, y + 18, str(edge), anchor="middle")
    x, y = place((ends[0] + ends[1]) / 2, low)
    yield Text(x, y + 40, "edge of the patch in voxels (a cube of equal volume)", anchor="middle")


def _across(place: Placer, ends: Ends, value: float, color: str) -> Stroke:
    return Stroke((place(ends[0], value), place(ends[1], value)), color)


def _card_names(cards: Sequence[int], place: Placer, ends: Ends) -> Iterator[Mark]:
    for card in cards:
        x, y = place(ends[0], card * GIB)
        yield Text(x + 4, y - 4, f"{card} GiB card", is_above=True)


def _level_names(levels: Sequence[Level], place: Placer, ends: Ends) -> Iterator[Mark]:
    """Below their lines: triangles stand above, and curves that rise are above them there."""
    last = 0.0
    for level in sorted(levels, key=lambda level: (level.is_budget, -level.num_bytes)):
        x, y = place(ends[1], level.num_bytes)
        if level.is_budget:
            yield Text(LEFT + _BESIDE_CARDS, y + 13, level.words, _BLACK, is_above=True)
        elif y - last >= _LINE:  # names of limits that are close would lie on each other
            last = y
            yield Text(x - 4, y + 13, level.words, _BLACK, "end", is_above=True)


def _dashes(each: Series, color: str, place: Placer, ends: Ends) -> Iterator[Mark]:
    if each.whole and each.whole.how != "more than":
        level = each.whole.num_bytes
        yield Stroke((place(ends[0], level), place(ends[1], level)), color, 1.4, is_dashed=True)


def _series(each: Series, color: str, place: Placer) -> Iterator[Mark]:
    if each.curve:
        yield Stroke([place(x, y) for x, y in each.curve], color, 1.6)
    for point in each.points:
        yield Dot(*place(*point), color)
    if each.whole and each.whole.how == "measured":
        yield Dot(*place(each.whole.edge, each.whole.num_bytes), color, is_open=True)


def _triangles(series: Sequence[Series], place: Placer) -> Iterator[Mark]:
    found: Counter[Place] = Counter()
    for number, each in enumerate(series):
        for point in each.refused:
            yield Triangle(*place(*point), _color(number), Triangle.size + _NESTED * found[point])
            found[point] += 1


def _named(each: Series, number: int) -> Iterator[Mark]:
    x, y, color = WIDTH - RIGHT + 14, TOP + 4 + 2 * _LINE * number, _color(number)
    if each.points or not each.refused:
        yield Stroke(((x, y - 4), (x + _SAMPLE, y - 4)), color, 1.6)
        yield Dot(x + _SAMPLE / 2, y - 4, color)
    else:
        yield Triangle(x + _SAMPLE / 2, y, color)
    yield Text(x + _SAMPLE + 6, y, each.name, color)
    yield Text(x + _SAMPLE + 6, y + _LINE - 2, f"whole volume: {each.whole or 'not known'}")


def _legend(series: Sequence[Series]) -> Iterator[Mark]:
    """What the marks are, of those that are there."""
    x, y = WIDTH - RIGHT + 14, TOP + 10 + 2 * _LINE * len(series)
    start, middle, end = x, x + _SAMPLE / 2, x + _SAMPLE
    wholes = {each.whole.how for each in series if each.whole} - {"more than"}
    rows = (
        ("measured patch", any(each.points for each in series), "dot"),
        ("a + b x voxels, fitted to the dots", any(each.curve for each in series), "curve"),
        ("the whole volume", bool(wholes), "dashes"),
        ("did not fit: more than the limit it stands on", any(each.refused for each in series), "triangle"),
    )
    for words, _, kind in (row for row in rows if row[1]):
        if kind in {"curve", "dashes"}:
            yield Stroke(((start, y - 4), (end, y - 4)), GREY, 1.6, is_dashed=kind == "dashes")
        if kind == "dot" or (kind == "dashes" and "measured" in wholes):
            yield Dot(middle, y - 4, GREY, is_open=kind == "dashes")
        if kind == "triangle":
            yield Triangle(middle, y, GREY)
        yield Text(end + 6, y, words)
        y += _LINE
