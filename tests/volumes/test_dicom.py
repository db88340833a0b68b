import contextlib
import shutil
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from series_files import GRIDS, SHAPE, edit, grid, picture, turned, write

from torchio_seg.errors import DataError, UsageError, VolumeError
from torchio_seg.phantoms.dicom import Origin, write_series
from torchio_seg.volumes.dicom import arrange, read_series, scan


def only(folder: Path):
    (series,) = scan(folder).series
    return series


def refused(folder: Path, *words: str) -> None:
    """Reading the only series fails with a message that holds all the words."""
    with pytest.raises(VolumeError) as caught:
        read_series(only(folder))
    for word in words:
        assert word in str(caught.value)


# ── geometry ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("affine", GRIDS.values(), ids=GRIDS)
def test_every_voxel_lies_where_it_was_written(tmp_path: Path, affine: np.ndarray) -> None:
    write(tmp_path, affine)
    volume = read_series(only(tmp_path))
    assert volume.array.shape == (1, *SHAPE)
    values = {}
    for index in np.ndindex(*SHAPE):
        values[tuple(np.round(volume.affine[:3] @ (*index, 1), 4))] = volume.array[(0, *index)]
    for index in np.ndindex(*SHAPE):
        assert values[tuple(np.round(affine[:3] @ (*index, 1), 4))] == picture()[index]


@pytest.mark.parametrize("affine", GRIDS.values(), ids=GRIDS)
def test_geometry_and_values_agree_with_itk(tmp_path: Path, affine: np.ndarray) -> None:
    write(tmp_path, affine)
    volume = read_series(only(tmp_path))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    to_ras = np.diag([-1, -1, 1])
    directions = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    np.testing.assert_allclose(volume.affine[:3, :3], to_ras @ directions, atol=1e-6)
    np.testing.assert_allclose(volume.affine[:3, 3], to_ras @ image.GetOrigin(), atol=1e-6)
    np.testing.assert_array_equal(volume.array[0], sitk.GetArrayFromImage(image).T)


def test_order_comes_from_positions_and_not_from_names_or_numbers(tmp_path: Path) -> None:
    files = write(tmp_path / "a")
    expected = read_series(only(tmp_path / "a"))
    (tmp_path / "b").mkdir()
    for number, file in enumerate(reversed(files)):
        shutil.copy(file, tmp_path / "b" / f"IM{number * 3 % len(files)}")
        edit(tmp_path / "b" / f"IM{number * 3 % len(files)}", InstanceNumber=str(1))
    volume = read_series(only(tmp_path / "b"))
    np.testing.assert_array_equal(volume.array, expected.array)
    np.testing.assert_array_equal(volume.affine, expected.affine)


def test_positions_rounded_to_two_decimals_are_even_enough(tmp_path: Path) -> None:
    for file in write(tmp_path, grid(turned((0.3, -0.2, 0.5)), (0.8, 1.1, 0.625))):
        position = pydicom.dcmread(file).ImagePositionPatient
        edit(file, ImagePositionPatient=[f"{float(value):.2f}" for value in position])
    assert read_series(only(tmp_path)).grid.shape == SHAPE


# ── values ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    write(tmp_path)
    assert read_series(only(tmp_path)).array.dtype == np.int16


def test_whole_numbers_beyond_16_bits_stay_whole(tmp_path: Path) -> None:
    for file in write(tmp_path):
        edit(file, RescaleSlope="100")
    array = read_series(only(tmp_path)).array
    assert array.dtype == np.int32
    np.testing.assert_array_equal(array[0], (picture().astype(np.int32) + 1024) * 100 - 1024)


def test_a_slope_of_each_slice_is_applied_to_it(tmp_path: Path) -> None:
    files = write(tmp_path)
    for number, file in enumerate(files):
        edit(file, RescaleSlope=str(0.5 + number), RescaleIntercept="0")
    array = read_series(only(tmp_path)).array[0]
    assert array.dtype == np.float32
    stored = picture().astype(np.float64) + 1024
    np.testing.assert_allclose(array, stored * (0.5 + np.arange(len(files))), rtol=1e-6)


# ── finding ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_series_are_found_below_a_folder_with_or_without_a_suffix(tmp_path: Path) -> None:
    affine = GRIDS["oblique"]
    write(tmp_path / "x" / "t1", affine, Origin("P1", "MR", 3, "T1 sag"))
    for file in write(tmp_path / "x" / "t2", affine, Origin("P1", "MR", 4, "T2 tra"), shape=(8, 10, 4)):
        file.rename(file.with_suffix(""))
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "report.pdf").write_bytes(b"%PDF" + bytes(200))
    first, second = scan(tmp_path).series
    assert (first.number, first.description, first.modality, first.num_files) == (3, "T1 sag", "MR", 7)
    assert (second.number, second.description, second.num_files) == (4, "T2 tra", 4)
    assert first.study_uid == second.study_uid
    assert first.frame_uid == second.frame_uid
    assert read_series(second).array.shape == (1, 8, 10, 4)


@pytest.mark.parametrize("is_implicit", [True, False])
@pytest.mark.parametrize("suffix", ["", ".dcm"])
def test_a_series_without_preambles_is_read_as_it_is_with_them(tmp_path: Path, suffix: str, is_implicit: bool) -> None:
    files = write(tmp_path / "usual")
    (tmp_path / "bare").mkdir()
    for number, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        del dataset.file_meta
        dataset.preamble = None
        path = tmp_path / "bare" / f"{number}{suffix}"
        form = {"implicit_vr": is_implicit, "little_endian": True, "enforce_file_format": False}
        pydicom.dcmwrite(path, dataset, **form)
        assert path.read_bytes()[:2] == b"\x08\x00"
        assert path.read_bytes()[128:132] != b"DICM"
    expected, found = read_series(only(tmp_path / "usual")), read_series(only(tmp_path / "bare"))
    np.testing.assert_array_equal(found.array, expected.array)
    np.testing.assert_array_equal(found.affine, expected.affine)


def test_other_files_that_begin_alike_are_no_dicom(tmp_path: Path) -> None:
    write(tmp_path)
    starts = [b"\x08\x00", b"\x08\x00\x05\x00abcdefgh", b"\x08\x00\x99\x00\x02\x00\x00\x00", b"\x08\x00\x05\x00"]
    for number, start in enumerate(starts):
        (tmp_path / f"other{number}.bin").write_bytes(start)
    assert only(tmp_path).damaged == ()


def test_the_name_of_a_patient_is_not_kept(tmp_path: Path) -> None:
    for file in write(tmp_path):
        edit(
            file,
            PatientName="Doe^Jane",
            PatientID="JANE-1970",
            SeriesDescription="CT jane",
            PatientIdentityRemoved="NO",
        )
    series = only(tmp_path)
    assert "jane" not in repr(series).casefold().replace(str(tmp_path).casefold(), "")
    assert series.patient.startswith("patient-")


def test_the_id_of_a_patient_whose_identity_is_removed_is_kept(tmp_path: Path) -> None:
    write(tmp_path)
    assert only(tmp_path).patient == "P1"


def test_a_localizer_is_no_volume(tmp_path: Path) -> None:
    for name in ("axial", "sagittal", "oblique"):
        write(tmp_path / name, GRIDS[name], Origin("P1", "MR", 1, "localizer"), shape=(8, 8, 3))
    for number, file in enumerate(sorted(tmp_path.rglob("*.dcm"))):
        edit(file, SOPInstanceUID=f"2.25.{number + 1}")
    assert "3 orientations" in only(tmp_path).no_volume
    refused(tmp_path, "localizer", "no volume", "3 orientations")


def test_a_single_image_is_no_volume(tmp_path: Path) -> None:
    write(tmp_path, shape=(8, 8, 1))
    refused(tmp_path, "holds one image")


def test_colour_is_no_volume(tmp_path: Path) -> None:
    for file in write(tmp_path):
        edit(file, SamplesPerPixel=3, PhotometricInterpretation="RGB")
    refused(tmp_path, "in colour")


def test_frames_without_a_place_are_no_volume(tmp_path: Path) -> None:
    for file in write(tmp_path):
        edit(file, NumberOfFrames=5)
    refused(tmp_path, "do not say where each lies")


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        scan(tmp_path / "nowhere")


def test_missing_library_is_named_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UsageError, match=r"pip install 'torchio-seg\[dicom\]'"):
        scan(tmp_path)


# ── damage ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("lost", "words"), [([3], "1 slice is missing"), ([1, 2], "2 slices are missing")])
def test_missing_slices_are_named_by_their_neighbours(tmp_path: Path, lost: list[int], words: str) -> None:
    files = write(tmp_path, GRIDS["oblique"])
    for index in lost:
        files[index].unlink()
    refused(tmp_path, words, files[min(lost) - 1].name, files[max(lost) + 1].name, "mm")


def test_uneven_slices_are_refused(tmp_path: Path) -> None:
    files = write(tmp_path)
    position = pydicom.dcmread(files[6]).ImagePositionPatient
    edit(files[6], ImagePositionPatient=[*position[:2], position[2] + 0.5])
    refused(tmp_path, "uneven", files[5].name, files[6].name)


def test_two_images_at_one_position_are_refused(tmp_path: Path) -> None:
    files = write(tmp_path)
    shutil.copy(files[2], tmp_path / "again.dcm")
    refused(tmp_path, "at one position", files[2].name, "again.dcm", "time points")


def test_a_tilted_gantry_is_named_with_its_angle(tmp_path: Path) -> None:
    files = write(tmp_path)
    for number, file in enumerate(files):
        position = pydicom.dcmread(file).ImagePositionPatient
        edit(file, ImagePositionPatient=[position[0], position[1] + number * 2.5 * np.tan(np.radians(15)), position[2]])
    refused(tmp_path, "sheared by 15.0 degrees", f"from {files[0].name} to {files[-1].name}", "gantry", "dcm2niix")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PixelSpacing": ["1.1", "0.9"]}, "PixelSpacing"),
        ({"ImageOrientationPatient": ["1", "0", "0", "0", "0.98006658", "0.19866933"]}, "ImageOrientationPatient"),
        ({"Rows": 12, "Columns": 9}, "matrix [9, 12]"),
        ({"ImagePositionPatient": None}, "lacks ImagePositionPatient"),
        ({"PixelSpacing": None}, "lacks PixelSpacing"),
    ],
)
def test_a_slice_that_differs_is_named(tmp_path: Path, changes: dict, words: str) -> None:
    files = write(tmp_path)
    edit(files[4], **changes)
    refused(tmp_path, words, files[4].name)


def test_directions_that_are_not_perpendicular_are_refused(tmp_path: Path) -> None:
    for file in write(tmp_path):
        edit(file, ImageOrientationPatient=["1", "0", "0", "0.6", "0.8", "0"])
    refused(tmp_path, "perpendicular")


def test_truncated_pixels_are_refused(tmp_path: Path) -> None:
    files = write(tmp_path)
    files[-1].write_bytes(files[-1].read_bytes()[:-40])
    refused(tmp_path, files[-1].name, "cannot be decoded")


def test_a_file_cut_anywhere_at_the_end_of_the_stack_is_not_overlooked(tmp_path: Path) -> None:
    last = write(tmp_path)[-1]
    content = last.read_bytes()
    for kept in range(0, len(content), 41):
        last.write_bytes(content[:kept])
        refused(tmp_path, last.name)


def test_damaged_headers_are_errors_of_ours_whatever_they_hold(tmp_path: Path) -> None:
    last, rng = write(tmp_path)[-1], np.random.default_rng(0)
    content = last.read_bytes()
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(132, len(content) - 216, 3):
            damaged[place] = rng.integers(256)
        last.write_bytes(damaged)
        with contextlib.suppress(VolumeError):
            read_series(scan(tmp_path).series[0])


def test_an_empty_file_without_a_suffix_is_not_overlooked(tmp_path: Path) -> None:
    files = write(tmp_path)
    files[-1].unlink()
    (tmp_path / "IM7").touch()
    refused(tmp_path, "IM7", "is empty")


def test_damage_in_another_folder_is_not_blamed_on_the_series(tmp_path: Path) -> None:
    write(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.dcm").touch()
    contents = scan(tmp_path)
    assert len(contents.damaged) == 1
    assert read_series(contents.series[0]).grid.shape == SHAPE


def test_a_volume_beyond_the_budget_is_refused_before_it_is_read(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(VolumeError, match="budget"):
        read_series(only(tmp_path), max_bytes=1000)


# ── encodings ───────────────────────────────────────────────────────────────────────────────────────────────────


def compress(files: list[Path], compressor: str) -> str:
    """Encode the pixels of files with ITK, keeping their headers; the name of the syntax."""
    for file in files:
        image = sitk.ReadImage(str(file))
        encoded = file.with_suffix(".tmp.dcm")
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(encoded))
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
        writer.Execute(sitk.Cast(image, sitk.sitkInt16)[:, :, 0])
        made, dataset = pydicom.dcmread(encoded), pydicom.dcmread(file)
        encoded.unlink()
        dataset.PixelData, dataset.file_meta.TransferSyntaxUID = made.PixelData, made.file_meta.TransferSyntaxUID
        dataset["PixelData"].is_undefined_length = True
        dataset.RescaleIntercept = made.get("RescaleIntercept", 0)
        dataset.save_as(file)
    return pydicom.dcmread(files[0]).file_meta.TransferSyntaxUID.name


@pytest.mark.parametrize("compressor", ["JPEG2000", "JPEG"])
def test_compressed_slices_are_decoded_with_their_slope_and_intercept(tmp_path: Path, compressor: str) -> None:
    syntax = compress(write(tmp_path), compressor)
    assert "JPEG" in syntax
    volume = read_series(only(tmp_path))
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array[0], picture())


def test_run_length_encoded_slices_are_decoded(tmp_path: Path) -> None:
    for file in write(tmp_path):
        dataset = pydicom.dcmread(file)
        dataset.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        dataset.save_as(file)
    np.testing.assert_array_equal(read_series(only(tmp_path)).array[0], picture())


@pytest.mark.parametrize("compressor", ["JPEG2000", "JPEG"])
def test_truncated_compressed_slices_are_refused(tmp_path: Path, compressor: str) -> None:
    files = write(tmp_path)
    compress(files, compressor)
    files[3].write_bytes(files[3].read_bytes()[:-60])
    refused(tmp_path, files[3].name)


def test_a_syntax_that_nothing_decodes_is_named(tmp_path: Path) -> None:
    files = write(tmp_path)
    compress(files, "JPEG2000")
    dataset = pydicom.dcmread(files[0])
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    dataset.save_as(files[0])
    refused(tmp_path, files[0].name, "MPEG2", "cannot be decoded")


def write_enhanced(path: Path, affine: np.ndarray) -> None:
    """All slices in one file, which says frame by frame where each lies."""
    files = write(path.parent / "classic", affine, Origin("P1", "MR"))
    planes = [pydicom.dcmread(file) for file in files]
    dataset = planes[0].copy()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    measures, orientation = pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing = dataset.PixelSpacing
    orientation.ImageOrientationPatient = dataset.ImageOrientationPatient
    shared = pydicom.Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = []
    for number, plane in enumerate(reversed(planes)):
        position, values, frame = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
        position.ImagePositionPatient = plane.ImagePositionPatient
        values.RescaleSlope, values.RescaleIntercept = str(number + 1), "0"
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [position], [values]
        dataset.PerFrameFunctionalGroupsSequence.append(frame)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(dataset, keyword)
    dataset.NumberOfFrames = len(planes)
    dataset.PixelData = b"".join(plane.PixelData for plane in reversed(planes))
    dataset.save_as(path)
    shutil.rmtree(path.parent / "classic")


@pytest.mark.parametrize("affine", GRIDS.values(), ids=GRIDS)
def test_frames_of_an_enhanced_file_are_placed_and_scaled_one_by_one(tmp_path: Path, affine: np.ndarray) -> None:
    write_enhanced(tmp_path / "enhanced.dcm", affine)
    volume = read_series(only(tmp_path))
    write(tmp_path / "classic", affine, Origin("P1", "MR", 2))
    classic = read_series(next(series for series in scan(tmp_path).series if series.number == 2))
    np.testing.assert_allclose(volume.affine, classic.affine, atol=1e-9)
    factors = np.arange(SHAPE[2], 0, -1)
    if not np.allclose(volume.affine, affine, atol=1e-6):
        factors = factors[::-1]
    np.testing.assert_array_equal(volume.array[0], classic.array[0].astype(np.int32) * factors)


def test_frames_that_are_described_in_part_are_refused(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "enhanced.dcm", GRIDS["axial"])
    edit(tmp_path / "enhanced.dcm", NumberOfFrames=9)
    assert "9 frames but describes 7" in scan(tmp_path).damaged[0]


def test_a_grid_is_known_without_reading_pixels(tmp_path: Path) -> None:
    write_series(tmp_path, picture(), GRIDS["axial"], Origin("P1"))
    for file in tmp_path.glob("*.dcm"):
        edit(file, PixelData=None)
    assert arrange(only(tmp_path)).shape == SHAPE
    refused(tmp_path, "has no pixels")
