"""Marks of a diagram, drawn as SVG and as PNG."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw as Pen
    from PIL.ImageFont import FreeTypeFont, ImageFont

WIDTH, HEIGHT = 980, 520
GREY = "#555555"
_FONT_SIZE, _RADIUS, _DASH, _GAP = 12, 3.5, 7.0, 4.0
_RIM = 2.0
"""White around words that hide the lines below them."""
_BOLD = 0.25
"""What letters of the PNG grow by on each side: its font has no bold ones."""
_PIXELS, _DRAWN = 2, 4
"""Pixels of the PNG for each unit of the SVG, and those that it is drawn with before it is shrunk: lines of PIL have
steps."""

Place = tuple[float, float]


@dataclass(frozen=True)
class Text:
    """Words at a place; `anchor` says which part of them lies there."""

    x: float
    y: float
    words: str
    color: str = GREY
    anchor: str = "start"
    is_bold: bool = False
    is_above: bool = False
    """White around it hides the lines below."""


@dataclass(frozen=True)
class Stroke:
    """A line through places."""

    places: Sequence[Place]
    color: str
    width: float = 1.0
    is_dashed: bool = False


@dataclass(frozen=True)
class Dot:
    """Filled, or a ring."""

    x: float
    y: float
    color: str
    is_open: bool = False


@dataclass(frozen=True)
class Triangle:
    """Hollow, pointing up, its base on a place."""

    x: float
    y: float
    color: str
    size: float = 5.0
    """Half of its base."""

    @property
    def corners(self) -> tuple[Place, Place, Place]:
        return (self.x - self.size, self.y), (self.x + self.size, self.y), (self.x, self.y - 1.7 * self.size)


Mark = Text | Stroke | Dot | Triangle


def to_svg(marks: Sequence[Mark]) -> str:
    """The marks as text."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="{_FONT_SIZE}"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(_element(mark) for mark in marks)}</svg>\n"
    )


def _element(mark: Mark) -> str:
    if isinstance(mark, Text):
        look = ' font-weight="bold"' if mark.is_bold else ""
        look += f' paint-order="stroke" stroke="white" stroke-width="{2 * _RIM:g}"' if mark.is_above else ""
        where = f'x="{mark.x:.1f}" y="{mark.y:.1f}" fill="{mark.color}" text-anchor="{mark.anchor}"'
        return f"<text {where}{look}>{escape(mark.words)}</text>"
    if isinstance(mark, Dot):
        look = f'fill="white" stroke="{mark.color}" stroke-width="1.5"' if mark.is_open else f'fill="{mark.color}"'
        return f'<circle cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="{_RADIUS}" {look}/>'
    if isinstance(mark, Triangle):
        return f'<polygon points="{_path(mark.corners)}" fill="none" stroke="{mark.color}" stroke-width="1.5"/>'
    dashes = f' stroke-dasharray="{_DASH:g} {_GAP:g}"' if mark.is_dashed else ""
    look = f'stroke="{mark.color}" stroke-width="{mark.width}"{dashes}'
    return f'<polyline points="{_path(mark.places)}" fill="none" {look}/>'


def _path(places: Sequence[Place]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def to_png(marks: Sequence[Mark]) -> bytes:
    """The same marks as a picture."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (WIDTH * _DRAWN, HEIGHT * _DRAWN), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(_FONT_SIZE * _DRAWN)
    for mark in marks:
        _put(pen, font, mark)
    file = io.BytesIO()
    picture.resize((WIDTH * _PIXELS, HEIGHT * _PIXELS), Image.Resampling.LANCZOS).save(file, "PNG")
    return file.getvalue()


def _put(pen: Pen, font: FreeTypeFont | ImageFont, mark: Mark) -> None:
    outline = round(1.5 * _DRAWN)
    if isinstance(mark, Text):
        anchor = {"start": "ls", "middle": "ms", "end": "rs"}[mark.anchor]
        edge, rim = (_RIM, "white") if mark.is_above else (_BOLD * mark.is_bold, mark.color)
        (where,) = _drawn([(mark.x, mark.y)])
        wide = round(edge * _DRAWN)
        pen.text(where, mark.words, mark.color, font, anchor, stroke_width=wide, stroke_fill=rim)
    elif isinstance(mark, Dot):
        (where,) = _drawn([(mark.x, mark.y)])
        radius = (_RADIUS + 0.75 * mark.is_open) * _DRAWN
        pen.circle(where, radius, "white" if mark.is_open else mark.color, mark.color, outline)
    elif isinstance(mark, Triangle):
        first, second, third = _drawn(mark.corners)
        pen.line([first, second, third, first, second], mark.color, outline, joint="curve")
    else:
        places = _drawn(mark.places)
        for run in _dashes(places) if mark.is_dashed else [places]:
            pen.line(run, mark.color, max(1, round(mark.width * _DRAWN)), joint="curve")


def _drawn(places: Sequence[Place]) -> list[Place]:
    return [(x * _DRAWN, y * _DRAWN) for x, y in places]


def _dashes(places: Sequence[Place]) -> Iterator[list[Place]]:
    """Pieces of horizontal lines."""
    for (start, y), (end, _) in pairwise(places):
        for x in range(round(start), round(end), round((_DASH + _GAP) * _DRAWN)):
            yield [(x, y), (min(end, x + _DASH * _DRAWN), y)]
