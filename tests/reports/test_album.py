"""Tables kept in a run's folder: whole or as they were, and the same when they are read again."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from torchio_seg.errors import DataError
from torchio_seg.reports.album import Album, folder_of, read_album
from torchio_seg.tracking.interface import Overlay, Picture, Run, Shown

KEY, COLUMNS = "media/predictions", ["Case", "Image", "Dice"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, "liver", job="evaluate", part="test")


def picture(seed: int = 0) -> Picture:
    rng = np.random.default_rng(seed)
    masks = [rng.uniform(size=(5, 7)) > 0.5 for _ in range(2)]
    overlays = (
        Overlay("ground-truth/<liver>", masks[0], 1, "<liver>"),
        Overlay("prediction/<liver>", masks[1], 2, "<liver>"),
    )
    return Picture(rng.integers(0, 256, (5, 7), dtype=np.uint8), overlays)


def keep(run: Run, *rows: tuple[str | float | Picture | None, ...]) -> None:
    table = Album(run, Shown(1, 1)).table(KEY, COLUMNS)
    for row in rows:
        table.add(*row)
    table.finish()


def test_a_table_is_read_back_as_it_was_shown(run: Run) -> None:
    keep(run, ("a", picture(), 0.5), ("b", picture(1), None))
    [kept] = read_album(run)
    assert (kept.key, list(kept.columns)) == (KEY, COLUMNS)
    for (case, cell, dice), wanted in zip(kept, [("a", picture(), 0.5), ("b", picture(1), None)], strict=True):
        assert (case, dice) == (wanted[0], wanted[2])
        assert isinstance(cell, Picture)
        assert np.array_equal(cell.pixels, wanted[1].pixels)
        for overlay, shown in zip(cell.overlays, wanted[1].overlays, strict=True):
            assert (overlay.name, overlay.value, overlay.label) == (shown.name, shown.value, shown.label)
            assert np.array_equal(overlay.mask, shown.mask)


def test_a_picture_that_is_shown_twice_is_one_file(run: Run) -> None:
    keep(run, ("a", picture(), 0.5))
    few = set(folder_of(run).rglob("*.png"))
    keep(run, ("a", picture(), 0.5), ("a", picture(), 0.6))
    assert set(folder_of(run).rglob("*.png")) == few
    assert len(few) == 3


def test_a_table_that_did_not_come_to_its_end_leaves_the_former(run: Run) -> None:
    keep(run, ("a", picture(), 0.5))
    Album(run, Shown(1, 1)).table(KEY, COLUMNS).add("b", picture(1), 0.6)
    [kept] = read_album(run)
    assert [row[0] for row in kept] == ["a"]
    keep(run, ("c", picture(2), 0.7))
    [kept] = read_album(run)
    assert [row[0] for row in kept] == ["c"]
    assert len(list(folder_of(run).iterdir())) == 1, "what was begun is gone"


def test_the_page_names_files_that_are_there_and_takes_no_name_for_markup(run: Run) -> None:
    keep(run, ("<b>a</b>", picture(), None))
    [page] = folder_of(run).glob("*/index.html")
    text = page.read_text()
    sources = re.findall(r'src="([^"]+)"', text)
    assert len(sources) == 3
    assert all((page.parent / source).is_file() for source in sources)
    assert "<b>" not in text
    assert "<liver>" not in text
    assert re.findall(r'name="([^"]+)"', text) == re.findall(r'alt="([^"]+)"', text), "a switch for each mask"
    assert "http" not in text, "nothing is asked of anybody"


def test_a_region_has_one_colour_in_truth_and_prediction_and_another_region_another(run: Run) -> None:
    mask = np.ones((5, 7), bool)
    names = ("ground-truth/liver", "prediction/liver", "prediction/spleen")
    overlays = tuple(Overlay(name, mask, value, name.partition("/")[2]) for value, name in enumerate(names))
    keep(run, ("a", Picture(np.zeros((5, 7), np.uint8), overlays), 0.5))
    [page] = folder_of(run).glob("*/index.html")
    truth, prediction, spleen = re.findall(r"background: rgb(\([^)]+\))", page.read_text())
    assert truth == prediction != spleen


def test_a_damaged_table_is_named(run: Run) -> None:
    keep(run, ("a", picture(), 0.5))
    [path] = folder_of(run).glob("*/table.json")
    path.write_text("{")
    with pytest.raises(DataError, match="take its folder away"):
        read_album(run)
