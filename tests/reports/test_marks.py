"""Marks as SVG and as PNG."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET

from PIL import Image

from torchio_seg.reports.marks import HEIGHT, WIDTH, Dot, Mark, Stroke, Text, Triangle, to_png, to_svg

RED = "#ff0000"
MARKS: list[Mark] = [
    Text(12, 20, "a & <b>", is_bold=True),
    Stroke(((100, 100), (300, 100)), RED),
    Stroke(((100, 150), (300, 150)), RED, is_dashed=True),
    Stroke(((400, 100), (600, 137)), RED, 1.6),
    Dot(100, 200, RED),
    Dot(200, 200, RED, is_open=True),
    Triangle(300, 200, RED),
]


def _redness(picture: Image.Image, x: float, y: float) -> int:
    """Of white and red: 255 where it is red."""
    scale = picture.width / WIDTH
    pixel = picture.convert("RGB").getpixel((round(x * scale), round(y * scale)))
    assert isinstance(pixel, tuple)
    return 255 - pixel[1]


def test_svg_is_well_formed_and_has_every_mark() -> None:
    root = ET.fromstring(to_svg(MARKS))  # noqa: S314 (our own text)
    names = [element.tag.rpartition("}")[2] for element in root]
    assert names == ["rect", "text", *["polyline"] * 3, "circle", "circle", "polygon"]
    assert root[1].text == "a & <b>"
    (_, base), (_, other), (_, tip) = (map(float, corner.split(",")) for corner in root[-1].attrib["points"].split())
    assert base == other > tip
    assert root[-1].attrib["fill"] == "none"


def test_png_is_of_the_same_shape_and_its_hollow_marks_are_hollow() -> None:
    with Image.open(io.BytesIO(to_png(MARKS))) as picture:
        assert picture.width * HEIGHT == picture.height * WIDTH
        assert _redness(picture, 100, 200) == 255
        assert _redness(picture, 200, 200) < 20
        assert _redness(picture, 300, 197) < 20
        assert _redness(picture, 300, 200) > 150, "its base"
        dashes = [_redness(picture, x, 150) > 128 for x in range(100, 300)]
        assert 0.5 < sum(dashes) / len(dashes) < 0.8
        assert all(_redness(picture, x, 100) > 128 for x in range(101, 300))


def test_slanted_lines_of_the_png_have_soft_edges() -> None:
    with Image.open(io.BytesIO(to_png(MARKS))) as picture:
        scale = picture.width / WIDTH
        part = picture.convert("RGB").crop(tuple(round(scale * end) for end in (420, 95, 580, 140)))
        shades = {color[1] for _, color in part.getcolors(1 << 16) or () if isinstance(color, tuple)}
        assert len(shades) > 5, "a line of steps has two"
