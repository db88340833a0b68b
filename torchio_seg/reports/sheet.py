"""One picture of many: panels in blocks, blocks in sections, a legend above, nothing over anything else."""

from __future__ import annotations

import functools
import io
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from torchio_seg.reports.slices import Color

WIDTH, MARGIN, GAP = 1560, 28, 6
BETWEEN_BLOCKS, BELOW_BLOCK = 24, 18
NARROWEST_PANEL = 136
"""Room for the caption of a panel and the marks beside it."""
TITLE, HEADING, NAME, SMALL = 26, 20, 16, 13
BACKGROUND, INK, PALE, RULE = "white", "#111111", "#5a5a5a", "#d0d0d0"
_LINE = 1.35
_DRAWABLE = "·…°±"
"""What Pillow's own font has beyond ASCII and is used here."""
SWATCH = 14


@dataclass(frozen=True)
class Panel:
    """One picture with a line above it: a caption, and what lies at its left and right edge."""

    picture: Image.Image
    caption: str
    sides: tuple[str, str]


@dataclass(frozen=True)
class Block:
    """Panels that belong together, in rows, with a name and what is to be known about them."""

    name: str
    details: str
    rows: tuple[tuple[Panel, ...], ...]
    columns: tuple[str, ...] = ()
    """Names above the columns, where they differ."""


@dataclass(frozen=True)
class Section:
    """Blocks below one heading, side by side where there is room."""

    heading: str
    note: str
    blocks: tuple[Block, ...]


def compose(title: str, note: str, legend: Mapping[str, Color], sections: Sequence[Section]) -> Image.Image:
    """The whole sheet."""
    parts = [_text(title, TITLE, INK), _text(note, SMALL, PALE), _legend(legend)]
    for section in sections:
        parts += [_rule(), _text(section.heading, HEADING, INK), _text(section.note, SMALL, PALE)]
        rows = _flow([_block(block) for block in section.blocks])
        parts += [_stack(rows, BELOW_BLOCK)] if rows else []
    inner = _stack([part for part in parts if part is not None], GAP)
    sheet = Image.new("RGB", (WIDTH, inner.height + 2 * MARGIN), BACKGROUND)
    sheet.paste(inner, (MARGIN, MARGIN))
    return sheet


def to_png(sheet: Image.Image) -> bytes:
    """The file's content, the same for the same sheet."""
    content = io.BytesIO()
    sheet.save(content, "PNG")
    return content.getvalue()


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _width(text: str, size: int) -> int:
    return round(_font(size).getlength(text))


def _drawable(text: str) -> str:
    """The text in letters that the font has: accents are left out, what has no likeness is a question mark."""
    plain = (char if char in _DRAWABLE else unicodedata.normalize("NFKD", char) for char in text)
    kept = (char for char in "".join(plain) if not unicodedata.combining(char))
    return "".join(char if char.isascii() or char in _DRAWABLE else "?" for char in kept)


def _shorten(text: str, size: int, width: int) -> str:
    """As much of the text as fits."""
    text = _drawable(text)
    if _width(text, size) <= width:
        return text
    while text and _width(f"{text}…", size) > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _wrap(text: str, size: int, width: int) -> list[str]:
    """The text in lines that fit, broken between words."""
    lines: list[str] = []
    for word in _drawable(text).split():
        if lines and _width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(_shorten(word, size, width))
    return lines


def _text(text: str, size: int, ink: str, width: int = WIDTH - 2 * MARGIN) -> Image.Image | None:
    """The text as a picture of this width; nothing where there is none."""
    if not (lines := _wrap(text, size, width)):
        return None
    height = round(size * _LINE)
    picture = Image.new("RGB", (width, height * len(lines)), BACKGROUND)
    for number, line in enumerate(lines):
        ImageDraw.Draw(picture).text((0, number * height), line, fill=ink, font=_font(size))
    return picture


def _rule() -> Image.Image:
    rule = Image.new("RGB", (WIDTH - 2 * MARGIN, 2 * GAP), BACKGROUND)
    ImageDraw.Draw(rule).line((0, GAP, rule.width, GAP), fill=RULE)
    return rule


def _legend(colors: Mapping[str, Color]) -> Image.Image:
    """A swatch and a name for each colour, in as many lines as it takes."""
    entries = []
    for name, color in colors.items():
        shown = _shorten(name, NAME, WIDTH // 3)
        entry = Image.new("RGB", (SWATCH + GAP + _width(shown, NAME) + 2, round(NAME * _LINE)), BACKGROUND)
        canvas = ImageDraw.Draw(entry)
        canvas.rectangle((0, 4, SWATCH - 1, 4 + SWATCH - 1), fill=color)
        canvas.text((SWATCH + GAP, 2), shown, fill=INK, font=_font(NAME))
        entries.append(entry)
    return _stack(_flow(entries), 0)


def _block(block: Block) -> Image.Image:
    """Name and details above the panels, whose columns are as wide as their widest."""
    widths = [
        max(NARROWEST_PANEL, *(panel.picture.width for panel in column)) for column in zip(*block.rows, strict=True)
    ]
    total = sum(widths) + GAP * (len(widths) - 1)
    parts = [_text(_shorten(block.name, NAME, total), NAME, INK, total), _text(block.details, SMALL, PALE, total)]
    if block.columns:
        titles = [_centred(name, width) for name, width in zip(block.columns, widths, strict=True)]
        parts.append(_beside(titles, GAP))
    for row in block.rows:
        height = max(panel.picture.height for panel in row)
        parts.append(_beside([_panel(panel, width, height) for panel, width in zip(row, widths, strict=True)], GAP))
    return _stack([part for part in parts if part is not None], GAP // 2)


def _centred(name: str, width: int) -> Image.Image:
    shown = _shorten(name, SMALL, width)
    picture = Image.new("RGB", (width, round(SMALL * _LINE)), BACKGROUND)
    ImageDraw.Draw(picture).text(((width - _width(shown, SMALL)) // 2, 0), shown, fill=INK, font=_font(SMALL))
    return picture


def _panel(panel: Panel, width: int, height: int) -> Image.Image:
    """The picture in the middle of a black cell, caption and sides above it."""
    top = round(SMALL * _LINE)
    left, right = panel.sides
    cell = Image.new("RGB", (width, top + height), BACKGROUND)
    canvas, font = ImageDraw.Draw(cell), _font(SMALL)
    canvas.text((0, 0), left, fill=INK, font=font)
    canvas.text((width - _width(right, SMALL), 0), right, fill=INK, font=font)
    caption = _shorten(panel.caption, SMALL, width - _width(left + right, SMALL) - 4 * GAP)
    canvas.text(((width - _width(caption, SMALL)) // 2, 0), caption, fill=PALE, font=font)
    canvas.rectangle((0, top, width - 1, top + height - 1), fill="black")
    cell.paste(panel.picture, ((width - panel.picture.width) // 2, top + (height - panel.picture.height) // 2))
    return cell


def _flow(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """The pictures side by side, in as many rows as the sheet's width makes necessary."""
    rows: list[list[Image.Image]] = []
    room = 0
    for picture in pictures:
        if picture.width > room:
            rows.append([])
            room = WIDTH - 2 * MARGIN
        rows[-1].append(picture)
        room -= picture.width + BETWEEN_BLOCKS
    return [_beside(row, BETWEEN_BLOCKS) for row in rows]


def _beside(pictures: Sequence[Image.Image], gap: int) -> Image.Image:
    joined = Image.new(
        "RGB", (sum(p.width for p in pictures) + gap * (len(pictures) - 1), max(p.height for p in pictures)), BACKGROUND
    )
    x = 0
    for picture in pictures:
        joined.paste(picture, (x, 0))
        x += picture.width + gap
    return joined


def _stack(pictures: Sequence[Image.Image], gap: int) -> Image.Image:
    width, height = max(p.width for p in pictures), sum(p.height for p in pictures) + gap * (len(pictures) - 1)
    joined = Image.new("RGB", (width, height), BACKGROUND)
    y = 0
    for picture in pictures:
        joined.paste(picture, (0, y))
        y += picture.height + gap
    return joined
