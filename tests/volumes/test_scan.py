"""A scan that is read a slab at a time has the voxels, and the errors, of one that is read whole."""

import gzip
import itertools
import resource
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from itk_images import write_by_itk
from nifti_bytes import AFFINE, SHAPE, VOXELS, content, write

from torchio_seg.errors import DataError, VolumeError
from torchio_seg.volumes.nifti import read
from torchio_seg.volumes.scan import Scan, open_scan
from torchio_seg.volumes.source import Joined

HELD = {"in memory": 1 << 30, "in a file": 0}


@pytest.fixture
def little_at_a_time(monkeypatch):
    for module in ("scan", "source"):
        monkeypatch.setattr(f"torchio_seg.volumes.{module}.SLAB_BYTES", 300)


def big_endian():
    """Stored with the highest byte first."""
    image = nib.Nifti1Image(VOXELS, AFFINE, nib.Nifti1Header(endianness=">"), dtype=np.int16)
    image.set_sform(AFFINE, 1)
    return image.to_bytes()


def files(folder):
    """Integers and reals of either byte order, scaled or not, with channels, and some that are not finite."""
    rng = np.random.default_rng(1)
    reals = (rng.normal(size=SHAPE) * 1e3).astype(np.float32)
    broken = reals.copy()
    broken[2, 3, 4], broken[0, 0, 0] = np.nan, np.inf
    contents = {
        "plain": content(),
        "big": big_endian(),
        "scaled": content(scl_slope=0.37, scl_inter=-11),
        "reals": content(reals),
        "doubles": content(reals.astype(np.float64) * 1e-3),
        "channels": content(rng.integers(0, 200, (*SHAPE, 3)).astype(np.uint8)),
        "broken": content(broken),
    }
    found = [write(folder, whole, f"{name}{end}") for name, whole in contents.items() for end in (".nii", ".nii.gz")]
    channels = rng.integers(0, 200, (3, *SHAPE)).astype(np.int16)
    for ending, compressed in itertools.product((".nrrd", ".nhdr", ".mha", ".mhd"), (True, False)):
        for name, array in (("one", VOXELS[None]), ("several", channels), ("broken", np.stack([broken, reals]))):
            path = folder / f"{name}_{compressed}{ending}"
            found.append(write_by_itk(path, array, AFFINE, compressed=compressed))
    return found


@pytest.mark.usefixtures("little_at_a_time")
@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
def test_every_slab_of_every_axis_is_that_of_the_whole(tmp_path, held):
    for path in files(tmp_path):
        whole = read(path, nonfinite="zero")
        with open_scan(path, nonfinite="zero", held_bytes=held) as scan:
            for axis in range(3):
                for first, end in ((0, 1), (2, 5), (0, SHAPE[axis]), (SHAPE[axis] - 2, SHAPE[axis])):
                    slab = scan.source.read(axis, first, end)
                    expected = whole.array[(slice(None), *(slice(None),) * axis, slice(first, end))]
                    assert slab.dtype == expected.dtype
                    assert np.array_equal(slab, expected)
            known = Scan.of(whole)
            for name in ("path", "shape", "num_channels", "num_zeroed", "ranges", "spacing"):
                assert getattr(scan, name) == getattr(known, name), name
            assert np.array_equal(scan.affine, known.affine)
            assert all(np.array_equal(*pair) for pair in zip(scan.samples, known.samples, strict=True))
            both = Joined((scan.source, known.source))
            assert np.array_equal(both.read(1, 1, 3), np.concatenate([whole.array[:, :, 1:3]] * 2))


@pytest.mark.usefixtures("little_at_a_time")
def test_samples_are_at_equal_distances_across_slabs(tmp_path, monkeypatch):
    monkeypatch.setattr("torchio_seg.volumes.reading._SAMPLE", 11)
    whole = read(write(tmp_path, content()))
    with open_scan(whole.path) as scan:
        assert np.array_equal(scan.samples[0], whole.samples[0])
        assert np.array_equal(scan.samples[0], VOXELS.ravel(order="F")[:: VOXELS.size // 11])


DAMAGE = {
    "half of it": lambda whole: whole[: len(whole) // 2],
    "all but the checksum": lambda whole: whole[:-8],
    "wrong checksum": lambda whole: whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:],
    "bytes after the end": lambda whole: whole + b"more",
    "no gzip": gzip.decompress,
    "nothing": lambda _: b"",
    "a wrong header": lambda whole: gzip.compress(b"\0\0" + gzip.decompress(whole)[2:]),
    "not finite": lambda _: gzip.compress(content(np.full(SHAPE, np.nan, np.float32))),
}


@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_errors_are_those_of_the_strict_reader_and_no_file_is_left_open(tmp_path, damage, held):
    path = write(tmp_path, content())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(VolumeError) as expected:
        read(path)
    before = set(Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").exists() else set()
    with pytest.raises(VolumeError) as found, open_scan(path, held_bytes=held):
        pass
    assert str(found.value) == str(expected.value)
    assert not before or set(Path("/proc/self/fd").iterdir()) <= before


@pytest.mark.parametrize("error", [KeyboardInterrupt, None])
def test_nothing_is_left_in_the_temporary_folder(tmp_path, monkeypatch, error):
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    path = write(tmp_path, content())
    try:
        with open_scan(path, held_bytes=0) as scan:
            assert list(place.iterdir()) == [], "the file has no name, so that even a kill leaves nothing"
            assert np.array_equal(scan.source.read(2, 0, 2)[0], VOXELS[:, :, :2])
            if error is not None:
                raise error
    except KeyboardInterrupt:
        pass
    assert list(place.iterdir()) == []


def test_a_temporary_folder_without_room_is_said(tmp_path, monkeypatch):
    path = write(tmp_path, content())
    words = rf"GiB of {path} cannot be put into .*TMPDIR"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(DataError, match=words), open_scan(path, held_bytes=0):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(DataError, match=words), open_scan(path, held_bytes=0):
        pass
