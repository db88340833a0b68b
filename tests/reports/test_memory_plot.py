"""The diagram of memory against the edge of a patch."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from torchio_seg.reports.memory_plot import CARDS, GIB, Dot, Series, Stroke, Text, draw, to_png, to_svg

SERIES = [
    Series(
        "training, fp32", [(64, 0.9 * GIB), (128, 2 * GIB)], [(64, 0.9 * GIB), (128, 2 * GIB), (160, 3 * GIB)], 7 * GIB
    ),
    Series("<prediction>", [(64, 0.7 * GIB)], [], None),
]


def test_every_measured_point_has_a_dot_and_more_memory_lies_higher() -> None:
    marks = draw("unet", "memory", SERIES)
    first, second = [mark for mark in marks if isinstance(mark, Dot) and mark.color == "#0072b2"][:2]
    assert first.x < second.x
    assert first.y > second.y


def test_cards_and_the_whole_volume_are_level_lines_in_their_order() -> None:
    marks = draw("unet", "memory", SERIES)
    cards = [mark.y for mark in marks if isinstance(mark, Text) and mark.words.endswith("GB card")]
    assert len(cards) == len(CARDS)
    assert cards == sorted(cards, reverse=True)
    whole = [mark for mark in marks if isinstance(mark, Stroke) and mark.is_dashed]
    assert len(whole) == 1
    (_, start), (_, end) = whole[0].places
    assert start == end
    assert start > cards[0], "7 GiB lie below an 8 GB card"


def test_the_legend_says_what_the_whole_takes_and_whether_it_was_measured() -> None:
    measured, estimated = (Series("x", [(64, GIB)], [], 7 * GIB, is_measured) for is_measured in (True, False))
    words = [mark.words for mark in draw("unet", "memory", [measured, estimated]) if isinstance(mark, Text)]
    assert "whole volume: 7 GiB" in words
    assert "whole volume: about 7 GiB, by the curve" in words


def test_svg_is_well_formed_and_png_is_a_picture_of_the_same_shape() -> None:
    marks = draw("a & b", "memory", SERIES)
    root = ET.fromstring(to_svg(marks))  # noqa: S314 (our own text)
    assert "<prediction>" in {text.text for text in root.iter("{http://www.w3.org/2000/svg}text")}
    with Image.open(io.BytesIO(to_png(marks))) as picture:
        assert picture.width / picture.height == pytest.approx(
            float(root.attrib["width"]) / float(root.attrib["height"])
        )
        assert len(picture.getcolors(1 << 20)) > 10


def test_nothing_measured_is_still_a_diagram() -> None:
    assert to_png(draw("unet", "memory", []))
