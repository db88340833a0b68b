"""What an NRRD header may say, and every way we know in which it can lie."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from itk_images import SHAPE, VOXELS, read_by_itk

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.nifti import read, write_like

FIELDS = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "5 6 7",
    "space directions": "(0.7,0,0) (0,1.3,0) (0,0,2.5)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(10,-20,5)",
}
PLAIN = VOXELS.tobytes(order="F")


def content(voxels: bytes = PLAIN, *, more: str = "", magic: str = "NRRD0005", **changed: str | None) -> bytes:
    """A file of honest fields, but for those that are given; None takes one out."""
    fields = FIELDS | {name.replace("_", " "): value for name, value in changed.items()}
    lines = [magic, "# a comment", *(f"{name}: {value}" for name, value in fields.items() if value is not None)]
    return "\n".join([*lines, *filter(None, [more]), "", ""]).encode() + voxels


def write(folder: Path, plain: bytes, name: str = "scan.nrrd") -> Path:
    (folder / name).write_bytes(plain)
    return folder / name


SPACES = {
    "left-posterior-superior": (-1, -1, 1),
    "LPS": (-1, -1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "LAS": (-1, 1, 1),
    "right-anterior-superior": (1, 1, 1),
    "RAS": (1, 1, 1),
}


@pytest.mark.parametrize(("space", "signs"), SPACES.items(), ids=SPACES)
def test_a_space_says_which_way_numbers_count(tmp_path: Path, space: str, signs: tuple[int, ...]) -> None:
    path = write(tmp_path, content(space=space, space_directions="(0.7,0.1,0) (0,1.3,0.2) (0.3,0,2.5)"))
    found = read(path)
    given = np.array([[0.7, 0, 0.3, 10], [0.1, 1.3, 0, -20], [0, 0.2, 2.5, 5]])
    assert np.array_equal(found.affine[:3], given * np.array(signs)[:, None])
    write_like(tmp_path / "out.nrrd", VOXELS, found)
    assert np.array_equal(read(tmp_path / "out.nrrd").affine, found.affine)


@pytest.mark.parametrize("space", ["LPS", "LAS", "RAS"])
def test_itk_agrees_about_spaces_in_and_out(tmp_path: Path, space: str) -> None:
    path = write(tmp_path, content(space=space))
    found = read(path)
    np.testing.assert_allclose(found.affine, read_by_itk(path)[1], atol=1e-12)
    write_like(tmp_path / "out.nrrd", VOXELS, found)
    array, affine = read_by_itk(tmp_path / "out.nrrd")
    assert np.array_equal(array[0], VOXELS)
    np.testing.assert_allclose(affine, found.affine, atol=1e-12)


UNUSUAL = {
    "big endian": content(VOXELS.astype(">i2").tobytes(order="F"), endian="big"),
    "gzip": content(gzip.compress(PLAIN), encoding="gzip"),
    "gz, in several members": content(gzip.compress(PLAIN[:9]) + gzip.compress(PLAIN[9:]), encoding="gz"),
    "capitals": content(TYPE="short", type=None, ENCODING="RAW", encoding=None),
    "a key of the user's own": content(more="Segment0_Name:=liver: the right one"),
    "lines that end as on Windows": content(b"").replace(b"\n", b"\r\n") + PLAIN,
    "bytes to skip": content(bytes(13) + PLAIN, byte_skip="13"),
    "bytes to skip in what is compressed": content(gzip.compress(bytes(13) + PLAIN), encoding="gzip", byteskip="13"),
    "voxels at the end": content(bytes(13) + PLAIN, byte_skip="-1"),
    "units in mm": content(space_units='"mm" "mm" "mm"'),
    "spacings that say nothing": content(spacings="NaN NaN NaN"),
    "an axis of one channel": content(
        dimension="4", sizes="1 5 6 7", space_directions=f"none {FIELDS['space directions']}"
    ),
}


@pytest.mark.parametrize("plain", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_unusual_but_true_is_read(tmp_path: Path, plain: bytes) -> None:
    assert np.array_equal(read(write(tmp_path, plain)).array[0], VOXELS)


def test_channels_are_found_before_and_after_the_axes_of_space(tmp_path: Path) -> None:
    channels = np.stack([VOXELS, VOXELS + 1, VOXELS + 2])
    directions = FIELDS["space directions"]
    first = content(
        channels.tobytes(order="F"),
        dimension="4",
        sizes="3 5 6 7",
        space_directions=f"none {directions}",
        kinds="vector domain domain domain",
    )
    last = content(
        np.moveaxis(channels, 0, -1).tobytes(order="F"),
        dimension="4",
        sizes="5 6 7 3",
        space_directions=f"{directions} none",
        kinds="domain domain domain list",
    )
    for plain in (first, last):
        path = write(tmp_path, plain)
        assert np.array_equal(read(path).array, channels)
        assert np.array_equal(read_by_itk(path)[0], channels)


FOURTH = {"dimension": "4", "sizes": "5 6 7 1"}
BAD = {
    "another format": (b"P5 512 512\n" + PLAIN, "not NRRD"),
    "a future version": (content(magic="NRRD0006"), "not NRRD"),
    "text": (content(encoding="ascii"), "encoding is ascii; raw and gzip are read"),
    "bzip2": (content(encoding="bzip2"), "encoding is bzip2; raw and gzip"),
    "no encoding": (content(encoding=None), "no 'encoding'"),
    "no endian": (content(endian=None), "no 'endian'"),
    "a third endian": (content(endian="middle"), "little or big"),
    "blocks": (content(type="block"), "type 'block'"),
    "no space": (content(space=None), "no 'space'; left and right are unknown"),
    "a space beside the patient": (content(space="scanner-xyz"), "space is 'scanner-xyz'"),
    "time in space": (content(space="RAST"), "space is 'rast'"),
    "no directions": (content(space_directions=None, spacings="1 1 1"), "no 'space directions'"),
    "no origin": (content(space_origin=None), "no 'space origin'"),
    "an origin of two numbers": (content(space_origin="(1,2)"), "three numbers in brackets"),
    "an origin that is none": (content(space_origin="none"), "three numbers in brackets"),
    "an infinite origin": (content(space_origin="(1,2,inf)"), "3 finite numbers"),
    "NaN directions": (content(space_directions="(nan,0,0) (0,1,0) (0,0,1)"), "3 finite numbers"),
    "two directions": (content(space_directions="(1,0,0) (0,1,0)"), "each of 3 axes"),
    "words among the directions": (content(space_directions="(1,0,0) left (0,1,0) (0,0,1)"), "each of 3 axes"),
    "flat directions": (content(space_directions="(1,0,0) (1,0,0) (0,0,1)"), "no place"),
    "spacings beside directions": (content(spacings="1 1 1"), "spacings and space directions"),
    "microns": (content(space_units='"um" "um" "um"'), "units are um; only mm"),
    "microns of an axis": (content(units='"um" "um" "um"'), "units are um; only mm"),
    "two dimensions": (content(dimension="2", sizes="5 42", space_directions="(1,0,0) (0,1,0)"), "three axes in space"),
    "four axes in space": (
        content(**FOURTH, space_directions="(1,0,0) (0,1,0) (0,0,1) (0,0,1)"),
        "three axes in space",
    ),
    "channels in the middle": (content(**FOURTH, space_directions="(1,0,0) none (0,1,0) (0,0,1)"), "before or after"),
    "five axes": (
        content(dimension="5", sizes="1 5 6 7 1", space_directions=f"none {FIELDS['space directions']} none"),
        "three axes in space",
    ),
    "colours": (
        content(**FOURTH, space_directions=f"{FIELDS['space directions']} none", kinds="space space space RGB-color"),
        "kind rgb-color; .* only channels",
    ),
    "dimension unlike sizes": (content(dimension="4"), "dimension 4 but sizes"),
    "no voxels": (content(sizes="5 6 0"), "impossible"),
    "sizes that are none": (content(sizes="5 6 seven"), "whole numbers"),
    "a field twice": (content(more="type: float"), "comes twice"),
    "a line that is no field": (content(more="what is this"), "no 'field: value'"),
    "lines to skip": (content(line_skip="1"), "'line skip' is 1"),
    "two numbers of bytes to skip": (content(byte_skip="1 1"), "one number"),
    "too many bytes to skip": (content(byte_skip=str(1 << 40)), "'byte skip' is"),
    "voxels at the end of what is compressed": (content(gzip.compress(PLAIN), encoding="gzip", byte_skip="-1"), "skip"),
    "gzip that is none": (content(encoding="gzip"), "gzip data are wrong"),
    "no end of the header": (b"NRRD0004\n" + b"# on and on\n" * 100_000, "does not end within"),
    "a header that is cut": (content()[:150], "truncated: it ends within the header"),
    "voxels elsewhere": (content(b"", data_file="voxels.raw"), "only .nhdr and .mhd may name"),
}  # fmt: skip


@pytest.mark.parametrize(("plain", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_trusted_is_refused_in_words(tmp_path: Path, plain: bytes, words: str) -> None:
    (tmp_path / "voxels.raw").write_bytes(PLAIN)
    with pytest.raises(VolumeError, match=rf"scan\.nrrd: .*{words}"):
        read(write(tmp_path, plain))


OUTSIDE = {
    "/etc/passwd": "must lie in the folder",
    "../voxels.raw": "must lie in the folder",
    "sub/../../voxels.raw": "must lie in the folder",
    "C:\\voxels.raw": "must lie in the folder",
    "..\\voxels.raw": "must lie in the folder",
    "link.raw": "link that leaves the folder",
    "gone.raw": "which is not there",
    "LIST": "several files",
    "slice%03d.raw 1 7 1": "several files",
}


@pytest.mark.parametrize(("name", "words"), OUTSIDE.items(), ids=OUTSIDE)
def test_a_header_reaches_no_file_outside_its_folder(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "voxels.raw").write_bytes(PLAIN)
    (tmp_path / "in" / "link.raw").symlink_to(tmp_path / "voxels.raw")
    with pytest.raises(VolumeError, match=words):
        read(write(tmp_path / "in", content(b"", data_file=name), "scan.nhdr"))


def test_a_file_below_the_folder_of_its_header_is_read(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "voxels.raw").write_bytes(PLAIN)
    for name in ("sub/voxels.raw", "./sub/voxels.raw"):
        plain = content(b"", data_file=name)
        for header in (plain, plain.rstrip(b"\n")):
            assert np.array_equal(read(write(tmp_path, header, "scan.nhdr")).array[0], VOXELS)


def test_of_a_label_map_with_segments_of_its_own_the_voxels_are_read(tmp_path: Path) -> None:
    plain = content(
        more="Segment0_LabelValue:=1\nSegment0_Name:=liver",
        type="uint8",
        endian=None,
        voxels=VOXELS.astype("u1").tobytes(order="F"),
    )
    assert read(write(tmp_path, plain, "scan.seg.nrrd")).shape == SHAPE
