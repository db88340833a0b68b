"""The diagram of memory against the edge of a patch."""

from __future__ import annotations

import pytest

from torchio_seg.reports.marks import GREY, Dot, Mark, Stroke, Text, Triangle
from torchio_seg.reports.memory_plot import GB, GIB, Level, Series, Whole, draw

CURVE = [(64, 0.9 * GB), (128, 2 * GB), (160, 3 * GB)]
SERIES = [
    Series("training, fp32", [(64, 0.9 * GB), (128, 2 * GB)], CURVE, Whole(160, 7 * GB, "measured")),
    Series("<prediction>", [(64, 0.7 * GB)]),
]
BLUE = "#0072b2"


def _words(marks: list[Mark]) -> list[str]:
    return [mark.words for mark in marks if isinstance(mark, Text)]


def _cards(marks: list[Mark]) -> list[str]:
    return [words for words in _words(marks) if words.endswith("card")]


def _line(marks: list[Mark], name: str) -> float:
    """The height of the line that is nearest to its name."""
    height = next(mark.y for mark in marks if isinstance(mark, Text) and mark.words == name)
    levels = [mark.places[0][1] for mark in marks if isinstance(mark, Stroke) and mark.color in {GREY, "#000000"}]
    return min(levels, key=lambda level: abs(level - height))


def test_every_measured_point_has_a_dot_and_more_memory_lies_higher() -> None:
    marks = draw("unet", "memory", SERIES)
    first, second = [mark for mark in marks if isinstance(mark, Dot) and mark.color == BLUE][:2]
    assert first.x < second.x
    assert first.y > second.y


def test_the_whole_volume_is_a_level_and_an_open_dot_at_its_edge_where_it_was_measured() -> None:
    marks = draw("unet", "memory", SERIES)
    (whole,) = [mark for mark in marks if isinstance(mark, Dot) and mark.is_open and mark.color == BLUE]
    (dashes,) = [mark for mark in marks if isinstance(mark, Stroke) and mark.is_dashed and mark.color == BLUE]
    (curve,) = [mark for mark in marks if isinstance(mark, Stroke) and len(mark.places) == len(CURVE)]
    assert {y for _, y in dashes.places} == {whole.y}
    assert whole.x == curve.places[-1][0], "both at 160"
    assert whole.y > _line(marks, "8 GiB card")
    told = draw("unet", "memory", [Series("x", CURVE, CURVE, Whole(160, 3 * GB, "by the curve"))])
    assert not any(isinstance(mark, Dot) and mark.is_open for mark in told)
    assert "the whole volume" in _words(told)


@pytest.mark.parametrize(
    ("how", "words"),
    [("measured", "7 GB"), ("by the curve", "about 7 GB, by the curve"), ("more than", "more than 7 GB")],
)
def test_the_legend_says_what_the_whole_takes_and_how_that_is_known(how: str, words: str) -> None:
    marks = draw("unet", "memory", [Series("x", [(64, GB)], whole=Whole(160, 7 * GB, how))])  # type: ignore[arg-type]
    assert f"whole volume: {words}" in _words(marks)


@pytest.mark.parametrize(
    ("most", "cards"),
    [(1, ["8"]), (7, ["8"]), (9, ["8", "12"]), (12, ["8", "12"]), (30, ["8", "12", "24", "80"])],
)
def test_the_axis_ends_at_the_first_card_that_holds_everything(most: float, cards: list[str]) -> None:
    marks = draw("unet", "memory", [Series("x", [(64, GIB / 2), (128, most * GIB)])])
    assert _cards(marks) == [f"{card} GiB card" for card in cards]
    heights = [_line(marks, words) for words in _cards(marks)]
    assert heights == sorted(heights, reverse=True)
    assert _cards(draw("unet", "memory", [Series("x", [(64, 20 * GIB)])])) == ["24 GiB card"], "none below the axis"


def test_more_than_the_largest_card_still_lies_in_the_frame() -> None:
    marks = draw("unet", "memory", [Series("x", [(64, GIB), (160, 300 * GIB)])])
    top = min(mark.y for mark in marks if isinstance(mark, Dot) and mark.color == BLUE)
    assert next(mark.y for mark in marks if isinstance(mark, Text) and mark.words == "GB") < top


def test_what_did_not_fit_stands_on_its_limit_at_the_size_that_was_asked_for() -> None:
    limit = 1500 * 2**20
    level = Level(limit, "memory limit 1500 MiB")
    fitting = Series("fits", [(32, GB), (64, limit)])
    marks = draw("unet", "memory", [fitting, Series("not", [], refused=[(64, limit)])], levels=[level])
    (stands,) = [mark for mark in marks if isinstance(mark, Triangle) and mark.x < 660 and mark.color != BLUE]
    at_limit = [mark for mark in marks if isinstance(mark, Dot) and mark.color == BLUE][1]
    assert (stands.x, stands.y) == (at_limit.x, at_limit.y)
    assert stands.y == _line(marks, "memory limit 1500 MiB")
    assert stands.corners[2][1] < stands.y, "it points up"


def test_triangles_at_one_place_do_not_hide_each_other() -> None:
    refused = [(64, GB), (96, GB)]
    marks = draw("unet", "memory", [Series("a", [], refused=refused), Series("b", [], refused=refused)])
    sizes = [mark.size for mark in marks if isinstance(mark, Triangle) and mark.x < 660]
    assert sizes[0] == sizes[1] < sizes[2] == sizes[3]


def test_budgets_and_limits_are_level_lines_and_close_names_do_not_lie_on_each_other() -> None:
    levels = [Level(4 * GB, "budget", is_budget=True), *(Level(n * GB, f"limit {n}") for n in (2, 3, 3.01))]
    marks = draw("unet", "memory", SERIES, levels=levels)
    assert [words for words in _words(marks) if words.startswith("limit")] == ["limit 3.01", "limit 2"]
    assert _line(marks, "budget") < _line(marks, "limit 3.01") < _line(marks, "limit 2")
    across = {mark.places[0][1] for mark in marks if isinstance(mark, Stroke) and mark.color == "#000000"}
    assert len(across) == 4


def test_the_legend_tells_of_the_marks_that_are_there() -> None:
    bare, refused = (draw("unet", "memory", [Series("x", [(64, GB)], refused=more)]) for more in ([], [(96, 2 * GB)]))
    told = [words for words in _words(refused) if words not in _words(bare)]
    assert "did not fit: more than the limit it stands on" in told
    assert not {"the whole volume", "a + b x voxels, fitted to the dots"} & {*_words(bare), *_words(refused)}


def test_nothing_measured_is_still_a_diagram_that_says_why() -> None:
    assert "no size fits" in _words(draw("unet", "memory", [], empty="no size fits"))
