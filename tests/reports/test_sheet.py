"""A sheet shows every picture whole, keeps its width, and is the same file for the same content."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from torchio_seg.reports.sheet import WIDTH, Block, Panel, Section, compose, to_png

LEGEND = {"liver": (230, 159, 0), "spleen": (86, 180, 233)}


def panel(color: tuple[int, int, int], size: tuple[int, int] = (120, 90), caption: str = "axial 3/9") -> Panel:
    return Panel(Image.new("RGB", size, color), caption, ("R", "L"))


def colors(count: int) -> list[tuple[int, int, int]]:
    return [(200, 17, 3 * number) for number in range(count)]


def area(sheet: Image.Image, color: tuple[int, int, int]) -> int:
    return int((np.asarray(sheet) == np.array(color)).all(axis=-1).sum())


def test_no_picture_is_covered_or_cut_however_many_there_are() -> None:
    used = colors(30)
    blocks = [
        Block(f"case {n}", "96 x 96 voxels " * (n % 5), ((panel(used[3 * n]), panel(used[3 * n + 1], (90, 140))),))
        for n in range(10)
    ]
    sheet = compose("title", "note", LEGEND, [Section("Cases", "what they are", tuple(blocks))])
    assert sheet.width == WIDTH
    for n in range(10):
        assert area(sheet, used[3 * n]) == 120 * 90
        assert area(sheet, used[3 * n + 1]) == 90 * 140


def test_every_colour_of_the_legend_has_its_swatch_even_of_many_long_names() -> None:
    legend = dict(zip([f"portal and splenic veins {n}" for n in range(40)], colors(40), strict=True))
    sheet = compose("title", "note", legend, [])
    swatches = {area(sheet, color) for color in legend.values()}
    assert len(swatches) == 1
    assert swatches.pop() >= 150


def test_words_that_are_too_long_leave_the_pictures_whole() -> None:
    long = "a_name_without_any_place_to_break_it" * 8
    block = Block(long, long, ((panel((1, 200, 3), caption=long),),), (long,))
    sheet = compose(long, long, {long: (9, 8, 200)}, [Section(long, long, (block,))])
    assert sheet.width == WIDTH
    assert area(sheet, (1, 200, 3)) == 120 * 90
    margin = np.asarray(sheet)[:, -20:]
    assert (margin == 255).all()


def test_letters_that_the_font_lacks_are_replaced_not_boxed() -> None:
    def drawn(title: str) -> bytes:
        return to_png(compose(title, "", LEGEND, []))

    assert drawn("Hämatom é") == drawn("Hamatom e")
    assert drawn("肝 x") == drawn("? x")


def test_a_section_without_blocks_is_a_heading() -> None:
    sheet = compose("title", "note", LEGEND, [Section("Spatial steps", "The experiment has none.", ())])
    assert sheet.height < 300


def test_the_file_is_a_png_with_the_same_bytes_each_time() -> None:
    section = Section("Cases", "", (Block("case", "", ((panel((1, 2, 3)),),)),))
    first, second = (to_png(compose("title", "note", LEGEND, [section])) for _ in range(2))
    assert first == second
    with Image.open(io.BytesIO(first)) as image:
        assert image.format == "PNG"
        assert image.width == WIDTH
