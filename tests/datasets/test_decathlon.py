import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from torchio_seg.datasets import decathlon
from torchio_seg.errors import ConfigError, DataError

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


def test_folder_without_any_description_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Task99_Tiny").mkdir()
    refused(tmp_path, "no dataset.json", "the folder of a task")


def test_listing_keeps_the_order_of_the_file(tmp_path: Path) -> None:
    assert decathlon.build(make_root(tmp_path)).listing == NAMES


def test_test_cases_are_left_out_and_counted(tmp_path: Path) -> None:
    dataset = decathlon.build(make_root(tmp_path, test=["./imagesTs/liver_7.nii.gz", "./imagesTs/liver_8.nii.gz"]))
    assert dataset.notes == ("test cases without a label map are left out: 2",)
    assert len(dataset.cases) == len(NAMES)


def make_tasks(folder: Path) -> Path:
    """Tasks 4, 9 and 14, the last with another name inside than outside; and a folder that is none."""
    root = folder / "decathlon"
    for name, inner in (("Task04_Hippocampus", "Hippocampus"), ("Task09_Spleen", "Spleen"), ("Task14_Own", "LUNG")):
        made = make_root(folder / name, name=inner)
        root.mkdir(exist_ok=True)
        made.rename(root / name)
    (root / "archives").mkdir()
    return root


@pytest.mark.parametrize(
    ("task", "found"),
    [
        *((word, "Hippocampus") for word in ("Task04", "4", "04", "hippocampus", "Task04_Hippocampus", "TASK4")),
        *((word, "LUNG") for word in ("own", "lung", "Task14_lung", "14")),
    ],
)
def test_task_is_found_by_number_or_name(tmp_path: Path, task: str, found: str) -> None:
    root = make_tasks(tmp_path)
    dataset = decathlon.build(root, task=task)
    assert dataset.name == found
    assert "found below decathlon" in dataset.notes[0]
    (folder,) = {case.images[0].parents[1] for case in dataset.cases}
    assert decathlon.build(folder, task=task).cases == dataset.cases


@pytest.mark.parametrize("task", ["Task05", "5", "Task05_Hippocampus", "Task04_Spleen", "liver", ""])
def test_task_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path, task: str) -> None:
    with pytest.raises(ConfigError, match="is not there") as caught:
        decathlon.build(make_tasks(tmp_path), task=task)
    assert "Task04_Hippocampus, Task09_Spleen, Task14_Own" in str(caught.value)


def test_root_that_is_another_task_is_refused(tmp_path: Path) -> None:
    root = make_tasks(tmp_path) / "Task14_Own"
    with pytest.raises(ConfigError, match=r"is the task Task14_Own \(LUNG\), not 'Task04'; leave task out"):
        decathlon.build(root, task="Task04")


def test_several_tasks_and_no_choice_are_refused_with_how_to_choose(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"3 tasks: Task04_Hippocampus, .*--set dataset.task=Task04_Hippocampus"):
        decathlon.build(make_tasks(tmp_path))


def test_two_folders_of_one_number_are_refused(tmp_path: Path) -> None:
    root = make_tasks(tmp_path)
    make_root(tmp_path / "more").rename(root / "Task04_Heart")
    with pytest.raises(ConfigError, match=r"'4' fits 2 tasks; .* Task04_Heart, Task04_Hippocampus"):
        decathlon.build(root, task="4")


def test_only_task_is_taken_and_noted(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    dataset = decathlon.build(tmp_path)
    assert dataset.cases == decathlon.build(root).cases
    assert dataset.notes == (f"task Task99_Tiny, found below {tmp_path.name}",)


def test_malformed_neighbour_does_not_matter_to_a_task_found_by_its_folder(tmp_path: Path) -> None:
    root = make_tasks(tmp_path)
    (root / "Task09_Spleen" / "dataset.json").write_text("{", encoding="utf-8")
    assert decathlon.build(root, task="hippocampus").name == "Hippocampus"


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
        ({"training": [{**entry("liver_2"), "label": "labelsTr/liver_2.png"}]}, "files of .nii.gz, .nii, .nrrd"),
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
