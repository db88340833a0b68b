from __future__ import annotations

from pathlib import Path

import pytest

from torchio_seg.errors import DataError
from torchio_seg.records import Case, Labels

NAMES = {0: "background", 1: "oedema", 2: "necrosis", 3: "enhancing", 4: "enhancing"}


@pytest.mark.parametrize(
    ("regions", "values"),
    [
        ({"WT": [1, 2, 3], "TC": [2, 3], "ET": [3]}, [1, 2, 3]),  # Decathlon
        ({"WT": [1, 2, 4], "TC": [1, 4], "ET": [4]}, [2, 1, 4]),  # BraTS 2018 to 2021: 1 is necrosis, 2 oedema
        ({"lung": [1]}, [1]),
    ],
)
def test_a_region_is_written_with_the_label_that_no_later_region_has(regions: dict, values: list[int]) -> None:
    labels = Labels.of_regions(NAMES, regions)
    assert [region.value for region in labels.regions] == values
    assert labels.num_channels == len(regions)


def test_regions_that_cannot_be_told_apart_in_a_label_map_are_refused() -> None:
    with pytest.raises(DataError, match="outer regions before inner"):
        Labels.of_regions(NAMES, {"ET": [3], "WT": [1, 2, 3]})
    with pytest.raises(DataError, match=r"labels \[9\]"):
        Labels.of_regions(NAMES, {"WT": [9]})


def test_classes_get_a_channel_each_and_one_for_background() -> None:
    labels = Labels.of_classes({0: "background", 2: "b", 1: "a"})
    assert [(region.name, region.value) for region in labels.regions] == [("a", 1), ("b", 2)]
    assert labels.num_channels == 3


@pytest.mark.parametrize("bad", ["../x", "a/b", "", "..", "a\\b", "a\nb"])
def test_a_case_id_that_could_leave_a_folder_is_refused(bad: str) -> None:
    with pytest.raises(DataError, match="case id"):
        Case(bad, (Path("a.nii.gz"),))
