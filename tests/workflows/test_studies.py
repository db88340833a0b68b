"""A folder of DICOM studies as cases: which of what lies in it is taken, what becomes of each, and what is said."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from small_models import save_model
from test_dicom_inputs import AFFINE, LIVER, SCOUT, SHAPE, THORAX, packed, picture, read_dicom, study

from torchio_seg.cli import main
from torchio_seg.errors import DataError, UsageError
from torchio_seg.phantoms.dicom import Origin, write_rtstruct
from torchio_seg.volumes.nifti import create, read
from torchio_seg.workflows.inputs import find_cases, settle_series


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the package says."""
    listening = logging.getLogger("torchio_seg")
    listening.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, "torchio_seg"):
        yield caplog
    listening.removeHandler(caplog.handler)


def patient(name: str, number: int = 3, description: str = "THORAX") -> Origin:
    return Origin(name, number=number, description=description)


def found(folder: Path, series: str | None = None, output: Path | None = None) -> dict[str, Path]:
    """The one image of each case, by the case's name."""
    return {case.id: case.images[0] for case in find_cases([str(folder)], ["CT"], series, output)}


def test_each_study_in_a_folder_is_a_case_called_as_its_folder_or_archive(tmp_path: Path) -> None:
    root = tmp_path / "studies"
    study(root / "p1", patient("P1"))
    study(root / "p2" / "deep" / "deeper", patient("P2"))
    packed(study(root / "p3", patient("P3"))).rename(root / "p4.zip")
    expected = {"p1": root / "p1", "p2": root / "p2", "p3": root / "p3", "p4": root / "p4.zip"}
    assert found(root) == found(tmp_path / "studies" / "p*") == expected
    (root / "p4").mkdir()  # into which unpacking failed
    assert found(root) == expected


def test_studies_are_found_at_any_depth_and_called_by_the_folders_on_the_way(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    for day in ("a", "b"):
        study(root / "p1" / "2026" / day, Origin("P1", number=3, description="THORAX", study=day))
    study(root / "p2" / "a", Origin("P2", number=3, description="THORAX", study="c"))
    (root / "p1" / "2026" / "notes").mkdir()
    (root / "p1" / "2026" / "notes" / "read me.txt").write_text("of the day", encoding="utf-8")
    (root / "p1" / "again").symlink_to(root)
    days = {f"p1_2026_{day}": root / "p1" / "2026" / day for day in ("a", "b")}
    assert found(root) == days | {"p2": root / "p2"}
    assert found(root / "p1" / "2026") == {"a": days["p1_2026_a"], "b": days["p1_2026_b"]}
    study(days["p1_2026_b"], Origin("P1", number=4, description="Liver", study="b"))
    assert set(found(root)) == {"p1_2026_a", "p1_2026_b", "p2"}
    assert found(root, "THORAX")["p1_2026_b_3"] == days["p1_2026_b"]
    with pytest.raises(UsageError, match="p1/2026/b: 2 series are volumes"):
        read_dicom(days["p1_2026_b"])


def test_folders_that_hold_the_series_of_one_study_are_one_case(tmp_path: Path) -> None:
    root = study(tmp_path / "study", THORAX, LIVER)
    assert found(root, "4") == {"study_4": root}
    with pytest.raises(UsageError, match="2 series are volumes"):
        found(root)


def test_slices_that_lie_in_the_folder_itself_make_it_the_case(tmp_path: Path, heard: pytest.LogCaptureFixture) -> None:
    root = study(tmp_path / "study", THORAX) / "s3"
    (root / "masks").mkdir()
    create(root / "masks" / "s3_seg.nii.gz", picture(), AFFINE)
    assert found(root) == {"s3": root}
    assert heard.messages == []
    packed(study(tmp_path / "other", LIVER)).rename(root / "other.zip")
    assert found(root) == {"s3": root}
    assert set(heard.messages) == {
        f"{root}: 1 DICOM study; left out: other.zip (beside what is taken); name what is meant too"
    }


def test_a_case_whose_series_cannot_be_chosen_fails_when_its_turn_comes_and_no_other(tmp_path: Path) -> None:
    root = tmp_path / "studies"
    study(root / "p1", patient("P1"))
    study(root / "p2", patient("P2"), patient("P2", 4, "Liver venous"))
    assert found(root) == {"p1": root / "p1", "p2": root / "p2"}
    with pytest.raises(UsageError, match="p2: 2 series are volumes"):
        read_dicom(root / "p2")
    assert set(found(root, "*VENOUS")) == {"p1", "p2_4"}
    with pytest.raises(UsageError, match=r"p1: no series is called '\*VENOUS'"):
        read_dicom(root / "p1", "*VENOUS")


def test_a_pattern_chooses_the_volume_whose_description_fits_in_every_study(tmp_path: Path) -> None:
    root = tmp_path / "studies"
    study(root / "p1", patient("P1", 2, "Thorax 1mm"), patient("P1", 5, "liver 5mm"))
    study(root / "p2", patient("P2", 7, "LIVER 3mm"), patient("P2", 8, "thorax 1mm"))
    assert found(root, "*liver*") == {"p1_5": root / "p1", "p2_7": root / "p2"}
    assert np.array_equal(read_dicom(root / "p2", "*liver*").array[0], picture(7))
    with pytest.raises(UsageError, match="2 series are called "):
        read_dicom(root / "p1", "???*")


def test_the_list_tells_whose_series_these_are_of_which_day(tmp_path: Path) -> None:
    path = study(tmp_path / "study", THORAX, LIVER, SCOUT)
    later = study(path / "later", Origin("P2", number=3, description="THORAX", study="2"))
    for file in later.rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        dataset.SeriesDate = "20260203"
        dataset.save_as(file)
    with pytest.raises(UsageError, match="3 series are volumes") as refused:
        read_dicom(path)
    header, *rows = str(refused.value).splitlines()[1:]
    assert header.split() == ["#", "number", "patient", "date", "modality", "description", "slices", "size", "UID"]
    assert [row.split()[:5] for row in rows] == [
        ["1", "3", "P1", "2000-01-01", "CT"],
        ["2", "4", "P1", "2000-01-01", "CT"],
        ["3", "3", "P2", "2026-02-03", "CT"],
    ]
    with pytest.raises(UsageError, match="no series is called '7'") as refused:
        read_dicom(path, "7")
    assert [row.split()[0] for row in str(refused.value).splitlines()[2:]] == ["-", "1", "2", "3"]


def test_a_row_of_the_list_is_a_choice_where_no_series_has_that_number(tmp_path: Path) -> None:
    path = study(tmp_path / "study", THORAX, LIVER, SCOUT)
    rows = {"1": SCOUT.series_uid, "2": LIVER.series_uid, "3": THORAX.series_uid, "4": LIVER.series_uid}
    cases = find_cases([str(path)], ["CT"], "2")
    assert [case.id for case in cases] == ["study_4"]
    for wanted, uid in rows.items():
        settled = settle_series(cases, wanted)
        if wanted == "1":  # the scout's own number
            with pytest.raises(DataError, match="no volume"):
                read_dicom(path, settled)
        else:
            assert np.array_equal(read_dicom(path, settled).array, read_dicom(path, uid).array), wanted


def test_a_row_is_no_choice_for_several_studies_whose_lists_differ(tmp_path: Path) -> None:
    root = tmp_path / "studies"
    study(root / "p1", patient("P1", 2, "Liver"), patient("P1", 3))
    study(root / "p2", patient("P2", 5), patient("P2", 6, "Liver"))
    cases = find_cases([str(root)], ["CT"], "2")
    assert [case.id for case in cases] == ["p1_2", "p2"]
    assert settle_series(cases, "2") == "2"
    with pytest.raises(UsageError, match="p2: no series is called '2'"):
        read_dicom(root / "p2", "2")


def test_volumes_come_before_dicom_beside_them_and_what_is_left_out_is_said(
    tmp_path: Path, heard: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "mixed"
    study(root / "p1", patient("P1"))
    create(root / "p1" / "scan.nii.gz", picture(), AFFINE)
    study(root / "p2", patient("P2"))
    study(root / "p3", patient("P3"))
    packed(root / "p3")
    (root / "reports").mkdir()
    assert found(root) == {"scan": root / "p1" / "scan.nii.gz", "p2": root / "p2", "p3": root / "p3"}
    left = "p1 (beside what is taken), reports (no volume, no image of DICOM), p3.zip (unpacked beside it)"
    sentence = f"{root}: 1 volume and 2 DICOM studies; left out: {left}; name what is meant too"
    assert set(heard.messages) == {sentence}
    assert heard.records[0].levelname == "WARNING"
    assert set(found(root, "THORAX")) == {"p1", "p2", "p3"}
    heard.clear()
    create(root / "top.nii.gz", picture(), AFFINE)
    assert found(root) == {"top": root / "top.nii.gz"}
    assert (
        "1 volume; left out: p1 (beside what is taken), p2 (beside what is taken), p3 (beside what is taken)"
        in heard.text
    )


def test_folders_of_volumes_alone_are_not_talked_about(tmp_path: Path, heard: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b", "empty"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        create(tmp_path / name / f"{name}.nii.gz", picture(), AFFINE)
    assert set(found(tmp_path)) == {"a", "b"}
    assert heard.messages == []


def test_volumes_are_found_at_any_depth_but_not_below_others(tmp_path: Path, heard: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "patients"
    files = [root / f"p{number}" / "day 1" / "nifti" / "ct.nii.gz" for number in (1, 2)]
    hidden = root / "p1" / "day 1" / "nifti" / "masks" / "liver.nii.gz"
    for file in (*files, hidden):
        file.parent.mkdir(parents=True)
        create(file, picture(), AFFINE)
    assert found(root) == {"p1_day 1_nifti_ct": files[0], "p2_day 1_nifti_ct": files[1]}
    assert found(root, output=root / "p2" / "day 1") == {"ct": files[0]}
    assert heard.messages == []
    study(root / "p2" / "dicom", patient("P2"))
    assert found(root) == {"ct": files[0], "p2": root / "p2"}
    assert f"{root}: 1 volume and 1 DICOM study; left out: nifti (beside what is taken)" in heard.text
    create(root / "top.nii.gz", picture(), AFFINE)
    heard.clear()
    assert found(root) == {"top": root / "top.nii.gz"}
    assert "left out: p2 (beside what is taken), p1 (beside what is taken)" in heard.text


def test_outputs_are_no_input_and_structure_sets_are_no_case(tmp_path: Path) -> None:
    root = tmp_path / "studies"
    study(root / "p1", patient("P1"))
    masks = root / "masks"
    masks.mkdir()
    create(masks / "studies_seg.nii.gz", picture(), AFFINE)
    assert found(root, output=masks) == {"studies": root}
    study(root / "p2", patient("P2"))
    write_rtstruct(root / "plans" / "rs.dcm", {"heart": np.ones(SHAPE, bool)}, AFFINE, patient("P2"))
    assert found(root, output=masks) == {"p1": root / "p1", "p2": root / "p2"}


def test_a_study_of_which_nothing_can_be_read_is_a_case_that_fails(tmp_path: Path) -> None:
    root = tmp_path / "studies"
    for name in ("p1", "p2"):
        study(root / name, patient(name))
    for file in (root / "p2").rglob("*.dcm"):
        file.write_bytes(file.read_bytes()[:200])
    assert set(found(root)) == {"p1", "p2"}
    with pytest.raises(DataError, match="p2 holds no DICOM images"):
        read_dicom(root / "p2")
    with pytest.raises(DataError, match=r"s3 holds no DICOM images; .*1-001\.dcm"):
        found(root / "p2" / "s3")


def test_the_command_predicts_every_study_and_lists_those_that_it_could_not(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tmp_path / "model", channels=("CT",))
    monkeypatch.chdir(tmp_path)
    for name in ("p1", "p3"):
        study(Path("studies") / name, patient(name))
    study(Path("studies") / "p2", patient("P2"), patient("P2", 4, "Liver venous"))

    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["torchio-seg", "predict", "studies", "--model", "model", "-o", "out", *words])
        with pytest.raises(SystemExit) as end:
            main()
        return int(str(end.value.code)), capfd.readouterr().out

    code, said = call("--json", "out/summary.json")
    assert code == 1
    assert "1 of 3 could not be predicted" in said
    cases = {case["id"]: case for case in json.loads(Path("out/summary.json").read_text())["cases"]}
    assert {name: case["status"] for name, case in cases.items()} == {"p1": "written", "p2": "failed", "p3": "written"}
    assert "Liver venous" in cases["p2"]["error"]
    assert cases["p1"]["series"] == patient("p1").series_uid
    assert sorted(path.name for path in Path("out").glob("*.gz")) == ["p1_seg.nii.gz", "p3_seg.nii.gz"]
    assert read(Path("out/p1_seg.nii.gz")).shape == SHAPE
    np.testing.assert_allclose(read(Path("out/p1_seg.nii.gz")).affine, AFFINE, atol=1e-5)
    code, said = call("--series", "thor*")
    assert code == 0
    assert "2 of 3 were there already" in said
    assert Path("out/p2_3_seg.nii.gz").exists()
