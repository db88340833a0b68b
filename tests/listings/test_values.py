import re
from pathlib import Path

import numpy as np
import pytest

from torchio_seg.errors import DataError
from torchio_seg.listings.values import declare, discover
from torchio_seg.volumes.nifti import create


def label_maps(folder: Path, *contents: list[float], dtype: type = np.uint8) -> list[Path]:
    """One file of eight voxels for each list of values; the others are 0."""
    paths = []
    folder.mkdir(exist_ok=True)
    for number, values in enumerate(contents):
        voxels = np.zeros(8, dtype)
        voxels[: len(values)] = values
        create(folder / f"case_{number:02d}.nii.gz", voxels.reshape(2, 2, 2), np.eye(4))
        paths.append(folder / f"case_{number:02d}.nii.gz")
    return paths


def refused(words: list[str], *args, **options) -> None:
    with pytest.raises(DataError) as caught:
        discover(*args, **options)
    for word in words:
        assert word in str(caught.value)


def test_every_value_above_zero_becomes_a_class(tmp_path: Path) -> None:
    labels, notes = discover(label_maps(tmp_path, [1, 4], [4, 4]))
    assert labels.names == {0: "background", 1: "label 1", 4: "label 4"}
    assert [(region.name, region.value) for region in labels.regions] == [("label 1", 1), ("label 4", 4)]
    assert labels.exclusive
    assert notes == ("values in 2 label maps: 0 in 2, 1 in 1, 4 in 2",)


def test_a_single_value_is_called_foreground(tmp_path: Path) -> None:
    labels, _ = discover(label_maps(tmp_path, [1], []))
    assert labels.names == {0: "background", 1: "foreground"}


def test_names_given_are_kept_and_the_background_added(tmp_path: Path) -> None:
    labels, notes = discover(label_maps(tmp_path, [1], [2]), names={1: "liver", 2: "tumour", 3: "vein"})
    assert labels.names == {0: "background", 1: "liver", 2: "tumour", 3: "vein"}
    assert "labels that stand in no label map: 3 vein" in notes


def test_a_value_without_a_name_gets_none_and_is_left_to_the_check(tmp_path: Path) -> None:
    labels, notes = discover(label_maps(tmp_path, [1], [7]), names={1: "liver"})
    assert labels.names == {0: "background", 1: "liver"}
    assert "values in 2 label maps: 0 in 2, 1 in 1, 7 in 1" in notes


def test_a_label_map_that_cannot_be_trusted_says_nothing_but_is_named(tmp_path: Path) -> None:
    files = label_maps(tmp_path, [1, 4], [1, 3])
    files[1].write_bytes(files[1].read_bytes()[:-9])
    labels, notes = discover(files)
    assert labels.names == {0: "background", 1: "label 1", 4: "label 4"}
    assert notes == (
        "values in 1 label maps: 0 in 1, 1 in 1, 4 in 1",
        "label maps that cannot be trusted say nothing here: case_01.nii.gz",
    )
    refused(["case_01.nii.gz: truncated"], files[1:])


def test_masks_of_255_are_accepted_and_said(tmp_path: Path) -> None:
    labels, notes = discover(label_maps(tmp_path, [255], [255, 255], []))
    assert [(region.name, region.labels, region.value) for region in labels.regions] == [("foreground", (255,), 255)]
    assert "masks hold 0 and 255; 255 is the structure, and predictions are written with 255" in notes


def test_two_ways_to_write_a_mask_are_refused_and_both_listed(tmp_path: Path) -> None:
    files = label_maps(tmp_path, [1], [255], [], [255])
    refused(
        ["1 masks hold 0 and 1 (case_00.nii.gz)", "2 hold 0 and 255 (case_01.nii.gz, case_03.nii.gz)", "in one way"],
        files,
    )


def test_1_and_255_named_as_two_structures_are_accepted(tmp_path: Path) -> None:
    labels, _ = discover(label_maps(tmp_path, [1], [255]), names={1: "liver", 255: "spleen"})
    assert [region.value for region in labels.regions] == [1, 255]


def test_255_beside_other_labels_is_worth_a_word(tmp_path: Path) -> None:
    files = label_maps(tmp_path, [1, 255], [1], [255])
    labels, notes = discover(files)
    assert [region.value for region in labels.regions] == [1, 255]
    assert any("set ignore: 255" in note for note in notes)
    labels, notes = discover(files, ignore=255)
    assert [(region.name, region.value) for region in labels.regions] == [("foreground", 1)]
    assert labels.ignore == 255
    assert not any("set ignore" in note for note in notes)


def test_a_value_in_one_file_of_many_is_worth_a_word(tmp_path: Path) -> None:
    many = [[1]] * 9
    _, notes = discover(label_maps(tmp_path, *many, [1, 3, 3]))
    assert "values in one label map only, perhaps by mistake: 3 (2 voxels of case_09.nii.gz)" in notes
    (tmp_path / "few").mkdir()
    _, notes = discover(label_maps(tmp_path / "few", [1], [1, 3]))
    assert len(notes) == 1


def test_regions_are_made_of_the_values_found(tmp_path: Path) -> None:
    files = label_maps(tmp_path, [1, 2, 4])
    labels, _ = discover(files, regions={"whole": (1, 2, 4), "core": (1, 4), "rim": (4,)})
    assert [(region.name, region.value) for region in labels.regions] == [("whole", 2), ("core", 1), ("rim", 4)]
    refused(["region 'core' names labels [3]", "allowed are 1 label 1, 2 label 2"], files, regions={"core": (3,)})


def test_images_are_refused_as_label_maps(tmp_path: Path) -> None:
    refused(["no whole numbers", "case_00"], label_maps(tmp_path, [0.5, 1], dtype=np.float32))
    create(tmp_path / "ct.nii.gz", np.arange(343, dtype=np.int16).reshape(7, 7, 7), np.eye(4))
    refused(["343 different values", "ct.nii.gz", "Give label maps"], [tmp_path / "ct.nii.gz"])


def test_negative_values_are_no_classes_and_alone_are_refused(tmp_path: Path) -> None:
    labels, _ = discover(label_maps(tmp_path, [1], [-1, 1], dtype=np.int16))
    assert labels.names == {0: "background", 1: "foreground"}
    refused(["-1 stand in", "case_01", "count from 0"], label_maps(tmp_path / "alone", [], [-1], dtype=np.int16))


@pytest.mark.parametrize(("ignore", "words"), [(None, "nothing but the values 0,"), (2, "nothing but the values 0, 2")])
def test_label_maps_of_background_alone_are_refused(tmp_path: Path, ignore: int | None, words: str) -> None:
    refused([words, "nothing to learn"], label_maps(tmp_path, [], [2] if ignore else []), ignore=ignore)


def test_no_label_maps_at_all_are_refused() -> None:
    refused(["no label maps"], [])


@pytest.mark.parametrize(
    ("names", "options", "words"),
    [
        ({-1: "air", 1: "liver"}, {}, "count from 1"),
        ({1: "liver"}, {"ignore": 0}, "0 is the background"),
        ({1: "liver", 2: "liver"}, {}, "the names liver stand for more than one label"),
        ({}, {}, "nothing is left to segment"),
        ({3: "unclear"}, {"ignore": 3}, "nothing is left to segment"),
        ({1: "liver"}, {"regions": {}}, "regions is empty"),
        ({1: "liver"}, {"regions": {"all": ()}}, "allowed are 1 liver"),
        ({1: "liver", 2: "?"}, {"ignore": 2, "regions": {"all": (1, 2)}}, "allowed are 1 liver"),
        ({1: "liver"}, {"regions": {"all": (0, 1)}}, "'all'"),
    ],
)
def test_labels_that_cannot_be_are_refused(names: dict[int, str], options: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        declare(names, **options)


def test_the_value_to_ignore_gets_a_name_of_its_own() -> None:
    assert declare({1: "liver"}, ignore=9).names == {0: "background", 1: "liver", 9: "ignore"}
    assert declare({1: "liver", 9: "unclear"}, ignore=9).names[9] == "unclear"
