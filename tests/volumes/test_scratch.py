"""What is too large for memory lies in a file without a name, and is written from there a slab at a time."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from torchio_seg.errors import DataError
from torchio_seg.memory import resident_bytes
from torchio_seg.volumes.nifti import read, write_like
from torchio_seg.volumes.reading import Volume
from torchio_seg.volumes.scratch import Room, file_of, rest
from torchio_seg.volumes.writing import create, slabs_of


@pytest.mark.parametrize("channels", [(), (3,)], ids=["labels", "channels"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_array_keeps_what_was_written_when_it_rests_in_its_file(axis: int, channels: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 300, (*channels, 40, 50, 30)).astype(np.int32)
    for held in (0, 1 << 30):
        room = Room(held, axis, "an array")(values.shape, values.dtype)
        assert room.shape == values.shape
        assert (file_of(room) is None) == (held > 0)
        planes = np.moveaxis(room, len(channels) + axis, 0)
        for number, plane in enumerate(np.moveaxis(values, len(channels) + axis, 0)):
            planes[number] = plane
            if number % 7 == 0:
                rest(room)
        assert np.array_equal(room, values)
        assert planes.strides[0] == max(room.strides), "planes lie together"
        assert planes.strides[0] == values.nbytes // len(planes)


@pytest.mark.skipif(sys.platform != "linux", reason="what is in memory is told on Linux")
def test_an_array_that_rests_is_not_in_memory() -> None:
    room = Room(0, 2, "an array")((256, 256, 500), np.dtype(np.uint8))
    before = resident_bytes(os.getpid())
    room[...] = 3
    filled = resident_bytes(os.getpid())
    rest(room[:, :, 5:8])
    assert filled - before > 0.9 * room.nbytes
    assert resident_bytes(os.getpid()) - before < 0.1 * room.nbytes
    assert room[::50, ::50].min() == room[::50, ::50].max() == 3


def test_a_file_has_no_name_and_it_is_said_where_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    room = Room(0, 1, "sums of patches")((2, 3, 5, 4), np.dtype(np.float32))
    room[...] = 1
    assert not list(tmp_path.iterdir()), "from the first moment"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"of sums of patches cannot be put into .*TMPDIR"):
        Room(0, 1, "sums of patches")((2, 3, 5, 4), np.dtype(np.float32))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_channels_are_written_from_a_file_slab_by_slab_in_whatever_order_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, axis: int
) -> None:
    monkeypatch.setattr("torchio_seg.volumes.writing.SLAB_BYTES", 1000)
    values = np.random.default_rng(0).random((3, 13, 11, 17), np.float32)
    room = Room(0, axis, "probabilities")(values.shape, values.dtype)
    room[...] = values
    slabs = list(slabs_of(room))
    assert len(slabs) > 3
    assert np.array_equal(np.concatenate(slabs, axis=-1), values)
    like = Volume(tmp_path / "scan", np.zeros((1, 13, 11, 17), np.uint8), np.diag([1.0, 2, 3, 1]), None)
    write_like(tmp_path / f"from_file{ending}", room, like)
    create(tmp_path / f"whole{ending}", values, like.affine)
    assert np.array_equal(read(tmp_path / f"from_file{ending}").array, values)
    if ending != ".nii.gz":
        assert (tmp_path / f"from_file{ending}").read_bytes() == (tmp_path / f"whole{ending}").read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="what is in memory is told on Linux")
@pytest.mark.parametrize("axis", [0, 2])
def test_no_more_than_a_slab_of_it_is_in_memory_while_it_is_written(axis: int) -> None:
    room = Room(0, axis, "probabilities")((2, 160, 128, 256), np.dtype(np.float32))
    room[...] = 0.5
    rest(room)
    before, most = resident_bytes(os.getpid()), 0
    for channel in room:
        for slab in slabs_of(channel[..., :128]):
            assert float(slab[::40, ::40].min()) == 0.5
            most = max(most, resident_bytes(os.getpid()) - before)
    assert most < (24 << 20), "of 40 MiB"
