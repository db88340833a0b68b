import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from torchio_seg.datasets import decathlon
from torchio_seg.errors import DataError

NAMES = ("liver_10", "liver_2", "liver_1.v2")


def make_root(folder: Path, **changes: Any) -> Path:
    """A task whose volumes are empty files: listing cases never opens them."""
    root = folder / "Task99_Tiny"
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
        for case in NAMES:
            (root / name / f"{case}.nii.gz").touch()
    description = {
        "name": "Tiny",
        "modality": {"1": "T1w", "0": "FLAIR"},
        "labels": {"0": "background", "1": "edema", "2": "core", "3": "rim"},
        "training": [entry(case) for case in NAMES],
    }
    write(root, {**description, **changes})
    return root


def entry(case: str) -> dict[str, str]:
    return {"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"}


def write(root: Path, description: Any) -> None:
    (root / "dataset.json").write_text(json.dumps(description), encoding="utf-8")


def refused(root: Path, *words: str, **options: Any) -> None:
    """Building fails with a message that holds all the words."""
    with pytest.raises(DataError) as caught:
        decathlon.build(root, **options)
    for word in words:
        assert word in str(caught.value)


def test_cases_channels_and_labels_come_from_the_description(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    dataset = decathlon.build(root)
    assert dataset.name == "Tiny"
    assert dataset.channels == ("FLAIR", "T1w")
    assert [region.name for region in dataset.labels.regions] == ["edema", "core", "rim"]
    assert dataset.labels.exclusive
    assert dataset.cases[0].images == (root / "imagesTr" / "liver_1.v2.nii.gz",)
    assert dataset.cases[0].label == root / "labelsTr" / "liver_1.v2.nii.gz"


def test_ids_lose_the_nifti_suffix_and_nothing_else(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    (root / "imagesTr" / "a.nii.b.nii").touch()
    plain = {"image": "imagesTr/a.nii.b.nii", "label": "labelsTr/liver_2.nii.gz"}
    write(root, {**json.loads((root / "dataset.json").read_text()), "training": [plain, entry("liver_1.v2")]})
    assert [case.id for case in decathlon.build(root).cases] == ["a.nii.b", "liver_1.v2"]


def test_regions_overlap_and_replace_the_classes(tmp_path: Path) -> None:
    dataset = decathlon.build(make_root(tmp_path), regions={"whole": (1, 2, 3), "core": (2, 3), "rim": (3,)})
    assert [(region.name, region.value) for region in dataset.labels.regions] == [("whole", 1), ("core", 2), ("rim", 3)]
    assert not dataset.labels.exclusive


def test_resource_forks_of_macos_are_passed_over(tmp_path: Path) -> None:
    root = make_root(tmp_path, training=[entry("liver_2"), entry("._liver_2"), entry("liver_10")])
    assert [case.id for case in decathlon.build(root).cases] == ["liver_10", "liver_2"]


def test_nothing_but_resource_forks_is_refused(tmp_path: Path) -> None:
    refused(make_root(tmp_path, training=[entry("._liver_2")]), "nothing but", "'._'")


def test_missing_folder_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "nowhere", "dataset.json")


def test_missing_description_points_to_the_folder_below(tmp_path: Path) -> None:
    make_root(tmp_path)
    refused(tmp_path, "no dataset.json", "Task99_Tiny below it has")


def test_every_missing_file_is_listed(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    (root / "imagesTr" / "liver_2.nii.gz").unlink()
    (root / "labelsTr" / "liver_10.nii.gz").unlink()
    refused(root, "2 of 6 files", "imagesTr/liver_2.nii.gz", "labelsTr/liver_10.nii.gz", "unpack")


def test_case_listed_twice_is_refused(tmp_path: Path) -> None:
    refused(make_root(tmp_path, training=[entry("liver_2"), entry("liver_2")]), "liver_2 more than once")


def test_same_stem_with_another_suffix_is_the_same_case(tmp_path: Path) -> None:
    root = make_root(tmp_path, training=[entry("liver_2"), {**entry("liver_2"), "image": "imagesTr/liver_2.nii"}])
    refused(root, "liver_2 more than once")


@pytest.mark.parametrize(
    "text", ['{"labels": ', '{"numTraining": NaN}', '{"labels": {}, "labels": {}}', '{"a": Infinity}', "[" * 100_000]
)
def test_malformed_json_is_refused(tmp_path: Path, text: str) -> None:
    root = make_root(tmp_path)
    (root / "dataset.json").write_text(text, encoding="utf-8")
    refused(root, "dataset.json is not valid JSON", "unpack")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": None}, "'labels' is missing"),
        ({"labels": ["background", "liver"]}, "must map numbers to names"),
        ({"labels": {"1": "liver"}}, "background"),
        ({"labels": {"background": "0"}}, '"background": "0"'),
        ({"labels": {"0": "background", "1": "liver", "01": "spleen"}}, "number 1 twice"),
        ({"modality": {"0": "CT", "2": "PET"}}, "number them 0, 1, 2"),
        ({"modality": {}}, "'modality' is {}"),
        ({"training": []}, "'training' is []"),
        ({"training": [{"image": "imagesTr/liver_2.nii.gz"}]}, "entry 1"),
        ({"training": [entry("liver_2"), 7]}, "entry 2"),
        ({"training": [{**entry("liver_2"), "label": "labelsTr/liver_2.png"}]}, "NIfTI"),
    ],
)
def test_wrong_descriptions_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    refused(make_root(tmp_path, **changes), "dataset.json", words)


@pytest.mark.parametrize(
    "path", ["../../secret.nii.gz", "/etc/secret.nii.gz", "imagesTr/../../a.nii", "C:\\a.nii", "..\\a.nii"]
)
@pytest.mark.parametrize("key", ["image", "label"])
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, path: str, key: str) -> None:
    refused(make_root(tmp_path, training=[{**entry("liver_2"), key: path}]), path, "stay within")


def test_links_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    outside = tmp_path / "outside.nii.gz"
    outside.touch()
    (root / "imagesTr" / "liver_2.nii.gz").unlink()
    (root / "imagesTr" / "liver_2.nii.gz").symlink_to(outside)
    refused(root, "imagesTr/liver_2.nii.gz", "links")


@pytest.mark.parametrize("regions", [{"whole": (1, 9)}, {"whole": ()}, {"whole": (0, 1)}])
def test_regions_of_unknown_labels_are_refused(tmp_path: Path, regions: dict[str, tuple[int, ...]]) -> None:
    refused(make_root(tmp_path), "'whole'", "1 edema, 2 core, 3 rim", regions=regions)


def test_no_regions_at_all_are_refused(tmp_path: Path) -> None:
    refused(make_root(tmp_path), "regions is empty", regions={})


def test_published_hippocampus_task_is_read() -> None:
    if not (data := os.environ.get("TORCHIO_SEG_TEST_DATA")):
        pytest.skip("TORCHIO_SEG_TEST_DATA is not set; it names the folder that holds Task04_Hippocampus")
    dataset = decathlon.build(Path(data) / "Task04_Hippocampus")
    assert dataset.channels == ("MRI",)
    assert [region.name for region in dataset.labels.regions] == ["Anterior", "Posterior"]
    assert len(dataset.cases) == 170
    assert all(re.fullmatch(r"hippocampus_\d{3}", case.id) for case in dataset.cases)
