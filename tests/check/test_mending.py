"""What is mended has one answer; everything else, and every original, stays as it is."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from small_data import AFFINE, SETTINGS, SHAPE, changed, content, experiment_of, image, label, make, plain

from torchio_seg.check.copying import write_copy
from torchio_seg.check.mending import Mending
from torchio_seg.config.resolve import choose
from torchio_seg.errors import DataError, UsageError
from torchio_seg.progress import Silent
from torchio_seg.volumes.geometry import Orientation
from torchio_seg.volumes.nifti import create, read, read_geometry
from torchio_seg.workflows.check import Fixed, check_experiment, fix

LABELS = {"labels": {"0": "background", "1": "one", "7": "seven"}}


def moved(millimetres: float) -> np.ndarray:
    return AFFINE + np.array([[0, 0, 0, millimetres], [0] * 4, [0] * 4, [0] * 4])


def mend(root: Path, target: Path, **changes: Any) -> Fixed:
    experiment = experiment_of(root, **changes)
    return fix(experiment, check_experiment(experiment), target)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if not path.is_dir()}


def test_the_copy_differs_from_the_data_only_in_what_was_mended(tmp_path: Path) -> None:
    holes = changed(image(1).astype(np.float32), (slice(2), 0, 0), np.nan)
    root = make(tmp_path / "data", images={"b": content(holes)})
    (root / "notes.csv").write_text("id,age\nb,40\n")
    (root / ".DS_Store").write_bytes(b"x")
    before = contents(root)
    fixed = mend(root, tmp_path / "mended")
    after = contents(tmp_path / "mended")
    assert contents(root) == before
    assert after.keys() == before.keys() - {".DS_Store"} | {"fixes.json"}
    assert {name for name in before if after.get(name, before[name]) != before[name]} == {"imagesTr/b.nii.gz"}
    mended = read(tmp_path / "mended" / "imagesTr" / "b.nii.gz")
    assert np.array_equal(mended.array[0], np.nan_to_num(holes, nan=0))
    assert np.array_equal(mended.affine, read_geometry(root / "imagesTr" / "b.nii.gz").affine)
    assert fixed.checked is not None
    assert fixed.checked.report.findings == ()
    change = {"file": "imagesTr/b.nii.gz", "what": "NaN and infinite voxels replaced by 0", "voxels": 2}
    listed = json.loads((tmp_path / "mended" / "fixes.json").read_text())
    assert listed == {"source": str(root), "changes": [change], "left": []}


def test_labels_next_to_whole_numbers_become_these(tmp_path: Path) -> None:
    near = changed(label(7).astype(np.float32), (0, 0, 0), 1) + np.float32(0.04)
    root = make(tmp_path / "data", labels={"b": content(near)}, description=LABELS)
    experiment = experiment_of(root)
    checked = check_experiment(experiment)
    assert "no whole numbers" in checked.report.errors[0].reason
    fixed = fix(experiment, checked, tmp_path / "mended")
    assert fixed.changes == [
        {"file": "labelsTr/b.nii.gz", "what": "labels rounded to the whole numbers next to them", "voxels": 504}
    ]
    mended = read(tmp_path / "mended" / "labelsTr" / "b.nii.gz")
    assert mended.array.dtype == np.uint8
    assert np.array_equal(mended.array[0], np.rint(near))


def test_labels_with_a_scale_factor_are_stored_as_they_are_meant(tmp_path: Path) -> None:
    scaled = nib.Nifti1Image(changed(label(7).astype(np.float32), (0, 0, 0), 1), AFFINE)
    scaled.set_data_dtype(np.uint8)
    root = make(tmp_path / "data", labels={"b": scaled.to_bytes()}, description=LABELS)
    mend(root, tmp_path / "mended")
    stored = nib.load(tmp_path / "mended" / "labelsTr" / "b.nii.gz")
    assert set(np.unique(np.asarray(stored.dataobj)).tolist()) == {0, 1, 7}


@pytest.mark.parametrize("millimetres", [0.0015, 0.008])
def test_a_label_off_by_less_than_a_hundredth_of_a_voxel_takes_the_grid_of_its_image(
    tmp_path: Path, millimetres: float
) -> None:
    root = make(tmp_path / "data", labels={"b": content(label(), affine=moved(millimetres))})
    fixed = mend(root, tmp_path / "mended")
    assert fixed.changes == [
        {
            "file": "labelsTr/b.nii.gz",
            "what": f"moved by up to {millimetres} mm onto the grid of its image",
            "voxels": 0,
        }
    ]
    mended = read(tmp_path / "mended" / "labelsTr" / "b.nii.gz")
    assert np.array_equal(mended.affine, read(root / "imagesTr" / "b.nii.gz").affine)
    assert np.array_equal(mended.array[0], label())


def test_a_label_stored_along_other_axes_and_a_little_off_is_brought_to_its_image(tmp_path: Path) -> None:
    root = make(tmp_path / "data")
    turn = Orientation((2, 0, 1), (True, False, True))
    file = root / "labelsTr" / "b.nii.gz"
    create(file, turn.apply(label()[None]), turn.apply_affine(moved(0.005), SHAPE), overwrite=True)
    mend(root, tmp_path / "mended")
    mended = read(tmp_path / "mended" / "labelsTr" / "b.nii.gz")
    assert np.array_equal(mended.array[0], label())
    assert np.array_equal(mended.affine, read(root / "imagesTr" / "b.nii.gz").affine)


def test_two_forms_of_an_affine_that_nearly_agree_become_equal(tmp_path: Path) -> None:
    root = make(tmp_path / "data", images={"b": content(image(1), qoffset_x=-4.05)})
    assert read_geometry(root / "imagesTr" / "b.nii.gz").forms_apart_mm == pytest.approx(0.05, abs=1e-5)
    (change,) = mend(root, tmp_path / "mended").changes
    assert change["what"] == "qform set to sform, which lay up to 0.05 mm apart"
    mended = nib.load(tmp_path / "mended" / "imagesTr" / "b.nii.gz")
    np.testing.assert_allclose(mended.get_qform(), mended.get_sform(), atol=1e-5)
    np.testing.assert_allclose(mended.get_sform(), AFFINE, atol=1e-6)


NOT_MENDED = {
    "a millimetre off": ("labelsTr", content(label(), affine=moved(1))),
    "two hundredths of a voxel off": ("labelsTr", content(label(), affine=moved(0.02))),
    "between two labels": ("labelsTr", content(changed(label().astype(np.float32), (0, 0, 0), 0.5))),
    "just too far from a label": ("labelsTr", content(changed(label().astype(np.float32), (0, 0, 0), 0.94))),
    "NaN in a label map": ("labelsTr", content(changed(label().astype(np.float32), (0, 0, 0), np.nan))),
    "another shape": ("labelsTr", content(label()[:, :, :6])),
    "undeclared": ("labelsTr", content(label(9))),
    "forms that disagree": ("imagesTr", content(image(1), qoffset_x=6)),
    "constant": ("imagesTr", content(image(1) * 0)),
    "no orientation": ("imagesTr", content(image(1), qform_code=0, sform_code=0)),
}


@pytest.mark.parametrize(("folder", "damaged"), NOT_MENDED.values(), ids=NOT_MENDED)
def test_what_would_have_to_be_guessed_is_copied_as_it_is_and_listed(
    tmp_path: Path, folder: str, damaged: bytes
) -> None:
    holes = changed(image(0).astype(np.float32), (0, 0, 0), np.inf)
    images = {"a": content(holes)} | ({"b": damaged} if folder == "imagesTr" else {})
    root = make(tmp_path / "data", images=images, labels={"b": damaged} if folder == "labelsTr" else {})
    fixed = mend(root, tmp_path / "mended")
    assert [change["file"] for change in fixed.changes] == ["imagesTr/a.nii.gz"]
    copy = tmp_path / "mended" / folder / "b.nii.gz"
    assert copy.read_bytes() == (root / folder / "b.nii.gz").read_bytes()
    left = json.loads((tmp_path / "mended" / "fixes.json").read_text())["left"]
    assert str(copy) in {finding["file"] for finding in left}


def test_a_target_that_is_not_free_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    root = make(tmp_path / "data", labels={"b": content(label(), affine=moved(0.005))})
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    for target, words in {
        full: "not an empty folder",
        full / "mine.txt": "not an empty folder",
        root / "mended": "cannot lie within each other",
        tmp_path / "missing" / "mended": "does not exist; create it first",
    }.items():
        with pytest.raises(UsageError, match=words):
            mend(root, target)
    assert contents(full) == {"mine.txt": b"mine"}
    (tmp_path / "empty").mkdir()
    assert mend(root, tmp_path / "empty").changes


def test_files_outside_the_folder_cannot_be_copied_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(tmp_path / "data")
    (tmp_path / "outside_layout.py").write_text(
        "from torchio_seg.records import Case, Dataset, Labels\n"
        "def build(root):\n"
        "    labels = Labels.of_classes({0: 'background', 1: 'lesion'})\n"
        "    file = root.parent / 'data' / 'imagesTr' / 'a.nii.gz'\n"
        "    label = root.parent / 'data' / 'labelsTr' / 'a.nii.gz'\n"
        "    return Dataset('own', ('MRI',), labels, (Case('a', (file,), label),))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "other").mkdir()
    experiment = experiment_of(tmp_path / "other", dataset__name="outside_layout.build")
    with pytest.raises(DataError, match=r"2 of 2 files lie elsewhere, such as .*a\.nii\.gz"):
        fix(experiment, check_experiment(experiment), tmp_path / "mended")
    assert (root / "imagesTr" / "a.nii.gz").exists()


def test_a_copy_that_cannot_be_finished_leaves_nothing(tmp_path: Path) -> None:
    root = make(tmp_path / "data")
    file = root / "labelsTr" / "d.nii.gz"
    mending = Mending(file, AFFINE, (), is_label=True)
    file.write_bytes(gzip.compress(plain(file)[:-1]))
    with pytest.raises(DataError, match="truncated"):
        write_copy(root, tmp_path / "mended", [file], {file: mending}, progress=Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_data_set_that_is_a_list_is_copied_with_the_folder_of_the_list(tmp_path: Path) -> None:
    root = make(tmp_path / "data", labels={"b": content(label(), affine=moved(0.005))})
    rows = [f"{name},imagesTr/{name}.nii.gz,labelsTr/{name}.nii.gz" for name in "abcd"]
    (root / "cases.csv").write_text("\n".join(["id,image,label", *rows]) + "\n")
    experiment = choose("table", None, {"dataset.root": str(root / "cases.csv")} | SETTINGS)
    fixed = fix(experiment, check_experiment(experiment), tmp_path / "mended")
    assert [change["file"] for change in fixed.changes] == ["labelsTr/b.nii.gz"]
    assert fixed.checked is not None
    assert fixed.checked.report.findings == ()
    assert {case.label.parent for case in fixed.checked.dataset.cases} == {tmp_path / "mended" / "labelsTr"}


def test_volumes_of_other_tasks_in_the_same_folder_are_not_copied(tmp_path: Path) -> None:
    wanted = make(tmp_path / "data" / "Task01_A", labels={"b": content(label(), affine=moved(0.005))})
    make(tmp_path / "data" / "Task02_B")
    mend(tmp_path / "data", tmp_path / "mended", dataset__task="Task01_A")
    copied = {str(path.relative_to(tmp_path / "mended")) for path in (tmp_path / "mended").rglob("*") if path.is_file()}
    volumes = {str(path.relative_to(tmp_path / "data")) for path in wanted.rglob("*.nii.gz")}
    assert copied == volumes | {"fixes.json", "Task01_A/dataset.json", "Task02_B/dataset.json"}


def test_linked_files_and_folders_are_copied_as_what_they_lead_to(tmp_path: Path) -> None:
    root = make(tmp_path / "data", labels={"b": content(label(), affine=moved(0.005))})
    (root / "imagesTr").rename(root / "stored")
    (root / "imagesTr").symlink_to("stored")
    (root / "stored" / "loop").symlink_to("..")
    (root / "gone.txt").symlink_to("nowhere")
    fixed = mend(root, tmp_path / "mended")
    assert fixed.checked is not None
    assert fixed.checked.report.errors == []
    assert not any(path.is_symlink() for path in (tmp_path / "mended").rglob("*"))
