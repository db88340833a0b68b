"""Memory against the edge of a patch, with the fitted curve, the whole volume and the cards: as SVG and as PNG."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import floor, log10

from torchio_seg.reports.curves import COLORS

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 980, 520, 64, 330, 70, 60
CARDS = (8, 12, 24, 80)
"""GiB of the cards that people have."""
GIB = 2**30
_SCALE = 2
"""Pixels of the PNG for each unit of the SVG."""
_GREY, _PALE = "#555555", "#dddddd"
_LINE, _SAMPLE, _DASH = 18, 26, 7.0
_LEGEND = (
    "dots: measured patches",
    "curves: a + b x voxels, fitted to the dots",
    "coloured dashes: the whole volume",
)


@dataclass(frozen=True)
class Series:
    """One way of computing."""

    name: str
    points: Sequence[tuple[float, float]]
    """Edge and bytes, as measured."""
    curve: Sequence[tuple[float, float]]
    """The same as fitted; empty where there is none."""
    whole: float | None
    """Bytes of the whole volume; None where nothing is known of it."""
    whole_is_measured: bool = True
    """Else the curve tells them."""


@dataclass(frozen=True)
class Text:
    """Words at a place; `anchor` says which part of them lies there."""

    x: float
    y: float
    words: str
    color: str = _GREY
    anchor: str = "start"
    is_bold: bool = False
    is_above: bool = False
    """White around it hides the lines below."""


@dataclass(frozen=True)
class Stroke:
    """A line through places."""

    places: Sequence[tuple[float, float]]
    color: str
    width: float = 1.0
    is_dashed: bool = False


@dataclass(frozen=True)
class Dot:
    """A point that was measured."""

    x: float
    y: float
    color: str


Mark = Text | Stroke | Dot


def draw(title: str, what: str, series: Sequence[Series]) -> list[Mark]:
    """The marks of the diagram, memory on a logarithmic axis; `what` says which memory it is."""
    values = [y for each in series for _, y in (*each.points, *each.curve)] + [each.whole or 0.0 for each in series]
    edges = [x for each in series for x, _ in (*each.points, *each.curve)]
    known = [value for value in values if value > 0]
    low, high = min(known, default=GIB) / 1.3, max((*known, CARDS[-1] * GIB)) * 1.3
    right = max(edges, default=1.0) * 1.03
    left = min(edges, default=0.0) * 0.9
    span, rise = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + span * (x - left) / (right - left), TOP + rise * (1 - log10(y / low) / log10(high / low))

    ends = (left, right)
    return [
        Text(12, 20, title, "#000000", is_bold=True),
        Text(12, 38, what),
        *_axes(place, ends, (low, high)),
        *_cards(place, ends),
        *[mark for number, each in enumerate(series) for mark in _series(each, number, place, ends)],
        *_card_names(place, ends),
        *[
            Text(WIDTH - RIGHT + 14, TOP + 10 + _LINE * (2 * len(series) + number), words)
            for number, words in enumerate(_LEGEND)
        ],
    ]


Placer = Callable[[float, float], tuple[float, float]]
Ends = tuple[float, float]


def _axes(place: Placer, ends: Ends, heights: Ends) -> Iterator[Mark]:
    low, high = heights
    for power in range(floor(log10(low / GIB)), floor(log10(high / GIB)) + 1):
        for factor in (1, 2, 5):
            value = factor * 10.0**power * GIB
            if low <= value <= high:
                (x, y), end = place(ends[0], value), place(ends[1], value)
                yield Stroke(((x, y), end), _PALE)
                yield Text(x - 6, y + 4, f"{value / GIB:g}", anchor="end")
    x, y = place(ends[0], high)
    yield Text(x - 6, y - 6, "GiB", anchor="end")
    step = next(step for step in (8, 16, 32, 64, 128, 10**9) if (ends[1] - ends[0]) / step <= 8)
    for edge in range(step, int(ends[1]) + 1, step):
        if edge >= ends[0]:
            x, y = place(edge, low)
            yield Text(x, y + 18, str(edge), anchor="middle")
    x, y = place((ends[0] + ends[1]) / 2, low)
    yield Text(x, y + 40, "edge of a cube of as many voxels", anchor="middle")


def _cards(place: Placer, ends: Ends) -> Iterator[Mark]:
    for card in CARDS:
        yield Stroke((place(ends[0], card * GIB), place(ends[1], card * GIB)), _GREY, 1.0)


def _card_names(place: Placer, ends: Ends) -> Iterator[Mark]:
    for card in CARDS:
        x, y = place(ends[1], card * GIB)
        yield Text(x - 4, y - 4, f"{card} GB card", anchor="end", is_above=True)


def _series(each: Series, number: int, place: Placer, ends: Ends) -> Iterator[Mark]:
    color = COLORS[number % len(COLORS)]
    if each.curve:
        yield Stroke([place(x, y) for x, y in each.curve], color, 1.6)
    if each.whole is not None:
        yield Stroke((place(ends[0], each.whole), place(ends[1], each.whole)), color, 1.4, is_dashed=True)
    for point in each.points:
        yield Dot(*place(*point), color)
    x, y = WIDTH - RIGHT + 14, TOP + 4 + 2 * _LINE * number
    yield Stroke(((x, y - 4), (x + _SAMPLE, y - 4)), color, 1.6)
    yield Dot(x + _SAMPLE / 2, y - 4, color)
    yield Text(x + _SAMPLE + 6, y, each.name, color)
    yield Text(x + _SAMPLE + 6, y + _LINE - 2, _told_of_whole(each))


def _told_of_whole(each: Series) -> str:
    if each.whole is None:
        return "whole volume: not known"
    amount = f"{each.whole / GIB:.3g} GiB"
    return f"whole volume: {amount}" if each.whole_is_measured else f"whole volume: about {amount}, by the curve"


def to_svg(marks: Sequence[Mark]) -> str:
    """The marks as text."""
    parts = []
    for mark in marks:
        if isinstance(mark, Text):
            look = ' font-weight="bold"' if mark.is_bold else ""
            look += ' paint-order="stroke" stroke="white" stroke-width="4"' if mark.is_above else ""
            parts.append(
                f'<text x="{mark.x:.1f}" y="{mark.y:.1f}" fill="{mark.color}" text-anchor="{mark.anchor}"{look}>'
                f"{escape(mark.words)}</text>"
            )
        elif isinstance(mark, Dot):
            parts.append(f'<circle cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="3.5" fill="{mark.color}"/>')
        else:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in mark.places)
            dashes = f' stroke-dasharray="{_DASH:g} 4"' if mark.is_dashed else ""
            look = f'stroke="{mark.color}" stroke-width="{mark.width}"{dashes}'
            parts.append(f'<polyline points="{path}" fill="none" {look}/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(parts)}</svg>\n"
    )


def to_png(marks: Sequence[Mark]) -> bytes:
    """The same marks as a picture."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (WIDTH * _SCALE, HEIGHT * _SCALE), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(12 * _SCALE)
    anchors = {"start": "ls", "middle": "ms", "end": "rs"}
    for mark in marks:
        if isinstance(mark, Text):
            edge, rim = (2 * _SCALE, "white") if mark.is_above else (int(mark.is_bold), mark.color)
            where = (mark.x * _SCALE, mark.y * _SCALE)
            pen.text(where, mark.words, mark.color, font, anchors[mark.anchor], stroke_width=edge, stroke_fill=rim)
        elif isinstance(mark, Dot):
            pen.circle((mark.x * _SCALE, mark.y * _SCALE), 3.5 * _SCALE, mark.color)
        else:
            places = [(x * _SCALE, y * _SCALE) for x, y in mark.places]
            for run in _dashes(places) if mark.is_dashed else [places]:
                pen.line(run, mark.color, max(1, round(mark.width * _SCALE)), joint="curve")
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _dashes(places: Sequence[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    """Pieces of horizontal lines."""
    for (start, y), (end, _) in pairwise(places):
        for x in range(round(start), round(end), round((_DASH + 4) * _SCALE)):
            yield [(x, y), (min(end, x + _DASH * _SCALE), y)]
