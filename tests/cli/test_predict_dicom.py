"""`torchio-seg predict --to ...`: series in, NIfTI, DICOM segmentations and structure sets out, all the same."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_readers import segments, structures
from small_runs import Call

from torchio_seg.phantoms.dicom import Origin, write_series
from torchio_seg.records import Labels
from torchio_seg.volumes.nifti import create, read

CHANNELS = ("FLAIR", "T1w", "T1gd", "T2w")
REGIONS = ("whole_tumor", "tumor_core", "enhancing_tumor")


@pytest.fixture
def series(work: Path) -> list[str]:
    """The channels of a scan, each a folder of DICOM, as the command line takes them."""
    volume = read(work / "in" / "phantom_000.nii.gz")
    stored = np.rint(volume.array * 1000 / volume.array.max()).astype(np.int16)
    for number, channel in enumerate(CHANNELS, start=1):
        write_series(work / channel, stored[number - 1], volume.affine, Origin("P1", modality="MR", number=number))
    return [f"{channel}={channel}" for channel in CHANNELS]


def labels_of(work: Path) -> Labels:
    from torchio_seg.checkpoint import read_card

    return read_card(work / "runs" / "latest" / "checkpoints" / "best").labels


def test_every_kind_holds_the_same_regions(work: Path, series: list[str], call: Call) -> None:
    result = call("predict", *series, "--to", "nifti,dicom-seg", "--to", "rtstruct", "-o", "out", "--json", "sum.json")
    assert result.code == 0, result.err
    names = [f"FLAIR_{ending}" for ending in ("seg.nii.gz", "seg.dcm", "rtstruct.dcm")]
    assert sorted(path.name for path in (work / "out").iterdir()) == sorted(names)
    assert [Path(file).name for file in json.loads((work / "sum.json").read_text())["cases"][0]["files"]] == names
    label_map = read(work / "out" / "FLAIR_seg.nii.gz")
    shape = label_map.shape
    by_kind = (
        segments(work / "out" / "FLAIR_seg.dcm", label_map.affine, shape),
        structures(work / "out" / "FLAIR_rtstruct.dcm", label_map.affine, shape, "union"),
    )
    labels = labels_of(work)
    assert label_map.array.any(), "the small run finds something"
    for region in labels.regions:
        wanted = np.isin(label_map.array[0], region.labels)
        for masks in by_kind:
            np.testing.assert_array_equal(masks.get(region.name, np.zeros(shape, bool)), wanted)
    assert "whole_tumor = Neoplasm (SCT 108369006)" in result.out + result.err
    assert "no term is known for tumor_core" in result.err


def test_an_archive_is_referred_to_after_it_was_unpacked(work: Path, series: list[str], call: Call) -> None:
    with zipfile.ZipFile(work / "FLAIR.zip", "w") as archive:
        for file in (work / "FLAIR").iterdir():
            archive.write(file, file.name)
    result = call("predict", "FLAIR=FLAIR.zip", *series[1:], "--to", "dicom-seg", "-o", "named/only.dcm")
    assert result.code == 0, result.err
    assert [path.name for path in (work / "named").iterdir()] == ["only.dcm"]
    found = pydicom.dcmread(work / "named" / "only.dcm")
    assert found.ReferencedSeriesSequence[0].SeriesInstanceUID == Origin("P1", modality="MR", number=1).series_uid
    assert str(found.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters).startswith(
        "model=phantom,sha256="
    )


def test_terms_of_a_file_are_used_and_held_to_the_models_classes(work: Path, series: list[str], call: Call) -> None:
    (work / "codes.yaml").write_text('tumor_core: {type: ["7", 99ME, My core], category: lesion}\n')
    result = call("predict", *series, "--to", "dicom-seg", "--codes", "codes.yaml", "-o", "out")
    assert result.code == 0, result.err
    terms = {
        item.SegmentLabel: item.SegmentedPropertyTypeCodeSequence[0].CodeMeaning
        for item in pydicom.dcmread(work / "out" / "FLAIR_seg.dcm").SegmentSequence
    }
    assert terms.get("tumor_core", "My core") == "My core"
    assert "no term is known" not in result.err
    (work / "codes.yaml").write_text('tumour_core: {type: ["7", 99ME, My core]}\n')
    refused = call("predict", *series, "--to", "dicom-seg", "--codes", "codes.yaml", "-o", "other")
    assert refused.code == 2
    assert "codes.tumour_core: the model has no class or region of this name, did you mean 'tumor_core'?" in refused.err


def test_what_cannot_be_written_is_refused_before_anything_is_computed(
    work: Path, series: list[str], call: Call
) -> None:
    for words, said in (
        (["in/phantom_000.nii.gz", "--to", "dicom-seg"], "phantom_000.nii.gz is not DICOM"),
        (["in", "--to", "nifti,rtstruct"], "phantom_000.nii.gz is not DICOM"),
        ([*series, "--to", "dicom"], "--to: got 'dicom', did you mean 'dicom-seg'?"),
        ([*series, "--to", "dicom-seg", "-o", "x.nii.gz"], "x.nii.gz is no name for --to dicom-seg"),
        ([*series, "--to", "dicom-seg,rtstruct", "-o", "x.dcm"], "a name in .dcm needs one of"),
    ):
        refused = call("predict", *words)
        assert (refused.code, said in refused.err) == (2, True), refused.err
    assert not list(work.glob("*_seg*"))


@pytest.mark.parametrize("trouble", ["missing", "tilted", "mixed", "twice"])
def test_series_that_are_no_volume_are_named_with_their_slices(
    work: Path, series: list[str], call: Call, trouble: str
) -> None:
    files = sorted((work / "FLAIR").glob("*.dcm"))
    names = {"missing": ("1-010.dcm", "1-012.dcm"), "tilted": ("degrees", "dcm2niix"), "twice": ("one position",)}
    if trouble == "missing":
        files[10].unlink()
    for number, file in enumerate(files if trouble in {"tilted", "mixed", "twice"} else ()):
        dataset = pydicom.dcmread(file)
        if trouble == "tilted":
            dataset.ImagePositionPatient[1] += 0.3 * number
        elif trouble == "mixed":
            dataset.PixelSpacing = [2.0, 2.0] if number > 20 else dataset.PixelSpacing
        elif number == 5:
            dataset.ImagePositionPatient = pydicom.dcmread(files[4]).ImagePositionPatient
        dataset.save_as(file)
    result = call("predict", *series, "--to", "dicom-seg", "-o", "out")
    assert result.code == 1
    for name in names.get(trouble, ("1-022.dcm", "PixelSpacing")):
        assert name in result.err
    assert not list((work / "out").iterdir())


def test_outputs_beside_the_slices_are_no_part_of_the_series(work: Path, series: list[str], call: Call) -> None:
    for more in ((), ("--overwrite",)):
        result = call("predict", *series, "--to", "dicom-seg", "-o", "FLAIR", *more)
        assert result.code == 0, result.err
    assert [path.name for path in (work / "FLAIR").glob("FLAIR_*")] == ["FLAIR_seg.dcm"]
    assert len(list((work / "FLAIR").iterdir())) == 1 + len(list((work / "T1w").iterdir()))


def test_nifti_is_nifti_whatever_the_input_was(work: Path, call: Call) -> None:
    volume = read(work / "in" / "phantom_000.nii.gz")
    create(work / "scan.mha", volume.array, volume.affine)
    assert call("predict", "scan.mha", "--to", "nifti", "-o", "out").code == 0
    assert [path.name for path in (work / "out").iterdir()] == ["scan_seg.nii.gz"]
