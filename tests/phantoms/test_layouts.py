"""Every layout is read by its reader, with the voxels that were drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from torchio_seg import components
from torchio_seg.config.resolve import shipped
from torchio_seg.errors import DataError, UsageError
from torchio_seg.phantoms.cohort import Cohort, choose
from torchio_seg.phantoms.layouts.catalogue import LAYOUTS, find_layout, write_layout
from torchio_seg.phantoms.layouts.rtstruct import ROIS
from torchio_seg.phantoms.scanner import Phantom
from torchio_seg.records import Dataset
from torchio_seg.workflows.importing import import_rtstruct

CASES = 6
SHAPE = (24, 20, 18)
SEQUENCES = ("FLAIR", "T1w", "T1gd", "T2w")
OWN_IDS = tuple(f"phantom_{index:03d}" for index in range(CASES))
ORGANS = {value: value for value in range(1, 14)}
SAME = {1: 1, 2: 2, 3: 3}
PATIENTS = ("Train-S1-001", "Train-S1-002", "Train-S1-003", "Test-S1-104", "Train-S1-005", "Train-S1-006")


@dataclass(frozen=True)
class Expected:
    """What the reader of a layout finds."""

    reader: Mapping[str, Any]
    ids: tuple[str, ...] = OWN_IDS
    channels: tuple[str, ...] = SEQUENCES
    values: Mapping[int, int] = field(default_factory=lambda: SAME)
    """What stands in the label map for what was drawn."""
    splits: int = 0
    """How many divisions the layout brings."""
    unlabelled: tuple[str, ...] = ()


EXPECTED = {
    "decathlon": Expected({"name": "decathlon"}),
    "task01": Expected({"name": "brats"}, tuple(f"BRATS_{index + 1:03d}" for index in range(CASES))),
    "brats2018": Expected(
        {"name": "brats"}, tuple(f"Brats18_2013_{index}_1" for index in range(CASES)), values={1: 2, 2: 1, 3: 4}
    ),
    "brats2021": Expected(
        {"name": "brats"}, tuple(f"BraTS2021_{index:05d}" for index in range(CASES)), values={1: 2, 2: 1, 3: 4}
    ),
    "brats2023": Expected(
        {"name": "brats"}, tuple(f"BraTS-GLI-{index:05d}-000" for index in range(CASES)), values={1: 2, 2: 1, 3: 3}
    ),
    "btcv": Expected(
        {"name": "datalist"},
        tuple(f"img{index + 1:04d}" for index in range(CASES)),
        ("CT",),
        ORGANS,
        splits=1,
        unlabelled=("img0004",),
    ),
    "datalist": Expected({"name": "datalist"}, splits=5),
    "table": Expected({"name": "table"}, splits=1),
    "folders": Expected({"name": "folders", "channels": list(SEQUENCES)}),
    "modes": Expected({"name": "folders", "channels": list(SEQUENCES)}, splits=1),
    "nnunet": Expected({"name": "nnunet"}, channels=("CT",), values=ORGANS, splits=5),
    "rtstruct": Expected(
        {"name": "rtstruct"},
        tuple(f"LCTSC-{name}" for name in PATIENTS),
        ("CT",),
        {value: value for value in range(1, 6)},
    ),
}


def cohort_for(layout: str, **options: Any) -> Cohort:
    return choose(LAYOUTS[layout].kinds[0], **{"cases": CASES, "shape": SHAPE, **options})


def digests(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each layout written once."""
    folder = tmp_path_factory.mktemp("layouts")
    for layout in LAYOUTS:
        write_layout(folder / layout, layout, cohort_for(layout))
    return {layout: folder / layout for layout in LAYOUTS}


@pytest.fixture(params=EXPECTED)
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def dataset(layout: str, roots: dict[str, Path], tmp_path: Path) -> Dataset:
    root = roots[layout]
    if layout == "rtstruct":
        import_rtstruct(root, tmp_path / "imported", list(ROIS.values()))
        root = tmp_path / "imported"
    read: Dataset = components.assemble("datasets", dict(EXPECTED[layout].reader), root)
    return read


def upright(array: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    return nib.as_closest_canonical(nib.Nifti1Image(array, affine))


def require_same_place(path: Path, array: np.ndarray, phantom: Phantom) -> None:
    """The file holds the array, in the phantom's place."""
    found, expected = nib.as_closest_canonical(nib.load(path)), upright(array, phantom.affine)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-3)
    np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(expected.dataobj))


def test_every_layout_is_expected_somewhere_here() -> None:
    assert set(EXPECTED) == set(LAYOUTS)


def test_the_reader_finds_cases_channels_and_labels(layout: str, dataset: Dataset) -> None:
    expected = EXPECTED[layout]
    assert [case.id for case in dataset.cases] == sorted(set(expected.ids) - set(expected.unlabelled))
    assert dataset.channels == expected.channels
    assert set(dataset.labels.names) == {0, *expected.values.values()}


def test_the_reader_finds_the_voxels_that_were_drawn(layout: str, dataset: Dataset) -> None:
    expected = EXPECTED[layout]
    table = np.zeros(256, np.uint8)
    table[list(expected.values)] = list(expected.values.values())
    cases = {case.id: case for case in dataset.cases}
    for case_id, phantom in zip(expected.ids, cohort_for(layout).patients(), strict=True):
        if case_id in expected.unlabelled:
            continue
        case = cases[case_id]
        assert case.label is not None
        require_same_place(case.label, table[phantom.label], phantom)
        if len(case.images) == 1:
            together = phantom.image[0] if len(phantom.image) == 1 else np.moveaxis(phantom.image, 0, -1)
            require_same_place(case.images[0], together, phantom)
            continue
        for path, channel in zip(case.images, phantom.image, strict=True):
            require_same_place(path, channel, phantom)


def test_the_division_of_the_layout_is_read(layout: str, dataset: Dataset) -> None:
    expected = EXPECTED[layout]
    assert len(dataset.splits) == expected.splits
    labelled = {case.id for case in dataset.cases}
    validated: set[str] = set()
    for split in dataset.splits:
        assert {*split.training, *split.validation, *split.test} == labelled
        validated |= set(split.validation)
    if expected.splits == 1:
        third, fourth = expected.ids[2], expected.ids[3]
        assert validated == {third}
        assert set(dataset.splits[0].test) == {fourth} - set(expected.unlabelled)
    if expected.splits > 1:
        assert validated == labelled


def test_brains_have_their_regions_where_the_layout_can_say_so(roots: dict[str, Path], tmp_path: Path) -> None:
    write_layout(tmp_path / "nnunet", "nnunet", choose("brain", cases=2, shape=SHAPE))
    brains = {name: (roots[name], EXPECTED[name]) for name in ("task01", "brats2018", "brats2021", "brats2023")}
    brains["nnunet"] = (tmp_path / "nnunet", Expected({"name": "nnunet"}))
    for root, expected in brains.values():
        read = components.assemble("datasets", dict(expected.reader), root)
        values = expected.values
        assert read.channels == SEQUENCES
        assert [set(region.labels) for region in read.labels.regions] == [
            {values[1], values[2], values[3]},
            {values[2], values[3]},
            {values[3]},
        ]


def test_scans_of_one_patient_have_one_group_in_the_table(roots: dict[str, Path]) -> None:
    read = components.assemble("datasets", {"name": "table"}, roots["table"])
    groups = [case.group for case in read.cases]
    assert groups[0] == groups[1]
    assert len(set(groups)) == CASES - 1


@pytest.mark.parametrize("layout", ["decathlon", "datalist", "table", "nnunet"])
def test_a_ct_is_read_as_one_where_the_layout_can_say_so(layout: str, tmp_path: Path) -> None:
    write_layout(tmp_path / "p", layout, choose("abdomen", cases=2, shape=SHAPE))
    read = components.assemble("datasets", {"name": layout}, tmp_path / "p")
    assert read.is_ct
    assert read.labels.exclusive
    assert len(read.labels.regions) == 13


@pytest.mark.parametrize("layout", sorted(set(EXPECTED) - {"rtstruct"}))
def test_one_case_alone_is_read_as_a_training_case(layout: str, tmp_path: Path) -> None:
    write_layout(tmp_path / "p", layout, cohort_for(layout, cases=1))
    read = components.assemble("datasets", dict(EXPECTED[layout].reader), tmp_path / "p")
    assert len(read.cases) == 1
    assert all(len(split.training) == 1 for split in read.splits)


def test_same_seed_gives_the_same_bytes_and_another_does_not(
    layout: str, roots: dict[str, Path], tmp_path: Path
) -> None:
    write_layout(tmp_path / "again", layout, cohort_for(layout))
    write_layout(tmp_path / "other", layout, cohort_for(layout, seed=1))
    first = digests(roots[layout])
    assert first == digests(tmp_path / "again")
    assert first != digests(tmp_path / "other")


@pytest.mark.parametrize(
    ("layout", "kind", "words"),
    [
        ("brats2021", "thorax", r"brats2021 is made for brain, not for thorax; .*fits thorax: .*folders.*rtstruct"),
        ("btcv", "brain", "made for abdomen, not for brain"),
        ("rtstruct", "abdomen", "made for thorax, not for abdomen"),
        ("rtsruct", None, "layout 'rtsruct' is unknown, did you mean 'rtstruct'"),
        ("folders", "leg", "kind 'leg' is unknown .*brain, abdomen, thorax"),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_does(layout: str, kind: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        find_layout(layout, kind)


def test_a_layout_that_needs_every_channel_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"channels=2; layout brats2021 holds all 4"):
        write_layout(tmp_path / "p", "brats2021", cohort_for("brats2021", channels=2))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_layout_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, _all: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_layout(tmp_path / "p", "table", cohort_for("table"), report=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_what_stands_at_the_root_is_kept(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match=r"cannot be written .*give another root"):
        write_layout(tmp_path / "p", "folders", cohort_for("folders", cases=1))
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
    assert (tmp_path / "p" / "thesis.txt").read_text(encoding="utf-8") == "mine"


def test_every_layout_names_what_can_be_trained() -> None:
    assert {layout.experiment for layout in LAYOUTS.values()} <= {*shipped(), *components.names("datasets")}
