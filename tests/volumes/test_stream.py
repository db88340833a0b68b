"""Damaged, cut, padded and foreign files are refused; whatever is read is what was stored."""

import gzip
import zlib

import numpy as np
import pytest
from isal import isal_zlib
from nifti_bytes import SHAPE, VOXELS, content, write

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.nifti import read, read_geometry, stem
from torchio_seg.volumes.stream import open_stream

DAMAGE = {
    "99 % of it": lambda whole: whole[: len(whole) * 99 // 100],
    "half of it": lambda whole: whole[: len(whole) // 2],
    "a tenth of it": lambda whole: whole[: len(whole) // 10],
    "all but the checksum": lambda whole: whole[:-8],
    "all but a byte": lambda whole: whole[:-1],
    "wrong checksum": lambda whole: whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:],
    "wrong length": lambda whole: whole[:-4] + bytes([whole[-4] ^ 1]) + whole[-3:],
    "bytes after the end": lambda whole: whole + b"more",
    "one byte after the end": lambda whole: whole + b"\x1f",
    "bytes after zeros": lambda whole: whole + bytes(512) + b"more",
    "half of a second member": lambda whole: whole + gzip.compress(b"")[:15],
    "a second volume after the end": lambda whole: whole + whole,
    "a bomb after the end": lambda whole: whole + gzip.compress(bytes(1 << 20)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_gzip_is_refused(tmp_path, damage):
    path = write(tmp_path, content())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(VolumeError, match=r"scan.nii.gz: (truncated|damaged|more than|\d or more bytes follow).*again"):
        read(path)


@pytest.mark.parametrize("kept", [1359, 1300, 700, 360])
def test_truncated_plain_file_is_refused_with_both_sizes(tmp_path, kept):
    path = write(tmp_path, content()[:kept], "scan.nii")
    for reader in (read, read_geometry):
        with pytest.raises(VolumeError, match=f"truncated: {kept} bytes, the header describes 1360"):
            reader(path)


def test_no_single_bit_flip_changes_voxels_in_silence(tmp_path):
    whole = write(tmp_path, content()).read_bytes()
    num_refused = 0
    for position in np.random.default_rng(2).choice(len(whole) * 8, 150, replace=False):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << (position % 8)
        (tmp_path / "flipped.nii.gz").write_bytes(damaged)
        try:
            found = read(tmp_path / "flipped.nii.gz")
        except VolumeError:
            num_refused += 1
        else:  # the flip was in a bit that carries no content, such as the time stamp of gzip
            assert np.array_equal(found.array[0], VOXELS)
    assert num_refused > 130


FOREIGN = {
    "empty": (b"", "empty \\(0 bytes\\)"),
    "git-lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n", "git lfs pull"),
    "web page": (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "web page.*download it again"),
    "bare web page": (b"<HTML><body>404</body>", "web page"),
    "plain file named .nii.gz": (bytes(content()), "not gzip although"),
}


@pytest.mark.parametrize(("found", "words"), FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_scan_is_recognised(tmp_path, found, words):
    (tmp_path / "scan.nii.gz").write_bytes(found)
    with pytest.raises(VolumeError, match=words):
        read(tmp_path / "scan.nii.gz")


def test_gzip_named_nii_is_refused_with_the_right_name(tmp_path):
    (tmp_path / "scan.nii").write_bytes(gzip.compress(content()))
    with pytest.raises(VolumeError, match=r"rename it to \.nii\.gz"):
        read(tmp_path / "scan.nii")


def test_missing_linked_and_foreign_paths_are_told_apart(tmp_path):
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "link.nii").symlink_to(tmp_path / "gone.nii")
    (tmp_path / "scan.mgz").write_bytes(b"x")
    for name, words in {
        "gone.nii": "does not exist",
        "link.nii": "link to a file that does not exist",
        "folder.nii": "folder",
        "scan.mgz": "only .nii.gz, .nii, .nrrd, .nhdr, .mha and .mhd",
    }.items():
        with pytest.raises(VolumeError, match=words):
            read(tmp_path / name)


def bomb(size: int) -> bytes:
    """A gzip file of an honest header and `size` bytes of zeros."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    plain = content(np.zeros((2, 2, 2), np.uint8), dim=[3, 1024, 1024, size >> 20, 1, 1, 1, 1])[:352]
    return b"".join(
        [squeeze.compress(plain), *(squeeze.compress(bytes(1 << 20)) for _ in range(size >> 20)), squeeze.flush()]
    )


def test_honest_bomb_is_refused_by_the_budget(tmp_path):
    (tmp_path / "bomb.nii.gz").write_bytes(bomb(64 << 20))
    with pytest.raises(VolumeError, match=r"need 0.06 GiB, the budget is 0.03 GiB"):
        read(tmp_path / "bomb.nii.gz", max_bytes=32 << 20)


def test_gzip_in_several_members_is_one_volume(tmp_path):
    plain = content()
    parts = [plain[:100], plain[100:700], plain[700:], b""]
    (tmp_path / "scan.nii.gz").write_bytes(b"".join(gzip.compress(part) for part in parts))
    assert np.array_equal(read(tmp_path / "scan.nii.gz").array[0], VOXELS)


@pytest.mark.parametrize("size", [1, 512, 1 << 17])
def test_zeros_after_the_end_are_passed_over_as_gzip_does(tmp_path, size):
    path = write(tmp_path, content())
    path.write_bytes(path.read_bytes() + bytes(size))
    assert np.array_equal(read(path).array[0], VOXELS)
    parts = [gzip.compress(content()[:700]), gzip.compress(content()[700:])]
    path.write_bytes(parts[0] + bytes(size) + parts[1])
    assert np.array_equal(read(path).array[0], VOXELS)


@pytest.mark.parametrize(("more", "number"), [(b"garbage", 7), (b"\x1f", 1), (bytes(600) + b"x\x1f\x8b", 3)])
def test_bytes_after_the_end_are_said_to_be_that_and_a_file_that_is_cut_is_not(tmp_path, more, number):
    path = write(tmp_path, content())
    whole = path.read_bytes()
    path.write_bytes(whole + more)
    with pytest.raises(VolumeError, match=f"{number} or more bytes follow the end of its gzip data, which are whole"):
        read(path)
    for end in (-1, -8, -9, len(whole) // 2):
        path.write_bytes(whole[:end])
        with pytest.raises(VolumeError, match="truncated"):
            read(path)


def test_names_with_spaces_dots_and_other_alphabets_are_read(tmp_path):
    assert read(write(tmp_path, content(), "im ñ 日本.2024.nii.gz")).shape == SHAPE


def test_only_the_nifti_ending_is_no_part_of_the_stem():
    names = {"sub-1.2024.nii.gz": "sub-1.2024", "a.nii": "a", "B.NII.GZ": "B", "a.gz": "a.gz", "a.nii.x": "a.nii.x"}
    assert {name: stem(f"folder.nii.gz/{name}") for name in names} == names


def test_inflated_bytes_are_those_of_the_standard_library(tmp_path):
    """Whatever was written by whom and however much is asked for at a time, several members in one file included."""
    rng = np.random.default_rng(7)
    path = tmp_path / "any.nii.gz"
    for number in range(60):
        kinds = (rng.integers(0, 2 + number % 7, 1 << 15), rng.integers(0, 255, 5000), np.zeros(1 << 17), np.empty(0))
        parts = [kinds[kind].astype(np.uint8).tobytes() for kind in rng.permutation(4)[: 1 + number % 4]]
        packed = b"".join(
            gzip.compress(part, int(rng.integers(0, 10)))
            if rng.random() < 0.5
            else isal_zlib.compress(part, int(rng.integers(0, 4)), 31)
            for part in parts
        )
        path.write_bytes(packed)
        whole, found = gzip.decompress(packed), bytearray()
        with open_stream(path) as stream:
            while left := len(whole) - len(found):
                piece = bytearray(int(rng.choice([1, 100, 4096, 1 << 16, 1 << 18])))[:left]
                stream.fill(memoryview(piece), len(whole))
                found += piece
            stream.finish(len(whole))
        assert found == whole
        for end in (len(packed) - 1, len(packed) - 9, int(rng.integers(1, len(packed)))):
            path.write_bytes(packed[:end])
            with open_stream(path) as stream, pytest.raises(VolumeError):  # noqa: PT012
                stream.fill(memoryview(bytearray(len(whole))), len(whole))
                stream.finish(len(whole))
