"""What a MetaImage header may say, and every way we know in which it can lie."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from itk_images import VOXELS, read_by_itk

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.nifti import create, read

FIELDS = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 0.8 0.6 0 -0.6 0.8",
    "Offset": "10 -20 5",
    "CenterOfRotation": "0 0 0",
    "AnatomicalOrientation": "RAI",
    "ElementSpacing": "0.7 1.3 2.5",
    "DimSize": "5 6 7",
    "ElementType": "MET_SHORT",
}
PLAIN = VOXELS.tobytes(order="F")
SQUEEZED = zlib.compress(PLAIN)


def content(voxels: bytes = PLAIN, *, file: str = "LOCAL", **changed: str | None) -> bytes:
    """A file of honest fields, but for those that are given; None takes one out."""
    fields = {**FIELDS, **changed, "ElementDataFile": file}
    lines = [f"{name} = {value}\n" for name, value in fields.items() if value is not None]
    return "".join(lines).encode() + voxels


def write(folder: Path, plain: bytes, name: str = "scan.mha") -> Path:
    (folder / name).write_bytes(plain)
    return folder / name


def test_places_are_turned_from_left_back_and_up(tmp_path: Path) -> None:
    path = write(tmp_path, content())
    expected = [[-0.7, 0, 0, -10], [0, -0.8 * 1.3, 0.6 * 2.5, 20], [0, 0.6 * 1.3, 0.8 * 2.5, 5], [0, 0, 0, 1]]
    np.testing.assert_allclose(read(path).affine, expected, atol=1e-15)
    np.testing.assert_allclose(read_by_itk(path)[1], expected, atol=1e-12)


FOURTH = {
    "NDims": "4",
    "TransformMatrix": "1 0 0 0 0 0.8 0.6 0 0 -0.6 0.8 0 0 0 0 1",
    "Offset": "10 -20 5 0",
    "CenterOfRotation": "0 0 0 0",
    "ElementSpacing": "0.7 1.3 2.5 1",
}
UNUSUAL = {
    "big endian": content(VOXELS.astype(">i2").tobytes(order="F"), BinaryDataByteOrderMSB="True"),
    "the other name of endian": content(BinaryDataByteOrderMSB=None, ElementByteOrderMSB="False"),
    "other names of the place": content(TransformMatrix=None, Rotation=FIELDS["TransformMatrix"], Offset=None,
        Position=FIELDS["Offset"]),
    "no type of object": content(ObjectType=None),
    "a comment first": b"Comment = of a phantom\n" + content(),
    "compressed with its size": content(SQUEEZED, CompressedData="True", CompressedDataSize=str(len(SQUEEZED))),
    "compressed without": content(SQUEEZED, CompressedData="True"),
    "lines that end as on Windows": content(b"").replace(b"\n", b"\r\n") + PLAIN,
    "a long, which has 4 bytes here": content(VOXELS.astype("i4").tobytes(order="F"), ElementType="MET_LONG"),
    "a slope that changes nothing": content(ElementToIntensityFunctionSlope="1", ElementToIntensityFunctionOffset="0"),
    "a fourth axis of one": content(**FOURTH, DimSize="5 6 7 1"),
}  # fmt: skip


@pytest.mark.parametrize("plain", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_unusual_but_true_is_read(tmp_path: Path, plain: bytes) -> None:
    found = read(write(tmp_path, plain))
    assert np.array_equal(found.array[0], VOXELS)
    assert np.array_equal(found.affine, read(write(tmp_path, content(), "usual.mha")).affine)


def test_channels_are_found_in_each_voxel_and_as_a_fourth_axis(tmp_path: Path) -> None:
    channels = np.stack([VOXELS, VOXELS + 1, VOXELS + 2])
    side_by_side = content(channels.tobytes(order="F"), ElementNumberOfChannels="3")
    one_by_one = content(np.moveaxis(channels, 0, -1).tobytes(order="F"), **FOURTH, DimSize="5 6 7 3")
    for plain in (side_by_side, one_by_one):
        assert np.array_equal(read(write(tmp_path, plain)).array, channels)


BAD = {
    "another format": (b"P5 512 512\n" + PLAIN, "not MetaImage"),
    "another object": (content(ObjectType="Tube"), "not a MetaImage but a Tube"),
    "text": (content(BinaryData="False"), "written as text"),
    "no matrix": (content(TransformMatrix=None), "no TransformMatrix"),
    "no offset": (content(Offset=None), "no Offset"),
    "no spacing": (content(ElementSpacing=None), "no ElementSpacing"),
    "no endian": (content(BinaryDataByteOrderMSB=None), "no BinaryDataByteOrderMSB"),
    "an endian that is none": (content(BinaryDataByteOrderMSB="Perhaps"), "True or False"),
    "no type": (content(ElementType=None), "no ElementType"),
    "an unknown type": (content(ElementType="MET_STRING"), "type 'MET_STRING'"),
    "arrays": (content(ElementType="MET_UCHAR_ARRAY"), "type 'MET_UCHAR_ARRAY'"),
    "a negative spacing": (content(ElementSpacing="1 -1 1"), "must be positive"),
    "two spacings": (content(ElementSpacing="1 1"), "3 finite numbers"),
    "an offset that is NaN": (content(Offset="0 nan 0"), "3 finite numbers"),
    "a flat matrix": (content(TransformMatrix="1 0 0 1 0 0 0 0 1"), "no place"),
    "a centre of rotation": (content(CenterOfRotation="0 0 1"), "programs differ"),
    "a fourth axis in space": (
        content(**{**FOURTH, "TransformMatrix": "1 0 0 0 0 1 0 0 0 0 1 0 0 0 1 1"}, DimSize="5 6 7 1"),
        "programs differ",
    ),
    "two dimensions": (content(NDims="2", DimSize="5 42"), "2-D"),
    "channels and a fourth axis": (
        content(**FOURTH, DimSize="5 6 7 2", ElementNumberOfChannels="2"),
        "4-D with sizes .* and 2 channels",
    ),
    "no voxels": (content(DimSize="5 6 0"), "impossible"),
    "two numbers of channels": (content(ElementNumberOfChannels="1 1"), "one number"),
    "an empty number of channels": (content(ElementNumberOfChannels=""), "one number"),
    "no channels": (content(ElementNumberOfChannels="0"), "impossible"),
    "sizes that are none": (content(DimSize="5 6 seven"), "whole numbers"),
    "dimensions unlike sizes": (content(NDims="4"), "NDims 4 but DimSize"),
    "a slope": (content(ElementToIntensityFunctionSlope="2"), "Slope is 2, which programs ignore"),
    "a header twice": (content(Origin="1 2 3"), "contradicts one before"),
    "zlib that is none": (content(CompressedData="True"), "zlib data are wrong"),
    "another size": (content(SQUEEZED, CompressedData="True", CompressedDataSize="9"), "CompressedDataSize is"),
    "a skip in what is compressed": (content(SQUEEZED, CompressedData="True", HeaderSize="4"), "HeaderSize is 4"),
    "too many bytes to skip": (content(HeaderSize=str(1 << 40)), "HeaderSize is"),
    "voxels elsewhere": (content(b"", file="voxels.raw"), "only .nhdr and .mhd may name"),
}  # fmt: skip


@pytest.mark.parametrize(("plain", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_trusted_is_refused_in_words(tmp_path: Path, plain: bytes, words: str) -> None:
    (tmp_path / "voxels.raw").write_bytes(PLAIN)
    with pytest.raises(VolumeError, match=rf"scan\.mha: .*{words}"):
        read(write(tmp_path, plain))


OUTSIDE = {
    "/etc/passwd": "must lie in the folder",
    "../voxels.raw": "must lie in the folder",
    "gone.raw": "which is not there",
    "LIST": "several files",
    "slice%03d.raw 1 7 1": "several files",
}


@pytest.mark.parametrize(("name", "words"), OUTSIDE.items(), ids=OUTSIDE)
def test_a_header_reaches_no_file_outside_its_folder(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "voxels.raw").write_bytes(PLAIN)
    with pytest.raises(VolumeError, match=words):
        read(write(tmp_path / "in", content(b"", file=name), "scan.mhd"))


@pytest.mark.parametrize("skip", ["13", "-1"])
def test_bytes_before_the_voxels_of_another_file_are_passed_over(tmp_path: Path, skip: str) -> None:
    (tmp_path / "voxels.raw").write_bytes(bytes(13) + PLAIN)
    path = write(tmp_path, content(b"", file="voxels.raw", HeaderSize=skip), "scan.mhd")
    assert np.array_equal(read(path).array[0], VOXELS)


def test_the_size_that_is_filled_in_is_that_of_the_compressed_voxels(tmp_path: Path) -> None:
    create(tmp_path / "a.mha", VOXELS, np.eye(4))
    header, _, voxels = (tmp_path / "a.mha").read_bytes().partition(b"LOCAL\n")
    [size] = [line for line in header.decode().splitlines() if line.startswith("CompressedDataSize")]
    assert int(size.partition("=")[2]) == len(voxels)
    assert zlib.decompress(voxels) == PLAIN
