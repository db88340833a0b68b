from pathlib import Path

import pytest

from torchio_seg.errors import DataError
from torchio_seg.listings.pairing import ENDINGS, by_name, in_order, is_label, name_of, unique


def images(*stems: str) -> dict[str, tuple[Path, ...]]:
    return {name_of(path, ENDINGS): (path,) for path in (Path(f"images/{each}.nii.gz") for each in stems)}


def labels(*stems: str) -> dict[str, Path]:
    return {name_of(path, ENDINGS): path for path in (Path(f"labels/{each}.nii.gz") for each in stems)}


def refused(*words: str, pair, given) -> None:
    with pytest.raises(DataError) as caught:
        pair(*given)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("p1_seg", "p1"),
        ("p1-Mask", "p1"),
        ("p1_T1w_seg", "p1"),
        ("p1_T1", "p1_T1"),
        ("p1.v2_image", "p1.v2"),
        ("_seg", "_seg"),
        ("007", "007"),
    ],
)
def test_a_name_loses_suffix_and_endings_and_nothing_else(stem: str, name: str) -> None:
    assert name_of(Path(f"{stem}.nii.gz"), ENDINGS) == name
    assert name_of(Path(f"{stem}.NII"), ENDINGS) == name


def test_no_endings_or_an_empty_one_leave_the_stem() -> None:
    assert name_of(Path("p1_seg.nii"), ()) == "p1_seg"
    assert name_of(Path("p1_seg.nii"), ("",)) == "p1_seg"


@pytest.mark.parametrize(("stem", "expected"), [("p_seg", True), ("Seg", True), ("p_T1", False), ("segment", False)])
def test_label_maps_are_told_by_their_names(stem: str, expected: bool) -> None:
    assert is_label(Path(f"{stem}.nii.gz")) == expected


def test_pairs_go_by_name_whatever_the_order() -> None:
    pairs, notes = by_name(images("b_img", "a"), labels("a_seg", "b_mask"), ENDINGS)
    assert {name: (i[0].name, label.name) for name, (i, label) in pairs.items()} == {
        "a": ("a.nii.gz", "a_seg.nii.gz"),
        "b": ("b_img.nii.gz", "b_mask.nii.gz"),
    }
    assert list(pairs) == ["a", "b"]
    assert notes == ()


def test_images_without_a_label_map_are_left_out_and_said() -> None:
    pairs, notes = by_name(images("a", "b", "c"), labels("b_seg"), ENDINGS)
    assert list(pairs) == ["b"]
    assert notes == ("2 images without a label map are left out: a, c",)


def test_label_maps_without_an_image_are_refused_and_both_sides_listed() -> None:
    given = (images("a", "b"), labels("b_seg", "c_seg"), ENDINGS)
    refused("1 of 2 label maps", "c_seg.nii.gz", "1 of 2 images", "a.nii.gz", "_seg -seg", pair=by_name, given=given)


def test_the_first_ten_and_the_number_are_listed() -> None:
    given = (images("z"), labels(*(f"p{number:02d}" for number in range(13))), ENDINGS)
    refused("13 of 13 label maps", "p09.nii.gz and 3 more", pair=by_name, given=given)


@pytest.mark.parametrize(
    ("image_stems", "label_stems", "patterns"),
    [
        (("img0001", "img0010"), ("label0001", "label0010"), ("img{id}.nii.gz", "label{id}.nii.gz")),
        (("p1_0000", "p2_0000"), ("p1", "p2"), ("FOLDER/{id}_0000.nii.gz", "FOLDER/{id}.nii.gz")),
    ],
)
def test_names_that_all_differ_alike_get_the_patterns_that_pair_them(
    image_stems: tuple[str, ...], label_stems: tuple[str, ...], patterns: tuple[str, ...]
) -> None:
    refused(*patterns, "pair: order", pair=by_name, given=(images(*image_stems), labels(*label_stems), ENDINGS))


def test_names_that_share_nothing_get_no_patterns() -> None:
    with pytest.raises(DataError) as caught:
        by_name(images("a1", "b2"), labels("x", "y"), ENDINGS)
    assert "Patterns that pair" not in str(caught.value)


def test_two_files_for_one_case_are_refused() -> None:
    named = [("a", Path("a.nii")), ("b", Path("b.nii")), ("a", Path("a_img.nii.gz"))]
    refused("1 cases have more than one image", "a (a.nii, a_img.nii.gz)", pair=unique, given=(named, "image"))


def test_order_counts_numbers_and_shows_the_pairs() -> None:
    pairs, notes = in_order(images("scan10", "scan2"), labels("m_0002", "m_0010"))
    assert {name: label.name for name, (_, label) in pairs.items()} == {
        "scan10": "m_0010.nii.gz",
        "scan2": "m_0002.nii.gz",
    }
    assert notes == ("paired by order, not by name: scan2.nii.gz with m_0002.nii.gz, scan10.nii.gz with m_0010.nii.gz",)


def test_order_needs_as_many_of_each() -> None:
    refused("2 images and 1 label maps", "pair: name", pair=in_order, given=(images("a", "b"), labels("a")))
