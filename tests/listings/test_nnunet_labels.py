from pathlib import Path
from typing import Any

import pytest

from torchio_seg.errors import DataError
from torchio_seg.listings.nnunet_labels import labels_of

PATH = Path("dataset.json")
TUMOUR = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}


def test_every_name_with_one_value_is_a_class() -> None:
    labels = labels_of({"labels": {"background": 0, "tumour": [2], "liver": 1}}, PATH)
    assert labels.names == {0: "background", 1: "liver", 2: "tumour"}
    assert labels.exclusive
    assert [region.value for region in labels.regions] == [1, 2]


def test_the_value_to_ignore_is_no_class() -> None:
    labels = labels_of({"labels": {"background": 0, "liver": 1, "ignore": 2}}, PATH)
    assert labels.ignore == 2
    assert [region.name for region in labels.regions] == ["liver"]


def test_regions_keep_their_order_and_the_values_written_for_them() -> None:
    labels = labels_of({"labels": TUMOUR, "regions_class_order": [1, 2, 3]}, PATH)
    assert [(region.name, region.labels, region.value) for region in labels.regions] == [
        ("whole", (1, 2, 3), 1),
        ("core", (2, 3), 2),
        ("enhancing", (3,), 3),
    ]
    assert not labels.exclusive
    assert labels.names == {0: "background", 1: "label 1", 2: "label 2", 3: "enhancing"}


def test_a_region_that_keeps_two_values_is_written_with_the_one_that_is_said() -> None:
    description = {"labels": {"background": 0, "whole": [1, 2, 4], "core": [4], "ignore": 5}}
    labels = labels_of({**description, "regions_class_order": [2, 4]}, PATH)
    assert [region.value for region in labels.regions] == [2, 4]
    assert labels.ignore == 5
    assert set(labels.names) == {0, 1, 2, 4, 5}


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (None, "'regions_class_order' is missing; it holds the value that is written for each of the 3"),
        ([1, 2], "3 regions whole, core, enhancing"),
        ([1, 2, "3"], "regions_class_order"),
        ([3, 2, 1], "writes 3 for 'whole', which is in core, enhancing too"),
        ([1, 1, 3], "writes 1 for 'core', which is none of its values"),
        ([1, 2, 9], "writes 9 for 'enhancing'"),
    ],
)
def test_orders_that_would_be_read_back_otherwise_are_refused(order: Any, words: str) -> None:
    with pytest.raises(DataError) as caught:
        labels_of({"labels": TUMOUR, "regions_class_order": order}, PATH)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (None, "'labels' is missing"),
        ({"liver": 1}, '"background": 0'),
        ({"background": 1, "liver": 0}, '"background": 0'),
        ({"0": "background", "1": "liver"}, "layout decathlon"),
        ({"background": 0, "liver": True}, "a whole number"),
        ({"background": 0, "liver": -1}, "a whole number"),
        ({"background": 0, "liver": []}, "a whole number"),
        ({"background": 0}, "needs names"),
        ({"background": 0, "air": 0}, "needs names"),
        ({"background": 0, "liver": 2, "ignore": 2}, "needs names"),
        ({"background": 0, "liver": 1, "spleen": 1}, "'liver' and 'spleen' the value 1"),
        ({"background": 0, "liver": 1, "ignore": 0}, "one value above 0"),
        ({"background": 0, "liver": 1, "ignore": [2, 3]}, "one value above 0"),
    ],
)
def test_labels_that_cannot_be_are_refused(section: Any, words: str) -> None:
    with pytest.raises(DataError) as caught:
        labels_of({"labels": section}, PATH)
    assert words in str(caught.value)
