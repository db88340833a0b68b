import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from torchio_seg.datasets import datalist
from torchio_seg.errors import ConfigError, DataError
from torchio_seg.volumes.nifti import create

LABELS = {"0": "background", "1": "spleen", "2": "liver"}


def save(path: Path, values: Any = 0, channels: int = 0) -> None:
    """A tiny scan that begins with these values."""
    array = np.zeros((2, 2, 2, *([channels] if channels else [])), np.uint8)
    array.flat[: np.size(values)] = values
    path.parent.mkdir(parents=True, exist_ok=True)
    create(path, np.moveaxis(array, -1, 0) if channels else array, np.eye(4))


def entry(number: int, **more: Any) -> dict[str, Any]:
    return {"image": f"imagesTr/img{number:04d}.nii.gz", "label": f"labelsTr/label{number:04d}.nii.gz", **more}


def make_root(folder: Path, **sections: Any) -> Path:
    """Eight abdomens as MONAI lists those of BTCV: not in order, some for validation, some without label map."""
    root = folder / "btcv"
    for number in range(1, 9):
        save(root / f"imagesTr/img{number:04d}.nii.gz")
        save(root / f"labelsTr/label{number:04d}.nii.gz", (1, 2))
    lists = {
        "training": [entry(number) for number in (4, 2, 7, 5)],
        "validation": [entry(6), entry(1)],
        "test": ["imagesTs/img0061.nii.gz", "imagesTs/img0062.nii.gz"],
    }
    write(root, {"name": "btcv", "modality": {"0": "CT"}, "labels": LABELS, **lists, **sections})
    return root


def write(root: Path, content: Any, name: str = "dataset_0.json") -> None:
    kept = {key: value for key, value in content.items() if value is not None} if isinstance(content, dict) else content
    (root / name).write_text(json.dumps(kept), encoding="utf-8")


def refused(root: Path, *words: str, error: type[Exception] = DataError, **options: Any) -> None:
    """Building fails with a message that holds all the words."""
    with pytest.raises(error) as caught:
        datalist.build(root, **options)
    for word in words:
        assert word in str(caught.value)


def ids(*numbers: int) -> tuple[str, ...]:
    return tuple(f"img{number:04d}" for number in numbers)


def test_btcv_is_read_as_monai_lists_it(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    dataset = datalist.build(root)
    assert dataset.name == "btcv"
    assert dataset.is_ct
    assert tuple(case.id for case in dataset.cases) == ids(1, 2, 4, 5, 6, 7)
    assert dataset.cases[0].label == root / "labelsTr" / "label0001.nii.gz"
    assert dataset.listing == ids(4, 2, 7, 5, 6, 1)
    assert [region.name for region in dataset.labels.regions] == ["spleen", "liver"]
    (split,) = dataset.splits
    assert (split.training, split.validation, split.test) == (ids(2, 4, 5, 7), ids(1, 6), ())
    assert "dataset_0.json" in split.origin
    assert dataset.notes == (
        "cases are listed in dataset_0.json",
        "cases without a label map are left out: img0061, img0062",
    )


def test_file_and_its_folder_are_the_same(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    assert datalist.build(root / "dataset_0.json") == datalist.build(root)


@pytest.mark.parametrize("section", ["test", "testing"])
def test_labelled_test_cases_test(tmp_path: Path, section: str) -> None:
    sections: dict[str, Any] = {"test": None, section: [entry(8), "imagesTs/img0061.nii.gz"]}
    (split,) = datalist.build(make_root(tmp_path, **sections)).splits
    assert split.test == ids(8)
    assert split.validation == ids(1, 6)


def test_list_of_training_cases_alone_divides_nothing(tmp_path: Path) -> None:
    assert datalist.build(make_root(tmp_path, validation=None)).splits == ()


def test_each_fold_validates_once_and_test_cases_never_train(tmp_path: Path) -> None:
    folds = [entry(1, fold=0), entry(2, fold=1), entry(3, fold=0), entry(4, fold=2)]
    dataset = datalist.build(make_root(tmp_path, training=folds, validation=None, testing=[entry(5)]))
    assert [split.validation for split in dataset.splits] == [ids(1, 3), ids(2), ids(4)]
    assert [split.training for split in dataset.splits] == [ids(2, 4), ids(1, 3, 4), ids(1, 2, 3)]
    assert {split.test for split in dataset.splits} == {ids(5)}
    assert [split.origin for split in dataset.splits] == [f"fold {fold} of dataset_0.json" for fold in range(3)]


def test_cases_without_a_fold_train_in_every_one(tmp_path: Path) -> None:
    folds = [entry(1, fold=0), entry(2, fold=1), entry(3)]
    dataset = datalist.build(make_root(tmp_path, training=folds, validation=None))
    assert [split.training for split in dataset.splits] == [ids(2, 3), ids(1, 3)]
    assert "cases without a fold train in every one: img0003" in dataset.notes


@pytest.mark.parametrize(
    ("folds", "validation", "words"),
    [
        ((0, 2), None, "the folds are [0, 2]; count them"),
        ((1, 2), None, "the folds are [1, 2]; count them"),
        ((0, 0), None, "all 2 training cases are in fold 0"),
        ((0, 1), [entry(5)], "'validation' lists 1 labelled cases too"),
        ((0, "1"), None, 'has the fold "1"'),
        ((0, True), None, "has the fold true"),
        ((0, -1), None, "has the fold -1"),
    ],
)
def test_folds_that_do_not_divide_are_refused(tmp_path: Path, folds: Any, validation: Any, words: str) -> None:
    training = [entry(number, fold=fold) for number, fold in enumerate(folds, 1)]
    refused(make_root(tmp_path, training=training, validation=validation), "dataset_0.json", words)


def test_unlabelled_training_entries_are_left_out(tmp_path: Path) -> None:
    dataset = datalist.build(make_root(tmp_path, training=[entry(2), {"image": "imagesTr/img0003.nii.gz"}]))
    assert dataset.splits[0].training == ids(2)
    assert dataset.notes[1] == "cases without a label map are left out: img0003, img0061, img0062"


def test_list_without_any_label_map_is_refused(tmp_path: Path) -> None:
    root = make_root(tmp_path, training=["imagesTr/img0001.nii.gz"], validation=None)
    refused(root, "lists no case with a label map")


def test_list_without_training_cases_is_refused(tmp_path: Path) -> None:
    refused(make_root(tmp_path, training=[]), "'training' lists no case with a label map")


def test_resource_forks_of_macos_are_passed_over(tmp_path: Path) -> None:
    fork = {"image": "imagesTr/._img0001.nii.gz", "label": "labelsTr/._label0001.nii.gz"}
    assert datalist.build(make_root(tmp_path, training=[entry(2), fork])).splits[0].training == ids(2)


def test_channels_may_be_files_of_their_own(tmp_path: Path) -> None:
    for case in ("p_1", "p_2"):
        for channel in ("T1w", "T1gd"):
            save(tmp_path / "scans" / f"{case}_{channel}.nii.gz")
        save(tmp_path / "scans" / f"{case}_seg.nii.gz", 1)
    files = [
        {"image": [f"scans/{case}_T1w.nii.gz", f"scans/{case}_T1gd.nii.gz"], "label": f"scans/{case}_seg.nii.gz"}
        for case in ("p_2", "p_1")
    ]
    write(tmp_path, {"modality": {"0": "T1w", "1": "T1gd"}, "training": files})
    dataset = datalist.build(tmp_path)
    assert dataset.channels == ("T1w", "T1gd")
    assert [case.id for case in dataset.cases] == ["p_1", "p_2"]
    assert [path.name for path in dataset.cases[0].images] == ["p_1_T1w.nii.gz", "p_1_T1gd.nii.gz"]


def test_files_of_one_name_take_their_folders_name_before_it(tmp_path: Path) -> None:
    files = []
    for patient in ("b", "a"):
        save(tmp_path / patient / "ct.nii.gz")
        save(tmp_path / patient / "organs.nii.gz", 1)
        files.append({"image": f"{patient}/ct.nii.gz", "label": f"{patient}/organs.nii.gz"})
    write(tmp_path, {"training": files})
    assert [case.id for case in datalist.build(tmp_path).cases] == ["a_ct", "b_ct"]
    write(tmp_path, {"training": [{**file, "id": number} for number, file in enumerate(files)]})
    assert [case.id for case in datalist.build(tmp_path).cases] == ["0", "1"]


def test_channels_of_one_name_take_their_folders_name_alone(tmp_path: Path) -> None:
    files = []
    for patient in ("b", "a"):
        for channel in ("t1", "t2"):
            save(tmp_path / patient / f"{channel}.nii.gz")
        save(tmp_path / patient / "seg.nii.gz", 1)
        files.append({"image": [f"{patient}/t1.nii.gz", f"{patient}/t2.nii.gz"], "label": f"{patient}/seg.nii.gz"})
    write(tmp_path, {"training": files})
    dataset = datalist.build(tmp_path)
    assert [case.id for case in dataset.cases] == ["a", "b"]
    assert dataset.channels == ("image_0", "image_1")


def test_channels_in_folders_of_their_own_are_called_as_their_files(tmp_path: Path) -> None:
    paths = {case: [f"{channel}/{case}.nii.gz" for channel in ("t1", "t2", "seg")] for case in ("p_2", "p_1")}
    for path in (path for files in paths.values() for path in files):
        save(tmp_path / path, 1)
    write(tmp_path, {"training": [{"image": files[:2], "label": files[2]} for files in paths.values()]})
    assert [case.id for case in datalist.build(tmp_path).cases] == ["p_1", "p_2"]


def test_ids_that_stay_equal_are_refused(tmp_path: Path) -> None:
    files = []
    for site in ("x", "y"):
        save(tmp_path / site / "p1" / "ct.nii.gz")
        save(tmp_path / site / "p1" / "seg.nii.gz", 1)
        files.append({"image": f"{site}/p1/ct.nii.gz", "label": f"{site}/p1/seg.nii.gz"})
    write(tmp_path, {"training": files})
    refused(tmp_path, "p1_ct would name more than one case", '"id"')


def test_patients_are_groups(tmp_path: Path) -> None:
    root = make_root(tmp_path, training=[entry(2, patient="p7"), entry(4, group=7), entry(5)], validation=None)
    assert [case.group for case in datalist.build(root).cases] == ["p7", "7", None]


def test_case_in_two_parts_is_refused(tmp_path: Path) -> None:
    refused(make_root(tmp_path, validation=[entry(2)]), "img0002.nii.gz (training and validation) more than once")


def test_options_come_before_what_the_file_says(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    dataset = datalist.build(root, channels=("MR",), labels={1: "a", 2: "b"}, regions={"all": (1, 2), "b": (2,)})
    assert dataset.channels == ("MR",)
    assert dict(dataset.labels.names) == {0: "background", 1: "a", 2: "b"}
    assert [(region.name, region.value) for region in dataset.labels.regions] == [("all", 1), ("b", 2)]


def test_modality_may_be_one_word(tmp_path: Path) -> None:
    assert datalist.build(make_root(tmp_path, modality="CT")).is_ct


def test_labels_that_nobody_named_are_found_in_the_files(tmp_path: Path) -> None:
    dataset = datalist.build(make_root(tmp_path, labels=None))
    assert dict(dataset.labels.names) == {0: "background", 1: "label 1", 2: "label 2"}
    assert any(note.startswith("values in 6 label maps") for note in dataset.notes)
    assert datalist.build(make_root(tmp_path / "again", labels=None), ignore=2).labels.ignore == 2


def test_number_of_channels_is_held_against_the_files(tmp_path: Path) -> None:
    refused(make_root(tmp_path, modality={"0": "T1", "1": "T2"}), "has 2 channels")


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"training": {"image": "a"}}, "'training' is {"),
        ({"training": [7]}, "'training' entry 1 is 7"),
        ({"training": [entry(2), {"label": "labelsTr/label0001.nii.gz"}]}, "'training' entry 2"),
        ({"training": [{**entry(2), "image": []}]}, "'training' entry 1"),
        ({"validation": [{**entry(2), "label": ["a.nii", "b.nii"]}]}, "'validation' entry 1 has the label"),
        ({"validation": [{**entry(2), "label": "a.png"}]}, "files of .nii.gz, .nii, .nrrd or .mha"),
        ({"training": [entry(2, id=[1])]}, "has the id [1]"),
        ({"labels": {"spleen": 1}}, "whole numbers to names"),
        ({"modality": {"0": "CT", "2": "PET"}}, "number them 0, 1, 2"),
    ],
)
def test_wrong_lists_are_refused(tmp_path: Path, sections: dict[str, Any], words: str) -> None:
    refused(make_root(tmp_path, **sections), "dataset_0.json", words)


def test_missing_files_are_listed(tmp_path: Path) -> None:
    root = make_root(tmp_path, training=[entry(2), entry(9)])
    refused(root, "2 of 8 files in dataset_0.json", "imagesTr/img0009.nii.gz, labelsTr/label0009.nii.gz")


@pytest.mark.parametrize("path", ["../a.nii.gz", "imagesTr/../../a.nii", "..\\a.nii"])
@pytest.mark.parametrize("key", ["image", "label"])
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, path: str, key: str) -> None:
    refused(make_root(tmp_path, training=[{**entry(2), key: path}]), path, "stay within")


def test_links_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    scan = root / "imagesTr" / "img0002.nii.gz"
    scan.rename(tmp_path / "outside.nii.gz")
    scan.symlink_to(tmp_path / "outside.nii.gz")
    refused(root, "imagesTr/img0002.nii.gz", "links")


def test_list_may_lie_apart_from_its_scans(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    lists = tmp_path / "lists"
    lists.mkdir()
    (root / "dataset_0.json").rename(lists / "mine.json")
    refused(lists, "are missing")
    expected = datalist.build(lists, base=str(root))
    assert expected.cases[0].images[0].is_file()
    assert [case.id for case in datalist.build(lists, base="../btcv").cases] == [case.id for case in expected.cases]
    refused(lists, "nowhere", "base=FOLDER", base="nowhere")


def test_absolute_paths_must_lie_in_the_base(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    absolute = [{key: str(root / path) for key, path in entry(number).items()} for number in (2, 4)]
    write(root, {"labels": LABELS, "training": absolute})
    expected = datalist.build(root)
    assert [case.images[0] for case in expected.cases] == [root / absolute[i]["image"] for i in (0, 1)]
    (tmp_path / "lists").mkdir()
    write(tmp_path / "lists", {"labels": LABELS, "training": absolute})
    refused(tmp_path / "lists", "does not lie in", "--set dataset.base=FOLDER")
    assert datalist.build(tmp_path / "lists", base=str(root)).cases == expected.cases
    sneaky = f"{root}/../btcv/imagesTr/img0002.nii.gz"
    write(root, {"labels": LABELS, "training": [{**entry(2), "image": sneaky}]})
    refused(root, "stay within")


def test_several_lists_need_a_name(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    write(root, {"labels": LABELS, "training": [entry(3), entry(8)]}, "dataset_1.json")
    refused(root, "dataset_0.json, dataset_1.json", "--set dataset.file=NAME")
    assert datalist.build(root, file="dataset_1.json").listing == ids(3, 8)
    refused(root, "'other.json'", "dataset_0.json, dataset_1.json", error=ConfigError, file="other.json")
    refused(root / "dataset_0.json", "is a file", error=ConfigError, file="dataset_0.json")


@pytest.mark.parametrize("content", [{"kind": "abdomen"}, [1], {"training": 7}])
def test_json_that_lists_nothing_is_not_taken_for_the_list(tmp_path: Path, content: Any) -> None:
    root = make_root(tmp_path)
    write(root, content, "other.json")
    assert datalist.build(root).listing == ids(4, 2, 7, 5, 6, 1)


def test_missing_list_is_named(tmp_path: Path) -> None:
    refused(tmp_path, "has no list of cases (.json)")
    refused(tmp_path / "nowhere", "nowhere is not there", "the JSON that lists the cases")
    (tmp_path / "a.json").write_text("{", encoding="utf-8")
    refused(tmp_path, "a.json is not valid JSON")
