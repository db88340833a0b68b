"""What the screen shows is what was given, letter for letter."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pytest
from rich.console import Console

from torchio_seg.cli.failure import show_failure
from torchio_seg.cli.screen import Screen
from torchio_seg.metrics import mean_dice, summarize
from torchio_seg.records import RegionScore

NAMES = ("scan[left]", "[bold]", "[/]", r"back\[slash]", ":brain:")


def shown(screen: Screen, show: Callable[[], None], width: int = 200) -> str:
    """What is printed as a result, without styles."""
    text = StringIO()
    screen.results, before = Console(file=text, width=width, highlight=False), screen.results
    try:
        show()
    finally:
        screen.results = before
    return text.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_names_of_cases_and_regions_are_shown_as_they_are(name: str) -> None:
    screen = Screen()
    scores = [RegionScore(name, f"region {name}", 0.5, 1, 1), RegionScore("plain", f"region {name}", None, 0, 0)]
    lines = shown(screen, lambda: screen.table_of_cases(scores)).splitlines()
    assert " case " in lines[1]
    assert f" region {name} " in lines[1]
    assert f" {name} " in lines[3]
    assert "0.500" in lines[3]
    assert "n/a" in lines[4]


@pytest.mark.parametrize("name", NAMES)
def test_regions_of_a_summary_are_shown_as_they_are(name: str) -> None:
    screen = Screen()
    summaries = summarize([RegionScore("a", name, 0.25, 1, 1)])
    text = shown(screen, lambda: screen.table_of_scores("Dice", summaries, mean_dice(summaries)))
    row = next(line for line in text.splitlines() if "│ 0.250 │     1" in line.replace("┃", "│"))
    assert f" {name} " in row


@pytest.mark.parametrize("name", NAMES)
def test_any_table_shows_its_words_as_they_are(name: str) -> None:
    screen = Screen()
    lines = shown(screen, lambda: screen.table((f"head {name}",), [(f"data/{name}",)])).splitlines()
    assert f" head {name} " in lines[1]
    assert f" data/{name} " in lines[3]


def test_regions_that_do_not_fit_beside_each_other_are_told_by_their_mean() -> None:
    screen = Screen()
    scores = [RegionScore("case_0001", f"a region with a long name {number}", 0.5, 1, 1) for number in range(4)]
    wide = shown(screen, lambda: screen.table_of_cases(scores))
    narrow = shown(screen, lambda: screen.table_of_cases(scores), width=80)
    assert "lowest" not in wide
    assert "lowest" in narrow
    assert "…" not in wide + narrow


def test_a_stop_is_told_by_what_the_work_says_of_it_and_by_one_word_else(capfd: pytest.CaptureFixture[str]) -> None:
    Screen.shared.cache_clear()
    told, plain, closed = KeyboardInterrupt(), SystemExit(143), SystemExit(1)
    told.add_note("stopped: 2 of 3 are written")
    assert [show_failure(end) for end in (told, plain, closed)] == [130, 143, 1]
    assert capfd.readouterr().err.splitlines() == ["stopped: 2 of 3 are written", "stopped"]
    Screen.shared.cache_clear()


@pytest.mark.parametrize("name", NAMES)
def test_a_table_in_parts_shows_headings_above_their_rows_as_they_are(name: str) -> None:
    screen = Screen()
    parts = {f"head {name}": [(f"row {name}", "1.5 GB")], "other": [("last", "10 GB")]}
    text = shown(screen, lambda: screen.table_in_parts(f"title {name}", (name, "memory"), parts))
    lines = text.splitlines()
    assert lines[0].strip() == f"title {name}"
    places = [next(at for at, line in enumerate(lines) if word in line) for word in ("head ", "row ", "other", "last")]
    assert places == [4, 5, 7, 8], "a line between the parts"
    assert f"   row {name} " in lines[5]
    assert lines[5].index("1.5 GB") == lines[8].index("10 GB") - 1, "numbers end in one line"


def test_many_regions_are_told_by_their_mean_and_the_lowest_of_them() -> None:
    screen = Screen()
    scores = [RegionScore("a", f"organ {number}", number / 10, 1, 1) for number in range(1, 9)]
    scores += [RegionScore("b", f"organ {number}", None, 0, 0) for number in range(1, 9)]
    lines = shown(screen, lambda: screen.table_of_cases(scores)).splitlines()
    assert max(map(len, lines)) < 80
    assert "0.450" in lines[3]
    assert "0.100 organ 1" in lines[3]
    assert lines[4].count("n/a") == 2


@pytest.mark.parametrize(("columns", "is_wide"), [(80, False), (120, True)])
def test_all_figures_of_a_step_fit_the_terminal(columns: int, is_wide: bool) -> None:
    screen, text = Screen(), StringIO()
    screen.errors = Console(file=text, width=columns, force_terminal=True, color_system=None)
    screen.start("validation", 388)
    screen.advance(
        40, loss=0.01234, learning_rate=0.000345, patches_per_second=123.4, waiting=1.0, memory=123 * 1024**3
    )
    assert screen._bars is not None
    screen._bars.stop()
    [line] = screen.errors.render_lines(screen._bars.get_renderable(), pad=False)
    told = "".join(segment.text for segment in line)
    screen.finish()
    assert "…" not in told
    for figure in ("40/388", "loss 0.0123", "rate 0.000345", "123", "100"):
        assert figure in told
    assert ("patches/s" in told) == is_wide
