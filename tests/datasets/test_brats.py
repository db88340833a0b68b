import json
from pathlib import Path

import numpy as np
import pytest
import torch

from torchio_seg.datasets import brats
from torchio_seg.errors import ConfigError, DataError
from torchio_seg.metrics import region_masks
from torchio_seg.records import Dataset
from torchio_seg.targets import decode
from torchio_seg.volumes.nifti import create

OLD = ("flair", "t1", "t1ce", "t2")
NEW = ("t2f", "t1n", "t1c", "t2w")
TISSUES = np.array(["healthy", "core", "edema", "enhancing"])
"""Of the voxels of `label_map`, along its first axis."""


def label_map(core: int, edema: int, enhancing: int) -> np.ndarray:
    """One plane of each tissue."""
    return np.broadcast_to(np.array([0, core, edema, enhancing], np.uint8)[:, None, None], (4, 3, 2)).copy()


def make_case(folder: Path, values: np.ndarray | None, *, new: bool = False, suffix: str = ".nii.gz") -> Path:
    """A case whose scans are empty files: only label maps are opened."""
    folder.mkdir(parents=True)
    sign = "-" if new else "_"
    for channel in NEW if new else OLD:
        (folder / f"{folder.name}{sign}{channel}{suffix}").touch()
    if values is not None:
        create(folder / f"{folder.name}{sign}seg{suffix}", values, np.eye(4))
    return folder


def make_root(folder: Path, *, values: tuple[int, int, int] = (1, 2, 4), new: bool = False) -> Path:
    """Two patients: the first with every tissue, the second healthy."""
    names = ("BraTS-GLI-00002-000", "BraTS-GLI-00010-001") if new else ("BraTS20_002", "BraTS20_010")
    root = folder / "brats"
    make_case(root / names[1], np.zeros((4, 3, 2), np.uint8), new=new)
    make_case(root / names[0], label_map(*values), new=new)
    return root


def make_task(root: Path, labels: dict[str, str] | None = None, channels: str = "FLAIR T1w t1gd T2w") -> Path:
    """The Decathlon's Task01 with a tumour of all three tissues."""
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
    for case in ("BRATS_002", "BRATS_001"):
        (root / "imagesTr" / f"{case}.nii.gz").touch()
        create(root / "labelsTr" / f"{case}.nii.gz", label_map(2, 1, 3), np.eye(4))
    files = [
        {"image": f"imagesTr/{case}.nii.gz", "label": f"labelsTr/{case}.nii.gz"} for case in ("BRATS_002", "BRATS_001")
    ]
    published = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
    modality = {str(number): name for number, name in enumerate(channels.split())}
    description = {"name": "BRATS", "modality": modality, "labels": labels or published, "training": files}
    (root / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    return root


def require_regions(dataset: Dataset, values: np.ndarray) -> None:
    """Whole tumour, tumour core and enhancing tumour, voxel by voxel, and back to the same values."""
    masks = region_masks(values, dataset.labels)
    tissue = np.broadcast_to(TISSUES[:, None, None], values.shape)
    expected = {
        "whole_tumor": {"core", "edema", "enhancing"},
        "tumor_core": {"core", "enhancing"},
        "enhancing_tumor": {"enhancing"},
    }
    assert [region.name for region in dataset.labels.regions] == list(expected)
    for mask, members in zip(masks, expected.values(), strict=True):
        np.testing.assert_array_equal(mask, np.isin(tissue, list(members)))
    np.testing.assert_array_equal(decode(torch.from_numpy(masks).float(), dataset.labels), values)


def test_regions_of_brats_2018_to_2021_are_exact(tmp_path: Path) -> None:
    dataset = brats.build(make_root(tmp_path))
    require_regions(dataset, label_map(1, 2, 4))
    (note,) = dataset.notes
    assert note == (
        "labels follow BraTS 2018-2021: 1 necrotic or non-enhancing core, 2 edema, 4 enhancing tumor "
        "(found from the values in the label files); --set dataset.convention=... overrides"
    )


def test_regions_of_brats_2023_are_exact(tmp_path: Path) -> None:
    dataset = brats.build(make_root(tmp_path, values=(1, 2, 3), new=True))
    require_regions(dataset, label_map(1, 2, 3))
    assert "labels follow BraTS 2023 on: 1 necrotic core, 2 edema, 3 enhancing tumor (found" in dataset.notes[0]


def test_regions_of_the_decathlon_are_exact(tmp_path: Path) -> None:
    dataset = brats.build(make_task(tmp_path / "Task01_BrainTumour"))
    require_regions(dataset, label_map(2, 1, 3))
    assert "labels follow the Decathlon: 1 edema, 2 non-enhancing tumor, 3 enhancing tumor" in dataset.notes[0]
    assert "found from the names in dataset.json" in dataset.notes[0]
    assert dataset.channels == ("FLAIR", "T1w", "T1gd", "T2w")
    assert dataset.listing == ("BRATS_002", "BRATS_001")


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (("edema", "non-enhancing tumor", "enhancing tumour"), (2, 1, 3)),
        (("Peritumoral oedema", "necrotic and non enhancing core", "Enhancing Tumor"), (2, 1, 3)),
        (("ED", "NCR/NET", "ET"), (2, 1, 3)),
        (("necrotic core", "oedema", "gd-enhancing tumor"), (1, 2, 3)),
        (("NETC", "SNFH", "ET"), (1, 2, 3)),
    ],
)
def test_words_of_a_description_decide(tmp_path: Path, names: tuple[str, ...], values: tuple[int, int, int]) -> None:
    labels = {"0": "background", **{str(value): name for value, name in enumerate(names, 1)}}
    require_regions(brats.build(make_task(tmp_path / "task", labels)), label_map(*values))


def test_description_with_a_four_follows_brats_2018(tmp_path: Path) -> None:
    labels = {"0": "background", "1": "necrosis", "2": "edema", "4": "enhancing"}
    require_regions(brats.build(make_task(tmp_path / "task", labels)), label_map(1, 2, 4))


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background", "1": "tumour"},
        {"0": "background", "1": "edema", "2": "core", "3": "rim"},
        {"0": "background", "1": "edema", "2": "edema too", "3": "enhancing"},
        {"0": "background", "1": "enhancing", "2": "edema", "3": "necrosis"},
        {"0": "background", "1": "edema", "2": "necrosis", "3": "enhancing", "4": "cavity"},
        {"0": "background", "1": "necrosis", "2": "edema", "3": "enhancing rim", "4": "enhancing node"},
    ],
)
def test_unknown_words_are_asked_about(tmp_path: Path, labels: dict[str, str]) -> None:
    stated = ", ".join(f"{value} {name}" for value, name in labels.items() if value != "0")
    with pytest.raises(DataError, match=r"--set dataset\.convention=NAME") as caught:
        brats.build(make_task(tmp_path / "task", labels))
    assert f"dataset.json: the labels are {stated}; whether" in str(caught.value)


def test_named_convention_answers_for_unknown_words(tmp_path: Path) -> None:
    labels = {"0": "background", "1": "a", "2": "b", "3": "c"}
    dataset = brats.build(make_task(tmp_path / "task", labels), convention="decathlon")
    require_regions(dataset, label_map(2, 1, 3))
    assert "(given)" in dataset.notes[0]


def test_other_channels_are_sent_to_the_decathlon_layout(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"channels are T1w, FLAIR, t1gd, T2w; BraTS has FLAIR.*--dataset decathlon"):
        brats.build(make_task(tmp_path / "task", channels="T1w FLAIR t1gd T2w"))


@pytest.mark.parametrize("others", [(), ("Task04_Hippocampus", "Task09_Spleen")])
def test_task01_is_found_below_the_root(tmp_path: Path, others: tuple[str, ...]) -> None:
    task = make_task(tmp_path / "data" / "Task01_BrainTumour")
    for name in others:
        (tmp_path / "data" / name).mkdir()
        (tmp_path / "data" / name / "dataset.json").write_text("{}", encoding="utf-8")
    dataset = brats.build(tmp_path / "data")
    assert dataset.cases == brats.build(task).cases
    assert dataset.notes[0] == "task Task01_BrainTumour, found below data"


def test_channels_are_always_in_one_order(tmp_path: Path) -> None:
    for new, names in ((False, OLD), (True, NEW)):
        root = make_root(tmp_path / str(new), values=(1, 2, 3) if new else (1, 2, 4), new=new)
        dataset = brats.build(root)
        assert dataset.channels == ("FLAIR", "T1w", "T1gd", "T2w")
        for case in dataset.cases:
            assert [path.name for path in case.images] == [
                f"{case.id}{'-' if new else '_'}{name}.nii.gz" for name in names
            ]


def test_cases_are_found_in_nested_folders_and_uncompressed(tmp_path: Path) -> None:
    root = tmp_path / "MICCAI_BraTS_2019_Data_Training"
    make_case(root / "LGG" / "BraTS19_b", label_map(1, 2, 4), suffix=".nii")
    make_case(root / "HGG" / "BraTS19_c", label_map(1, 2, 4))
    make_case(root / "HGG" / "deeper" / "BraTS19_a", label_map(1, 2, 4))
    assert [case.id for case in brats.build(tmp_path).cases] == ["BraTS19_a", "BraTS19_b", "BraTS19_c"]


def test_segmentation_that_brats_2020_misnamed_is_found(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    (root / "BraTS20_002" / "BraTS20_002_seg.nii.gz").rename(root / "BraTS20_002" / "W39_1998.09.19_Segm.nii.gz")
    assert brats.build(root).cases[0].label == root / "BraTS20_002" / "W39_1998.09.19_Segm.nii.gz"


def test_scans_of_one_patient_are_a_group_from_2023_on(tmp_path: Path) -> None:
    root = make_root(tmp_path / "new", values=(1, 2, 3), new=True)
    make_case(root / "BraTS-GLI-00002-001", label_map(1, 2, 3), new=True)
    groups = [case.group for case in brats.build(root).cases]
    assert groups == ["BraTS-GLI-00002", "BraTS-GLI-00002", "BraTS-GLI-00010"]
    assert {case.group for case in brats.build(make_root(tmp_path / "old")).cases} == {None}


def test_cases_without_segmentation_are_left_out_and_named(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    make_case(root / "BraTS20_Validation_001", None)
    dataset = brats.build(root)
    assert [case.id for case in dataset.cases] == ["BraTS20_002", "BraTS20_010"]
    assert dataset.notes[0] == "cases without a segmentation are left out: BraTS20_Validation_001"


def test_nothing_but_validation_data_is_refused(tmp_path: Path) -> None:
    make_case(tmp_path / "BraTS20_Validation_001", None)
    with pytest.raises(DataError, match="none of 1 cases has a segmentation"):
        brats.build(tmp_path)


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    before = brats.build(root)
    (root / "BraTS20_002" / "._BraTS20_002_flair.nii.gz").touch()
    make_case(root / ".trash" / "BraTS20_003", label_map(1, 2, 3))
    assert brats.build(root) == before


def test_other_scans_beside_those_of_brats_are_passed_over(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    before = brats.build(root)
    for name in ("seg.nii.gz", "BraTS20_002_brain.nii.gz", "flair.nii"):
        (root / "BraTS20_002" / name).touch()
    assert brats.build(root) == before


def test_missing_channels_are_named_with_their_cases(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    (root / "BraTS20_002" / "BraTS20_002_t1ce.nii.gz").unlink()
    (root / "BraTS20_010" / "BraTS20_010_flair.nii.gz").unlink()
    with pytest.raises(DataError, match="2 faults in 2 cases: BraTS20_002 lacks T1gd, BraTS20_010 lacks FLAIR"):
        brats.build(root)


def test_two_files_for_one_channel_are_refused(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    (root / "BraTS20_002" / "BraTS20_002_t2.nii").touch()
    with pytest.raises(DataError, match=r"BraTS20_002 has several files for one thing \(BraTS20_002_t2\.nii, "):
        brats.build(root)


def test_one_name_in_two_folders_is_refused(tmp_path: Path) -> None:
    for grade in ("HGG", "LGG"):
        make_case(tmp_path / grade / "BraTS19_a", label_map(1, 2, 4))
    with pytest.raises(DataError, match="BraTS19_a more than once"):
        brats.build(tmp_path)


def test_both_namings_in_one_root_are_refused(tmp_path: Path) -> None:
    make_root(tmp_path)
    make_root(tmp_path / "later", values=(1, 2, 3), new=True)
    with pytest.raises(DataError, match=r"2 cases are named as in BraTS 2018-2021 .*, 2 as from 2023 on"):
        brats.build(tmp_path)


@pytest.mark.parametrize("folder", ["nowhere", "empty", "other"])
def test_root_without_cases_says_what_belongs_there(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "scan.nii.gz").touch()
    with pytest.raises(DataError, match=r"CASE_flair\.nii\.gz.*Task01_BrainTumour"):
        brats.build(tmp_path / folder)


def test_links_that_leave_the_root_are_refused(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    outside = make_case(tmp_path / "BraTS20_003", label_map(1, 2, 4))
    flair = root / "BraTS20_002" / "BraTS20_002_flair.nii.gz"
    flair.unlink()
    flair.symlink_to(outside / "BraTS20_003_flair.nii.gz")
    with pytest.raises(DataError, match=r"BraTS20_002_flair\.nii\.gz are links that leave"):
        brats.build(root)


def test_linked_folders_are_refused_rather_than_passed_over(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    (root / "again").symlink_to(root)
    with pytest.raises(DataError, match="again are links to folders"):
        brats.build(root)


@pytest.mark.parametrize(
    ("values", "new", "words"),
    [
        (
            (1, 2, 3),
            False,
            "values 0, 1, 2, 3, in files named as in BraTS 2018-2021; that is ambiguous: 3 is enhancing",
        ),
        (
            (1, 2, 0),
            False,
            "values 0, 1, 2, in files named as in BraTS 2018-2021; that is ambiguous: nothing is enhancing without",
        ),
        ((1, 2, 4), True, "values 0, 1, 2, 4, in files named as in BraTS 2023 on; there 4 does not occur"),
    ],
)
def test_doubtful_values_are_asked_about(tmp_path: Path, values: tuple[int, int, int], new: bool, words: str) -> None:
    with pytest.raises(DataError) as caught:
        brats.build(make_root(tmp_path, values=values, new=new))
    assert f"2 label maps hold the {words}" in str(caught.value)
    assert "--set dataset.convention=NAME (allowed: decathlon (the Decathlon: 1 edema, 2 non-" in str(caught.value)


@pytest.mark.parametrize(("values", "odd"), [((3, 2, 4), "3, 4"), ((1, 2, 7), "7"), ((1, 9, 4), "9")])
@pytest.mark.parametrize("new", [False, True])
def test_values_of_no_convention_are_refused_with_their_file(
    tmp_path: Path, values: tuple[int, int, int], odd: str, new: bool
) -> None:
    with pytest.raises(DataError, match=rf"no convention has {odd} \(.*_?-?seg\.nii\.gz\).*--dataset datalist"):
        brats.build(make_root(tmp_path, values=values, new=new))


def test_named_convention_answers_for_doubtful_values(tmp_path: Path) -> None:
    root = make_root(tmp_path, values=(2, 1, 3))
    require_regions(brats.build(root, convention="decathlon"), label_map(2, 1, 3))
    assert brats.build(root, convention="brats2023").labels.regions[0].value == 2


@pytest.mark.parametrize("convention", ["decathlon", "brats2023"])
def test_named_convention_that_the_values_contradict_is_refused(tmp_path: Path, convention: str) -> None:
    with pytest.raises(ConfigError, match=rf"convention={convention} is .* 1 of 2 .*BraTS20_002_seg\.nii\.gz \(4\)"):
        brats.build(make_root(tmp_path), convention=convention)


def test_named_convention_is_held_against_the_values_of_a_task(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"convention=brats2018 .*BRATS_001\.nii\.gz \(3\)"):
        brats.build(make_task(tmp_path / "task"), convention="brats2018")
