from pathlib import Path
from typing import Any

import pytest

from torchio_seg.cli.phantom import LAYOUTS as LISTED
from torchio_seg.config.resolve import choose
from torchio_seg.datasets import decathlon, phantom
from torchio_seg.errors import UsageError
from torchio_seg.phantoms.layouts.catalogue import LAYOUTS
from torchio_seg.workflows.phantom import write_phantom

NUMBERS: dict[str, Any] = {"cases": 2, "shape": [18, 16, 20], "seed": 3}


def test_help_lists_every_layout() -> None:
    assert LISTED.rstrip(".").replace(" or ", ", ").split(", ") == list(LAYOUTS)


def test_the_kind_is_what_the_layout_is_for(tmp_path: Path) -> None:
    drawn = write_phantom(tmp_path / "p", "btcv", None, NUMBERS)
    assert (drawn.cohort.kind, drawn.experiment) == ("abdomen", "btcv")
    assert (tmp_path / "p" / "dataset_0.json").is_file()


@pytest.mark.parametrize(("cases", "is_few"), [(4, True), (5, False)])
def test_cases_that_the_experiment_would_all_keep_from_training_are_few(
    tmp_path: Path, cases: int, is_few: bool
) -> None:
    drawn = write_phantom(tmp_path / "p", "rtstruct", None, NUMBERS | {"cases": cases})
    split = choose(drawn.experiment, None, {}).split
    assert drawn.is_few is is_few is (split.validation + split.test >= cases)


def test_the_usual_layout_is_read_as_the_phantom_and_as_a_task(tmp_path: Path) -> None:
    write_phantom(tmp_path / "p", "decathlon", None, NUMBERS)
    known = phantom.build(tmp_path / "p", cases=2, shape=(18, 16, 20), seed=3)
    assert known.cases == decathlon.build(tmp_path / "p").cases


@pytest.mark.parametrize(
    ("layout", "kind", "numbers", "words"),
    [
        ("brats2023", "thorax", {}, "made for brain, not for thorax"),
        ("brats2023", None, {"channels": 3}, "leave it out"),
        ("decathlon", None, {"shape": [18, 15, 20]}, "at least 16"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_written(
    tmp_path: Path, layout: str, kind: str | None, numbers: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        write_phantom(tmp_path / "p", layout, kind, {**NUMBERS, **numbers})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    for place in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(UsageError, match="name a new folder"):
            write_phantom(place, "folders", None, NUMBERS)
