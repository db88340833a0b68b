"""What holds for every format: ITK and we find the same, and damage of any kind is an error."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from itk_images import GRIDS, SHAPE, VOXELS, read_by_itk, write_by_itk

from torchio_seg import memory
from torchio_seg.errors import VolumeError
from torchio_seg.volumes.names import DETACHED
from torchio_seg.volumes.nifti import create, read, read_geometry, read_label, write_like

TEXT = (".nrrd", ".nhdr", ".mha", ".mhd")
TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
CHANNELS = np.stack([VOXELS, -VOXELS, VOXELS + 300])


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("ending", TEXT)
def test_voxels_of_every_type_are_found_as_itk_wrote_them(tmp_path: Path, ending: str, compressed: bool) -> None:
    for dtype in TYPES:
        for array in (VOXELS[None], np.abs(CHANNELS)):
            values = (array % 100).astype(dtype)
            path = write_by_itk(tmp_path / f"a{ending}", values, GRIDS["oblique"], compressed=compressed)
            found = read(path)
            assert np.array_equal(found.array, values)
            assert found.array.dtype == ("f4" if dtype[0] == "f" else dtype)
            geometry = read_geometry(path)
            assert (geometry.shape, geometry.num_channels, geometry.dtype) == (SHAPE, len(array), np.dtype(dtype))


@pytest.mark.parametrize("affine", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("ending", TEXT)
def test_voxels_lie_where_itk_put_them(tmp_path: Path, ending: str, affine: np.ndarray) -> None:
    found = read(write_by_itk(tmp_path / f"a{ending}", VOXELS[None], affine))
    np.testing.assert_allclose(found.affine, affine, atol=1e-12)
    assert np.array_equal(found.array[0], VOXELS)


@pytest.mark.parametrize("affine", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_itk_finds_what_we_wrote_where_we_put_it(tmp_path: Path, ending: str, affine: np.ndarray) -> None:
    for dtype in ("u1", "i2", "u2", "i4", "u4", "f4"):
        for array in (VOXELS[None], np.abs(CHANNELS)):
            values = (array % 100).astype(dtype)
            create(tmp_path / f"a{ending}", values, affine, overwrite=True)
            found, where = read_by_itk(tmp_path / f"a{ending}")
            assert np.array_equal(found, values)
            assert found.dtype == dtype
            np.testing.assert_allclose(where, affine, atol=1e-12)


@pytest.mark.parametrize("ending", TEXT)
def test_output_in_the_format_of_its_input_lies_bit_for_bit_where_that_lay(tmp_path: Path, ending: str) -> None:
    for affine in GRIDS.values():
        like = read(write_by_itk(tmp_path / f"in{ending}", CHANNELS, affine))
        out = tmp_path / f"out{'.nrrd' if ending in {'.nrrd', '.nhdr'} else '.mha'}"
        write_like(out, VOXELS > 50, like, overwrite=True)
        assert np.array_equal(read(out).affine, like.affine)
        assert np.array_equal(read(out).array[0], VOXELS > 50)
        assert np.array_equal(read_by_itk(out)[1], read_by_itk(like.path)[1])


@pytest.mark.parametrize("target", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("source", [".nii.gz", ".nrrd", ".mha"])
def test_output_in_another_format_than_its_input_lies_where_that_lay(tmp_path: Path, source: str, target: str) -> None:
    create(tmp_path / f"in{source}", VOXELS, GRIDS["oblique"])
    like = read(tmp_path / f"in{source}")
    write_like(tmp_path / f"out{target}", CHANNELS, like)
    found = read(tmp_path / f"out{target}")
    assert np.array_equal(found.array, CHANNELS)
    np.testing.assert_allclose(found.affine, like.affine, atol=1e-5 if ".nii" in target else 1e-12)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_same_voxels_give_the_same_text_format_bytes(tmp_path: Path, ending: str) -> None:
    for name in ("a", "b"):
        create(tmp_path / f"{name}{ending}", np.asfortranarray(VOXELS) if name == "a" else VOXELS, GRIDS["oblique"])
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


def test_headers_of_voxels_elsewhere_are_not_written(tmp_path: Path) -> None:
    for ending in DETACHED:
        with pytest.raises(Exception, match=r"\.nii\.gz, \.nii, \.nrrd or \.mha; end the name so"):
            create(tmp_path / f"a{ending}", VOXELS, np.eye(4))


# ── damage ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("ending", TEXT)
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, ending: str, compressed: bool) -> None:
    path = write_by_itk(tmp_path / f"a{ending}", VOXELS[None], GRIDS["straight"], compressed=compressed)
    voxels = next((other for other in tmp_path.iterdir() if other != path), path)
    whole = voxels.read_bytes()
    for kept in (len(whole) - 1, len(whole) - 8, len(whole) * 9 // 10, len(whole) // 2, len(whole) // 10, 0):
        voxels.write_bytes(whole[:kept])
        with pytest.raises(VolumeError, match="again"):
            read(path)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("ending", TEXT)
def test_bytes_after_the_end_are_refused(tmp_path: Path, ending: str, compressed: bool) -> None:
    path = write_by_itk(tmp_path / f"a{ending}", VOXELS[None], GRIDS["straight"], compressed=compressed)
    voxels = next((other for other in tmp_path.iterdir() if other != path), path)
    whole = voxels.read_bytes()
    padding = () if compressed and ending in {".nrrd", ".nhdr"} else (b"\0",)  # after gzip zeros say nothing
    for more in (*padding, b"more", whole):
        voxels.write_bytes(whole + more)
        with pytest.raises(VolumeError, match="again"):
            read(path)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_no_flipped_bit_changes_compressed_voxels_in_silence(tmp_path: Path, ending: str) -> None:
    create(tmp_path / f"a{ending}", VOXELS, GRIDS["oblique"])
    whole = (tmp_path / f"a{ending}").read_bytes()
    start = whole.index(b"\n\n" if ending == ".nrrd" else b"LOCAL\n") + 12  # what gzip has no checksum of: its header
    num_refused = 0
    for position in np.random.default_rng(2).choice(np.arange(start * 8, len(whole) * 8), 100, replace=False):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << (position % 8)
        (tmp_path / f"flipped{ending}").write_bytes(damaged)
        with pytest.raises(VolumeError):
            read(tmp_path / f"flipped{ending}")
        num_refused += 1
    assert num_refused == 100


@pytest.mark.parametrize("ending", TEXT)
def test_nan_is_refused_or_counted(tmp_path: Path, ending: str) -> None:
    voxels = VOXELS.astype(np.float32)
    voxels[1, 2, 3], voxels[0, 0, 0] = np.nan, np.inf
    path = write_by_itk(tmp_path / f"a{ending}", voxels[None], GRIDS["straight"])
    with pytest.raises(VolumeError, match="2 of 210 voxels are NaN"):
        read(path)
    found = read(path, nonfinite="zero")
    assert (found.num_zeroed, found.array[0, 1, 2, 3], found.array[0, 0, 0, 0]) == (2, 0, 0)


@pytest.mark.parametrize("ending", TEXT)
def test_labels_are_held_to_those_declared(tmp_path: Path, ending: str) -> None:
    path = write_by_itk(tmp_path / f"a{ending}", (VOXELS[None] % 3).astype(np.float64), GRIDS["straight"])
    assert np.array_equal(read_label(path, range(3)).array[0], VOXELS % 3)
    with pytest.raises(VolumeError, match=r"\[2\]"):
        read_label(path, range(2))


def test_a_header_beyond_the_budget_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    peak = memory.Peak()  # what this process took before does not count
    before = peak.bytes
    for ending, sizes, many in (
        (".nrrd", b"sizes: 5 6 7", b"sizes: 30000 30000 30000"),
        (".mha", b"DimSize = 5 6 7", b"DimSize = 30000 30000 30000"),
    ):
        for compressed in (True, False):
            path = write_by_itk(tmp_path / f"a{ending}", VOXELS[None], GRIDS["straight"], compressed=compressed)
            path.write_bytes(path.read_bytes().replace(sizes, many))
            with pytest.raises(VolumeError, match=r"truncated|more than a (gzip|zlib) file"):
                read(path)
    with pytest.raises(VolumeError, match="the budget is"):
        read(write_by_itk(tmp_path / "b.mha", VOXELS[None], GRIDS["straight"]), max_bytes=419)
    assert peak.bytes - before < 200 << 20


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_whatever_a_header_says_the_answer_is_a_volume_or_a_sentence(tmp_path: Path, ending: str) -> None:
    whole = write_by_itk(tmp_path / f"a{ending}", CHANNELS, GRIDS["oblique"], compressed=False).read_bytes()
    end = whole.index(b"\n\n" if ending == ".nrrd" else b"LOCAL\n")
    rng = np.random.default_rng(5)
    for number in range(400):
        header = bytearray(whole[:end])
        at, length = int(rng.integers(0, end)), int(rng.integers(0, 12))
        header[at : at + length] = (
            rng.choice(list(b"0123456789-.,()= \n:none%\xff"), int(rng.integers(0, 6))).astype("u1").tobytes()
        )
        path = tmp_path / f"{number}{ending}"
        path.write_bytes(bytes(header) + whole[end:])
        with contextlib.suppress(VolumeError):
            assert read(path).array.size == CHANNELS.size
