import json
from pathlib import Path
from typing import Any

import pytest

from torchio_seg.datasets import nnunet
from torchio_seg.errors import ConfigError, DataError, TorchioSegError

NAMES = ("liver_1", "liver_10", "liver_2.v2")


def make_root(folder: Path, *, name: str = "Dataset004_Liver", **changes: Any) -> Path:
    """A data set whose volumes are empty files: listing cases never opens them."""
    root = folder / "nnUNet_raw" / name
    for case in NAMES:
        touch(root / f"imagesTr/{case}_0000.nii.gz", root / f"imagesTr/{case}_0001.nii.gz")
        touch(root / f"labelsTr/{case}.nii.gz")
    describe(root, **changes)
    return root


def describe(root: Path, **changes: Any) -> None:
    description = {
        "channel_names": {"1": "PET", "0": "CT"},
        "labels": {"background": 0, "liver": 1, "tumour": 2},
        "numTraining": 3,
        "file_ending": ".nii.gz",
    }
    write(root / "dataset.json", {key: value for key, value in {**description, **changes}.items() if value is not None})


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def folds() -> list[dict[str, list[str]]]:
    return [{"train": [name for name in NAMES if name != held_out], "val": [held_out]} for held_out in NAMES]


def refused(root: Path, *words: str, error: type[TorchioSegError] = DataError, **options: Any) -> None:
    with pytest.raises(error) as caught:
        nnunet.build(root, **options)
    for word in words:
        assert word in str(caught.value)


def test_cases_have_a_file_for_each_channel(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    touch(root / "imagesTr" / "._liver_1_0000.nii.gz", root / "imagesTr" / "notes.txt")
    dataset = nnunet.build(root)
    assert (dataset.name, dataset.channels) == ("Dataset004_Liver", ("CT", "PET"))
    assert [case.id for case in dataset.cases] == ["liver_1", "liver_10", "liver_2.v2"]
    assert [path.name for path in dataset.cases[2].files] == [
        "liver_2.v2_0000.nii.gz",
        "liver_2.v2_0001.nii.gz",
        "liver_2.v2.nii.gz",
    ]
    assert [(region.name, region.value) for region in dataset.labels.regions] == [("liver", 1), ("tumour", 2)]
    assert dataset.splits == ()


def test_ct_keeps_its_meaning(tmp_path: Path) -> None:
    root = make_root(tmp_path, channel_names={"0": "CT"})
    for path in root.glob("imagesTr/*_0001.nii.gz"):
        path.unlink()
    assert nnunet.build(root).is_ct


@pytest.mark.parametrize("wanted", ["4", "004", "Liver", "Dataset004_Liver"])
def test_one_of_several_data_sets_is_found_by_number_or_name(tmp_path: Path, wanted: str) -> None:
    root = make_root(tmp_path)
    make_root(tmp_path, name="Dataset040_Spleen")
    assert nnunet.build(root.parent, task=wanted).name == "Dataset004_Liver"
    assert nnunet.build(root, task=wanted).name == "Dataset004_Liver"
    refused(root.parent, "Dataset004_Liver, Dataset040_Spleen", "--dataset nnunet:Dataset004_Liver", error=ConfigError)
    refused(root.parent, "'7' means 0", "Dataset040_Spleen", task="7", error=ConfigError)
    refused(root, "'40' means 0", task="40", error=ConfigError)


def test_the_only_data_set_need_not_be_named(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    assert nnunet.build(root.parent) == nnunet.build(root)
    refused(tmp_path / "nowhere", "nowhere is not there")
    refused(root / "imagesTr", "no dataset.json")


def test_channels_that_lack_or_are_too_many_are_listed(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    (root / "imagesTr" / "liver_1_0001.nii.gz").unlink()
    touch(root / "imagesTr" / "liver_10_0002.nii.gz")
    refused(root, "2 of 3 cases", "channels 0 to 1", "liver_1 (0)", "liver_10 (0, 1, 2)")


def test_images_without_the_number_of_a_channel_are_refused(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    touch(root / "imagesTr" / "liver_3.nii.gz")
    refused(root, "liver_3.nii.gz do not end in the number of a channel")


def test_cases_that_lack_images_or_label_map_are_listed(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    (root / "labelsTr" / "liver_1.nii.gz").unlink()
    touch(root / "labelsTr" / "liver_7.nii.gz")
    refused(root, "2 cases lack something: liver_1 (label map), liver_7 (images)")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"numTraining": 5}, ("'numTraining' is 5, 3 training cases are there",)),
        ({"numTraining": None}, ("'numTraining' is missing",)),
        ({"file_ending": ".png"}, ("'file_ending' is \".png\"; only .nii.gz, .nii, .nrrd and .mha are read",)),
        ({"file_ending": None}, ("'file_ending' is missing",)),
        ({"file_ending": ".nii"}, ("imagesTr holds no CASE_0000.nii",)),
        ({"channel_names": None}, ("'channel_names' is missing",)),
        ({"channel_names": None, "modality": {"0": "CT"}}, ("'modality'", "layout decathlon")),
        ({"channel_names": {"1": "CT"}}, ("number them 0, 1, 2",)),
        ({"labels": {"0": "background"}}, ("layout decathlon",)),
    ],
)
def test_wrong_descriptions_are_refused(tmp_path: Path, changes: dict[str, Any], words: tuple[str, ...]) -> None:
    refused(make_root(tmp_path, **changes), "Dataset004_Liver", *words)


@pytest.mark.parametrize("place", ["nnUNet_raw/Dataset004_Liver", "nnUNet_preprocessed/Dataset004_Liver"])
def test_every_fold_of_the_splits_file_is_a_split(tmp_path: Path, place: str) -> None:
    root = make_root(tmp_path)
    write(tmp_path / place / "splits_final.json", folds())
    splits = nnunet.build(root).splits
    assert [split.validation for split in splits] == [(name,) for name in NAMES]
    assert splits[1].training == ("liver_1", "liver_2.v2")
    assert splits[1].origin == "the data set's own fold 1, of splits_final.json"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"train": []}, "must be a list"),
        ([], "must be a list"),
        ([{"train": ["liver_1"]}], "must be a list"),
        ([{"train": ["liver_1"], "val": []}], "must be a list"),
        ([{"train": ["liver_1"], "val": ["liver_3"]}], "fold 0: there are no cases liver_3"),
        ([*folds(), {"train": ["liver_1", "liver_10"], "val": ["liver_1"]}], "fold 3: liver_1 stand more than once"),
    ],
)
def test_wrong_splits_are_refused(tmp_path: Path, content: Any, words: str) -> None:
    root = make_root(tmp_path)
    write(root / "splits_final.json", content)
    refused(root, "splits_final.json", words)


def test_a_broken_splits_file_is_refused(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    (root / "splits_final.json").write_text("[{", encoding="utf-8")
    refused(root, "splits_final.json is not valid JSON")


def test_labelled_test_images_are_the_test_part(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    for case in ("liver_5", "liver_6"):
        touch(root / f"imagesTs/{case}_0000.nii.gz", root / f"imagesTs/{case}_0001.nii.gz")
    unlabelled = nnunet.build(root)
    assert (len(unlabelled.cases), unlabelled.splits) == (3, ())
    assert unlabelled.notes == ("2 cases in imagesTs without a label map are left out",)
    touch(root / "labelsTs" / "liver_5.nii.gz")
    dataset = nnunet.build(root)
    assert [(split.training, split.validation, split.test) for split in dataset.splits] == [(NAMES, (), ("liver_5",))]
    assert [case.id for case in dataset.cases] == ["liver_1", "liver_10", "liver_2.v2", "liver_5"]
    assert dataset.notes == ("1 cases in imagesTs without a label map are left out",)
    write(root / "splits_final.json", folds())
    assert [split.test for split in nnunet.build(root).splits] == [("liver_5",)] * 3


def test_test_cases_that_train_or_lack_images_are_refused(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    touch(root / "labelsTs" / "liver_1.nii.gz")
    refused(root, "labelsTs holds liver_1, imagesTs has no images")
    touch(root / "imagesTs" / "liver_1_0000.nii.gz", root / "imagesTs" / "liver_1_0001.nii.gz")
    refused(root, "liver_1 stand in imagesTr and imagesTs")


def mapping(other: str = "../Dataset004_Liver") -> dict[str, Any]:
    return {
        f"case_{name}": {
            "images": [f"{other}/imagesTr/{name}_{channel}.nii.gz" for channel in ("0000", "0001")],
            "label": f"{other}/labelsTr/{name}.nii.gz",
        }
        for name in NAMES
    }


def test_cases_may_be_named_one_by_one_in_the_data_sets_beside(tmp_path: Path) -> None:
    first = make_root(tmp_path)
    other = first.parent / "Dataset005_Again"
    other.mkdir()
    describe(other, dataset=mapping())
    dataset = nnunet.build(other)
    assert [case.id for case in dataset.cases] == ["case_liver_1", "case_liver_10", "case_liver_2.v2"]
    assert dataset.cases[0].label == first / "labelsTr" / "liver_1.nii.gz"
    (first / "labelsTr" / "liver_1.nii.gz").unlink()
    refused(other, "Dataset004_Liver/labelsTr/liver_1.nii.gz", "missing")


@pytest.mark.parametrize("other", ["../../secret", "/etc", "../../../secret"])
def test_cases_named_outside_the_data_sets_are_refused(tmp_path: Path, other: str) -> None:
    refused(make_root(tmp_path, dataset=mapping(other)), "entry case_liver_1", "stay within")


@pytest.mark.parametrize("section", [{}, [], {"a": {"images": ["x.nii.gz"], "label": "y.nii.gz"}}, {"a": 3}])
def test_wrong_mappings_are_refused(tmp_path: Path, section: Any) -> None:
    refused(make_root(tmp_path, dataset=section), "'dataset'", '{"images": [...], "label": ...}')


def test_links_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    touch(tmp_path / "outside.nii.gz")
    (root / "labelsTr" / "liver_1.nii.gz").unlink()
    (root / "labelsTr" / "liver_1.nii.gz").symlink_to(tmp_path / "outside.nii.gz")
    refused(root, "labelsTr/liver_1.nii.gz", "links")
