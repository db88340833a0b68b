import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from torchio_seg import components
from torchio_seg.datasets import folders
from torchio_seg.errors import ConfigError, DataError, TorchioSegError
from torchio_seg.records import Dataset
from torchio_seg.volumes.nifti import create

FIELDS = {
    "strip": ["_seg"],
    "label_names": {"1": "liver"},
    "regions": {"all": [1]},
    "pair": "order",
    "channels": ["CT"],
}


def make_root(folder: Path) -> Path:
    root = folder / "set"
    scan(root, "images/p1.nii.gz", "images/p2.nii.gz", "images/p10.nii.gz")
    mask(root, "labels/p1_seg.nii.gz", "labels/p2_seg.nii.gz", "labels/p10_seg.nii.gz")
    return root


def scan(root: Path, *names: str, channels: int = 1) -> None:
    write(root, names, np.random.default_rng(0).normal(size=(*([channels] if channels > 1 else []), 3, 3, 3)))


def mask(root: Path, *names: str, value: int = 1) -> None:
    voxels = np.zeros((3, 3, 3), np.uint8)
    voxels[1, 1, 1] = value
    write(root, names, voxels)


def write(root: Path, names: Sequence[str], voxels: np.ndarray) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        create(root / name, voxels.astype(np.float32) if voxels.dtype.kind == "f" else voxels, np.eye(4))


def pairs(root: Path, dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {case.id: tuple(path.relative_to(root).as_posix() for path in case.files) for case in dataset.cases}


def refused(root: Path, *words: str, error: type[TorchioSegError] = DataError, **options) -> None:
    with pytest.raises(error) as caught:
        folders.build(root, **options)
    for word in words:
        assert word in str(caught.value)


def test_images_and_labels_are_paired_by_name(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    dataset = folders.build(root)
    assert pairs(root, dataset)["p10"] == ("images/p10.nii.gz", "labels/p10_seg.nii.gz")
    assert [case.id for case in dataset.cases] == ["p1", "p10", "p2"]
    assert (dataset.name, dataset.channels, dataset.splits) == ("set", ("image",), ())
    assert dataset.labels.names == {0: "background", 1: "foreground"}
    assert dataset.notes[0] == "images are in images/, label maps in labels/"


@pytest.mark.parametrize(("images", "labels"), [("imagesTr", "labelsTr"), ("Images", "Masks"), ("IMG", "label")])
def test_folders_have_many_names(tmp_path: Path, images: str, labels: str) -> None:
    scan(tmp_path, f"{images}/p1.nii.gz", f"{images}/p2.nii")
    mask(tmp_path, f"{labels}/p1.nii.gz", f"{labels}/p2.nii.gz")
    assert [case.id for case in folders.build(tmp_path).cases] == ["p1", "p2"]


@pytest.mark.parametrize(
    ("images", "labels"), [("{}/Img", "{}/Mask"), ("images/{}/Img", "masks/{}/Mask"), ("images/{}", "labels/{}")]
)
def test_folders_of_train_and_val_are_the_data_sets_own_split(tmp_path: Path, images: str, labels: str) -> None:
    for part, case in (("train", "a"), ("train", "b"), ("valid", "c"), ("Test", "d")):
        scan(tmp_path, f"{images.format(part)}/{case}.nii.gz")
        mask(tmp_path, f"{labels.format(part)}/{case}.nii.gz")
    dataset = folders.build(tmp_path)
    (split,) = dataset.splits
    assert (split.training, split.validation, split.test) == (("a", "b"), ("c",), ("d",))
    assert split.origin == "the data set's own folders: training, validation, test"
    assert [case.id for case in dataset.cases] == ["a", "b", "c", "d"]


def test_names_that_begin_anew_in_each_part_get_the_part_in_front(tmp_path: Path) -> None:
    for part in ("train", "val"):
        scan(tmp_path, f"{part}/Img/1.nii.gz")
        mask(tmp_path, f"{part}/Mask/1.nii.gz")
    dataset = folders.build(tmp_path)
    assert pairs(tmp_path, dataset)["validation_1"] == ("val/Img/1.nii.gz", "val/Mask/1.nii.gz")
    assert dataset.splits[0].training == ("training_1",)
    assert "the same names stand in several parts, so ids begin with the part" in dataset.notes


def test_test_images_without_label_maps_are_left_out_and_said(tmp_path: Path) -> None:
    scan(tmp_path, "imagesTr/a.nii.gz", "imagesTs/b.nii.gz", "imagesTs/c.nii.gz")
    mask(tmp_path, "labelsTr/a.nii.gz")
    dataset = folders.build(tmp_path)
    assert [case.id for case in dataset.cases] == ["a"]
    assert dataset.splits == ()
    assert "the 2 images of the test part have no label maps and are left out" in dataset.notes


def test_cases_outside_the_parts_are_refused(tmp_path: Path) -> None:
    scan(tmp_path, "images/a.nii.gz", "images/train/b.nii.gz")
    mask(tmp_path, "labels/a.nii.gz", "labels/train/b.nii.gz")
    refused(tmp_path, "a.nii.gz stand outside the folders for training")


def test_label_maps_beside_their_images_are_recognised(tmp_path: Path) -> None:
    scan(tmp_path, "x.nii.gz", "y.nii", "z.nii.gz")
    mask(tmp_path, "x_seg.nii.gz", "y_mask.nii.gz")
    dataset = folders.build(tmp_path)
    assert pairs(tmp_path, dataset) == {"x": ("x.nii.gz", "x_seg.nii.gz"), "y": ("y.nii", "y_mask.nii.gz")}
    assert "1 images without a label map are left out: z" in dataset.notes


def test_one_folder_a_case_is_recognised(tmp_path: Path) -> None:
    for case in ("p1", "p2"):
        scan(tmp_path, f"{case}/ct.nii.gz")
        mask(tmp_path, f"{case}/segmentation_mask.nii.gz")
    dataset = folders.build(tmp_path)
    assert pairs(tmp_path, dataset)["p1"] == ("p1/ct.nii.gz", "p1/segmentation_mask.nii.gz")


def test_bids_names_keep_the_subject(tmp_path: Path) -> None:
    for subject in ("sub-01", "sub-02"):
        scan(tmp_path, f"{subject}/anat/{subject}_T1w.nii.gz")
        mask(tmp_path, f"derivatives/labels/{subject}/anat/{subject}_T1w_seg.nii.gz")
    assert [case.id for case in folders.build(tmp_path).cases] == ["sub-01", "sub-02"]


def test_two_folders_of_one_name_keep_their_way(tmp_path: Path) -> None:
    for subject in ("sub-01", "sub-02"):
        scan(tmp_path, f"{subject}/anat/image.nii.gz")
        mask(tmp_path, f"{subject}/anat/seg.nii.gz")
    assert [case.id for case in folders.build(tmp_path).cases] == ["sub-01_anat", "sub-02_anat"]


def test_nothing_recognised_shows_what_is_there_and_what_would_be(tmp_path: Path) -> None:
    scan(tmp_path, *(f"{case}/{case}_{kind}.nii.gz" for case in ("a", "b") for kind in ("T1", "T2", "lesions")))
    (tmp_path / "readme.txt").touch()
    refused(
        tmp_path,
        "a/, b/, readme.txt",
        "6 volumes: a/a_T1.nii.gz",
        "end in _T1, _T2, _lesions",
        "images/CASE.nii.gz",
        "layout 'table'",
    )


def test_an_empty_or_missing_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "there is: nothing")
    refused(tmp_path / "nowhere", "nowhere is not there")


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    scan(root, "images/._p1.nii.gz", ".cache/images/p1.nii.gz")
    assert len(folders.build(root).cases) == 3


def test_links_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    scan(tmp_path, "outside.nii.gz")
    (root / "images" / "p3.nii.gz").symlink_to(tmp_path / "outside.nii.gz")
    refused(root, "images/p3.nii.gz", "links")


def test_patterns_name_one_file_for_each_channel_in_the_order_of_the_channels(tmp_path: Path) -> None:
    scan(tmp_path, *(f"scans/p_{number}_{kind}.nii.gz" for number in (1, 2) for kind in ("T1", "T1_gd", "FLAIR")))
    mask(tmp_path, "roi/1.nii.gz", "roi/2.nii.gz", "roi/readme/old.nii.gz")
    dataset = folders.build(
        tmp_path, images="scans/p_{id}_{channel}.nii.gz", labels="roi/*.nii.gz", channels=("T1_gd", "FLAIR", "T1")
    )
    assert dataset.channels == ("T1_gd", "FLAIR", "T1")
    first = ("scans/p_1_T1_gd.nii.gz", "scans/p_1_FLAIR.nii.gz", "scans/p_1_T1.nii.gz", "roi/1.nii.gz")
    assert pairs(tmp_path, dataset)["1"] == first


def test_patterns_may_repeat_the_id_and_name_a_folder(tmp_path: Path) -> None:
    scan(tmp_path, "p1/p1.nii.gz", "p1/p2.nii.gz", "p2/p2.nii.gz")
    mask(tmp_path, "deep/er/p1.nii.gz", "deep/er/p2.nii.gz")
    dataset = folders.build(tmp_path, images="{id}/{id}.nii.gz", labels="deep/**/*.nii.gz")
    assert pairs(tmp_path, dataset)["p2"] == ("p2/p2.nii.gz", "deep/er/p2.nii.gz")
    assert folders.build(tmp_path, images="{id}/{id}.nii.gz", labels="deep/er").cases == dataset.cases


def test_lacking_channels_are_listed(tmp_path: Path) -> None:
    scan(tmp_path, "a_T1.nii.gz", "a_T2.nii.gz", "b_T1.nii.gz", "c_T2.nii.gz")
    mask(tmp_path, "m/a.nii.gz", "m/b.nii.gz")
    options = {"images": "{id}_{channel}.nii.gz", "labels": "m", "channels": ("T1", "T2")}
    refused(tmp_path, "2 of 3 cases lack channels: b (T2), c (T1)", **options)


def test_two_images_for_one_label_map_are_refused(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    scan(root, "images/p1_img.nii.gz")
    refused(root, "more than one image: p1 (p1.nii.gz, p1_img.nii.gz)")


def test_one_file_may_hold_all_channels(tmp_path: Path) -> None:
    scan(tmp_path, "images/a.nii.gz", "images/b.nii.gz", channels=2)
    mask(tmp_path, "labels/a.nii.gz", "labels/b.nii.gz", "labels/c.nii.gz")
    scan(tmp_path, "images/c.nii.gz")
    assert folders.build(tmp_path).channels == ("image_0", "image_1")  # the check names c
    (tmp_path / "images" / "c.nii.gz").unlink()
    (tmp_path / "labels" / "c.nii.gz").unlink()
    assert folders.build(tmp_path).channels == ("image_0", "image_1")
    assert folders.build(tmp_path, channels=("T1", "T2")).channels == ("T1", "T2")
    refused(tmp_path, "none of 2 cases has 1 channels", "channels names (CT)", "a.nii.gz: 2", channels=("CT",))
    refused(tmp_path, "give each a name of its own", channels=("T1", "T1"), error=ConfigError)


def test_ct_has_to_be_called_so(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    assert folders.build(root, channels=("CT",)).is_ct
    assert any("channels: [CT]" in note for note in folders.build(root).notes)


def test_order_pairs_what_names_do_not(tmp_path: Path) -> None:
    scan(tmp_path, "images/a.nii.gz", "images/b.nii.gz")
    mask(tmp_path, "labels/x.nii.gz", "labels/y.nii.gz")
    refused(tmp_path, "2 of 2 label maps have no image", "pair: order")
    dataset = folders.build(tmp_path, pair="order")
    assert pairs(tmp_path, dataset)["b"] == ("images/b.nii.gz", "labels/y.nii.gz")
    assert "paired by order, not by name: a.nii.gz with x.nii.gz, b.nii.gz with y.nii.gz" in dataset.notes


def test_groups_are_read_off_the_ids(tmp_path: Path) -> None:
    scan(tmp_path, "images/p1_a.nii.gz", "images/p1_b.nii.gz", "images/p2_a.nii.gz")
    mask(tmp_path, "labels/p1_a.nii.gz", "labels/p1_b.nii.gz", "labels/p2_a.nii.gz")
    assert [case.group for case in folders.build(tmp_path, group="(p[0-9]+)_").cases] == ["p1", "p1", "p2"]
    refused(tmp_path, "finds nothing in 1 of 3 ids: p2_a", group="(p1)")
    refused(tmp_path, "no regular expression", group="(p1", error=ConfigError)
    refused(tmp_path, "with 0 groups", group="p1", error=ConfigError)


def test_labels_are_named_and_ignored_as_the_config_says(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    mask(root, "labels/p3.nii.gz", value=9)
    scan(root, "images/p3.nii.gz")
    dataset = folders.build(root, label_names={1: "liver"}, ignore=9, regions={"organ": (1,)})
    assert [region.name for region in dataset.labels.regions] == ["organ"]
    assert dataset.labels.ignore == 9
    assert sorted(folders.build(root, label_names={1: "liver"}).labels.names) == [0, 1]  # the check names 9 and p3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"images": "images"}, "give both patterns"),
        ({"images": "../*.nii.gz", "labels": "labels"}, "stay within"),
        ({"images": "/etc", "labels": "labels"}, "relative to the root"),
        ({"images": "images/{case}.nii", "labels": "labels"}, "{case} means nothing"),
        ({"images": "images/{id}_{channel}.nii", "labels": "labels"}, "channels: [FLAIR, T1]"),
        ({"images": "images/{channel}.nii", "labels": "labels", "channels": ("T1",)}, "say with {id}"),
        ({"images": "images", "labels": "{id}_{channel}.nii", "channels": ("T1",)}, "only images have channels"),
    ],
)
def test_patterns_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, object], words: str) -> None:
    refused(make_root(tmp_path), words, error=ConfigError, **options)


def test_a_pattern_that_matches_nothing_shows_what_is_there(tmp_path: Path) -> None:
    refused(make_root(tmp_path), "images 'ct/{id}.nii'", "images/p1.nii.gz", images="ct/{id}.nii", labels="labels")


def test_options_of_a_config_are_taken(tmp_path: Path) -> None:
    dataset = components.assemble("datasets", {"name": "folders", **FIELDS}, make_root(tmp_path))
    assert (dataset.channels, dataset.labels.names[1]) == (("CT",), "liver")


def test_real_scans_are_read() -> None:
    if not (data := os.environ.get("TORCHIO_SEG_TEST_DATA")):
        pytest.skip("TORCHIO_SEG_TEST_DATA is not set; it names the folder that holds ms_lesions")
    patterns = {"images": "{id}/{id}_{channel}.nii.gz", "labels": "{id}/{id}_lesions.nii.gz"}
    dataset = folders.build(Path(data) / "ms_lesions", **patterns, channels=("FLAIR", "T1ce", "T1", "T2"))
    assert [path.name for path in dataset.cases[0].images[:3]] == [
        "patient07_FLAIR.nii.gz",
        "patient07_T1ce.nii.gz",
        "patient07_T1.nii.gz",
    ]
    assert [region.name for region in dataset.labels.regions] == ["foreground"]
