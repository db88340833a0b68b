import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from torchio_seg import components
from torchio_seg.datasets import decathlon, phantom
from torchio_seg.errors import ConfigError, DataError

SHAPE = (20, 18, 16)
OPTIONS = {"cases": 2, "shape": list(SHAPE)}


def make_root(folder: Path) -> Path:
    return folder / "phantom"


def digests(root: Path) -> dict[str, str]:
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*.*")}


def test_same_options_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        phantom.build(tmp_path / name, cases=2, shape=SHAPE)
    first = digests(tmp_path / "a")
    assert first == digests(tmp_path / "b")
    assert len(first) == 6


def test_another_seed_gives_other_images(tmp_path: Path) -> None:
    for seed in (0, 1):
        phantom.build(tmp_path / str(seed), cases=1, shape=SHAPE, seed=seed)
    image = "imagesTr/phantom_000.nii.gz"
    assert digests(tmp_path / "0")[image] != digests(tmp_path / "1")[image]


def test_case_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    for cases in (2, 3):
        phantom.build(tmp_path / str(cases), cases=cases, shape=SHAPE)
    few, many = digests(tmp_path / "2"), digests(tmp_path / "3")
    volumes = [name for name in few if name.endswith(".nii.gz")]
    assert len(volumes) == 4
    assert all(few[name] == many[name] for name in volumes)


def test_brain_is_segmented_by_overlapping_regions(tmp_path: Path) -> None:
    dataset = phantom.build(tmp_path / "p", cases=1, shape=SHAPE)
    assert dataset.channels == ("FLAIR", "T1w", "T1gd", "T2w")
    assert [(region.name, region.labels, region.value) for region in dataset.labels.regions] == [
        ("whole_tumor", (1, 2, 3), 1),
        ("tumor_core", (2, 3), 2),
        ("enhancing_tumor", (3,), 3),
    ]
    assert not dataset.labels.exclusive


def test_kind_with_one_channel_keeps_it_whatever_the_limit(tmp_path: Path) -> None:
    by_default = phantom.build(tmp_path / "p", kind="thorax", cases=1, shape=SHAPE)
    assert phantom.build(tmp_path / "p", kind="thorax", cases=1, shape=SHAPE, channels=1) == by_default


@pytest.mark.parametrize(("kind", "num_classes"), [("abdomen", 13), ("thorax", 5)])
def test_tomography_is_segmented_by_exclusive_classes(tmp_path: Path, kind: str, num_classes: int) -> None:
    dataset = phantom.build(tmp_path / "p", kind=kind, cases=1, shape=SHAPE)
    assert dataset.is_ct
    assert dataset.labels.exclusive
    assert len(dataset.labels.regions) == num_classes


def test_files_have_the_layout_of_the_decathlon(tmp_path: Path) -> None:
    dataset = phantom.build(tmp_path / "p", cases=2, shape=SHAPE)
    read = decathlon.build(tmp_path / "p", regions={region.name: region.labels for region in dataset.labels.regions})
    assert read == dataset
    image, label = nib.load(dataset.cases[0].images[0]), nib.load(dataset.cases[0].label)
    assert image.shape == (*label.shape, 4)
    assert sorted(label.shape) == sorted(SHAPE)
    np.testing.assert_array_equal(image.affine, label.affine)


def test_fewer_channels_are_the_first_ones(tmp_path: Path) -> None:
    every = phantom.build(tmp_path / "all", cases=1, shape=SHAPE).cases[0]
    first = phantom.build(tmp_path / "one", cases=1, shape=SHAPE, channels=1).cases[0]
    expected = np.asarray(nib.load(every.images[0]).dataobj)[..., 0]
    np.testing.assert_array_equal(np.asarray(nib.load(first.images[0]).dataobj), expected)
    assert (tmp_path / "all" / "labelsTr" / "phantom_000.nii.gz").read_bytes() == first.label.read_bytes()


def test_second_build_reads_what_the_first_has_written(tmp_path: Path) -> None:
    first = phantom.build(tmp_path / "p", cases=1, shape=SHAPE)
    before = first.cases[0].images[0].stat().st_mtime_ns
    assert phantom.build(tmp_path / "p", cases=1, shape=SHAPE) == first
    assert first.cases[0].images[0].stat().st_mtime_ns == before


def test_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    assert len(phantom.build(tmp_path / "p", cases=1, shape=SHAPE).cases) == 1


def test_folder_made_with_other_options_is_refused_with_the_difference(tmp_path: Path) -> None:
    phantom.build(tmp_path / "p", cases=1, shape=SHAPE)
    with pytest.raises(DataError, match=r"made with cases 1, not 2; seed 0, not 5\. Give another root, or remove"):
        phantom.build(tmp_path / "p", cases=2, shape=SHAPE, seed=5)


def test_folder_of_an_older_generation_is_refused(tmp_path: Path) -> None:
    phantom.build(tmp_path / "p", cases=1, shape=SHAPE)
    record = tmp_path / "p" / "phantom.json"
    older = {**json.loads(record.read_text(encoding="utf-8")), "generation": 0}
    record.write_text(json.dumps(older), encoding="utf-8")
    with pytest.raises(DataError, match="generation"):
        phantom.build(tmp_path / "p", cases=1, shape=SHAPE)


def test_foreign_files_are_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match="holds files but no phantom"):
        phantom.build(tmp_path, cases=1, shape=SHAPE)
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "mine"
    with pytest.raises(DataError, match="is a file"):
        phantom.build(tmp_path / "thesis.txt", cases=1, shape=SHAPE)


@pytest.mark.parametrize("text", ["{", "[]", '"brain"'])
def test_broken_record_is_refused(tmp_path: Path, text: str) -> None:
    phantom.build(tmp_path / "p", cases=1, shape=SHAPE)
    (tmp_path / "p" / "phantom.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="remove the folder"):
        phantom.build(tmp_path / "p", cases=1, shape=SHAPE)


def test_lost_file_is_noticed(tmp_path: Path) -> None:
    dataset = phantom.build(tmp_path / "p", cases=2, shape=SHAPE)
    dataset.cases[1].images[0].unlink()
    with pytest.raises(DataError, match=r"lacks imagesTr/phantom_001\.nii\.gz"):
        phantom.build(tmp_path / "p", cases=2, shape=SHAPE)


def test_interrupted_generation_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, _all: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        phantom.write(tmp_path / "p", phantom.choose("brain", cases=3, shape=SHAPE), report=interrupt)
    assert list(tmp_path.iterdir()) == []
    assert len(phantom.build(tmp_path / "p", cases=3, shape=SHAPE).cases) == 3


def test_slower_of_two_processes_keeps_what_the_faster_has_made(tmp_path: Path) -> None:
    options = phantom.choose("brain", cases=1, shape=SHAPE)

    def meanwhile(done: int, _all: int) -> None:
        phantom.write(tmp_path / "p", options)

    phantom.write(tmp_path / "p", options, report=meanwhile)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p"]
    assert len(phantom.build(tmp_path / "p", cases=1, shape=SHAPE).cases) == 1


def test_slower_of_two_processes_refuses_what_differs(tmp_path: Path) -> None:
    def meanwhile(done: int, _all: int) -> None:
        phantom.build(tmp_path / "p", cases=1, shape=SHAPE, seed=3)

    with pytest.raises(DataError, match="seed 3, not 0"):
        phantom.write(tmp_path / "p", phantom.choose("brain", cases=1, shape=SHAPE), report=meanwhile)


def test_record_tells_the_options(tmp_path: Path) -> None:
    phantom.build(tmp_path / "p", kind="thorax", cases=1, shape=SHAPE, seed=4)
    record = json.loads((tmp_path / "p" / "phantom.json").read_text(encoding="utf-8"))
    record.pop("generation")
    assert record == {"kind": "thorax", "cases": 1, "shape": list(SHAPE), "channels": 1, "seed": 4}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "foot"}, "allowed: brain, abdomen, thorax"),
        ({"channels": 5}, "give 1 to 4"),
        ({"channels": 0}, "give 1 to 4"),
        ({"cases": 0}, "1 to 1000"),
        ({"shape": (64, 15, 48)}, "at least 16"),
        ({"seed": -1}, "0 or more"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        phantom.build(tmp_path / "p", **options)
    assert not (tmp_path / "p").exists()


def test_options_in_a_config_are_checked_strictly(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kind"):
        components.assemble("datasets", {"name": "phantom", "kind": "foot"}, tmp_path / "p")
