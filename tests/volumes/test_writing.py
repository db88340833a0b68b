"""An output is complete or absent, and lies exactly where its input lay."""

import gzip
import os
import signal
import subprocess
import sys
import threading

import nibabel as nib
import numpy as np
import pytest
from nifti_bytes import AFFINE, SHAPE, VOXELS, content, pixdim, write
from scipy.spatial.transform import Rotation

from torchio_seg.errors import UsageError, VolumeError
from torchio_seg.volumes.nifti import create, read, write_like

MASK = (VOXELS > 0).astype(np.uint8)
KEPT = ["pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y"]
KEPT += ["qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units", "descrip"]


def require_same_place(path, like):
    before, after = nib.load(like).header, nib.load(path).header
    for field in KEPT:
        assert np.array_equal(before[field], after[field]), field
    assert np.array_equal(nib.load(like).affine, nib.load(path).affine)
    assert type(before) is type(after)


@pytest.mark.parametrize("name", ["out.nii.gz", "out.nii"])
@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "i2", "u2", "i4", "u4", "f4", ">i2"])
def test_created_volume_reads_back_equal(tmp_path, dtype, name):
    voxels = np.abs(VOXELS % 2 if dtype == "?" else VOXELS % 100).astype(dtype)
    create(tmp_path / name, voxels, AFFINE)
    volume = read(tmp_path / name)
    assert np.array_equal(volume.array[0], voxels)
    assert np.array_equal(volume.affine, AFFINE.astype(np.float32))
    assert volume.array.dtype == ("u1" if dtype == "?" else np.dtype(dtype).newbyteorder("="))
    header = nib.load(tmp_path / name).header
    assert (int(header["qform_code"]), int(header["sform_code"]), header.get_xyzt_units()[0]) == (1, 1, "mm")


def test_channels_come_first_in_memory_and_last_in_the_file(tmp_path):
    voxels = np.arange(3 * 4 * 5 * 6, dtype=np.int16).reshape(3, 4, 5, 6)
    create(tmp_path / "out.nii.gz", voxels, AFFINE)
    assert nib.load(tmp_path / "out.nii.gz").shape == (4, 5, 6, 3)
    assert np.array_equal(read(tmp_path / "out.nii.gz").array, voxels)
    create(tmp_path / "one.nii.gz", voxels[:1], AFFINE)
    assert nib.load(tmp_path / "one.nii.gz").shape == (4, 5, 6)


def test_types_that_readers_disagree_about_are_narrowed_where_nothing_is_lost(tmp_path):
    for given, stored in (("i8", "i4"), ("u8", "i4"), ("f2", "f4"), ("f8", "f4")):
        create(tmp_path / "out.nii", np.abs(VOXELS).astype(given), AFFINE, overwrite=True)
        assert nib.load(tmp_path / "out.nii").get_data_dtype() == stored
        assert np.array_equal(read(tmp_path / "out.nii").array[0], np.abs(VOXELS))
    for lost in (np.full(SHAPE, 2**40), np.full(SHAPE, 1e300), np.full(SHAPE, np.nan), VOXELS.astype(complex)):
        with pytest.raises(VolumeError, match=r"lost\.nii"):
            create(tmp_path / "lost.nii", lost, AFFINE)
    assert [path.name for path in tmp_path.iterdir()] == ["out.nii"]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_output_lies_bit_for_bit_where_its_input_lay(tmp_path, kind, order):
    rng = np.random.default_rng(6)
    for _ in range(12):
        affine = np.eye(4)
        mirror = np.diag(rng.choice([-1, 1], 3))[rng.permutation(3)]
        tilt = Rotation.from_euler("xyz", rng.choice([0, 45, 17.3], 3), degrees=True).as_matrix()
        affine[:3, :3] = tilt @ mirror @ np.diag(rng.uniform(0.5, 4, 3))
        affine[:3, 3] = rng.uniform(-500, 500, 3)
        image = kind(VOXELS, affine, kind.header_class(endianness=order), dtype=VOXELS.dtype)
        image.set_qform(affine, 1)
        image.set_sform(affine, 2)
        image.header["descrip"], image.header["cal_max"] = b"from the scanner", 99
        image.header.set_intent("t test", (2,), name="score")
        (tmp_path / "in.nii.gz").write_bytes(gzip.compress(image.to_bytes()))
        write_like(tmp_path / "out.nii.gz", MASK, read(tmp_path / "in.nii.gz"), overwrite=True)
        require_same_place(tmp_path / "out.nii.gz", tmp_path / "in.nii.gz")
        assert np.array_equal(read(tmp_path / "out.nii.gz").array[0], MASK)
    header = nib.load(tmp_path / "out.nii.gz").header
    assert (float(header["cal_max"]), header.get_intent()[0], header.get_data_dtype()) == (0, "none", np.uint8)


def test_scale_factor_of_the_input_does_not_reach_the_output(tmp_path):
    write_like(tmp_path / "out.nii.gz", MASK, read(write(tmp_path, content(scl_slope=3, scl_inter=-7))))
    assert np.array_equal(nib.load(tmp_path / "out.nii.gz").get_fdata(), MASK)


def test_shear_survives_exactly(tmp_path):
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.2
    spacing = np.linalg.norm(sheared[:3, :3], axis=0)
    like = write(tmp_path, content(affine=sheared, qform_code=0, pixdim=pixdim(1, *spacing)))
    write_like(tmp_path / "out.nii.gz", MASK, read(like))
    require_same_place(tmp_path / "out.nii.gz", like)
    create(tmp_path / "new.nii.gz", MASK, sheared)
    assert np.array_equal(read(tmp_path / "new.nii.gz").affine, sheared.astype(np.float32))


def test_output_of_a_multichannel_input_has_the_channels_of_the_array(tmp_path):
    like = write(tmp_path, content(np.zeros((*SHAPE, 4), np.int16)))
    for voxels in (MASK, np.stack([MASK, 1 - MASK])):
        write_like(tmp_path / "out.nii.gz", voxels, read(like), overwrite=True)
        assert np.array_equal(read(tmp_path / "out.nii.gz").array, voxels.reshape(-1, *SHAPE))


def test_same_voxels_give_the_same_bytes(tmp_path):
    for name in ("first.nii.gz", "second.nii.gz"):
        create(tmp_path / name, np.asfortranarray(MASK) if name[0] == "f" else MASK, AFFINE)
    assert (tmp_path / "first.nii.gz").read_bytes() == (tmp_path / "second.nii.gz").read_bytes()


def test_existing_file_is_kept_unless_overwriting_is_asked_for(tmp_path):
    path = tmp_path / "out.nii.gz"
    path.write_text("precious")
    with pytest.raises(UsageError, match="--overwrite"):
        create(path, MASK, AFFINE)
    assert path.read_text() == "precious"
    create(path, MASK, AFFINE, overwrite=True)
    assert np.array_equal(read(path).array[0], MASK)


def test_input_is_never_replaced_by_its_own_output(tmp_path):
    path = write(tmp_path, content())
    (tmp_path / "link.nii.gz").symlink_to(path)
    for name in (path, tmp_path / "link.nii.gz"):
        with pytest.raises(UsageError, match="the input itself"):
            write_like(name, MASK, read(path), overwrite=True)
    assert np.array_equal(read(path).array[0], VOXELS)


def test_impossible_outputs_are_refused_before_any_work(tmp_path):
    (tmp_path / "folder.nii").mkdir()
    for name, words in {"out.mhd": "end the name so", "folder.nii": "folder", "gone/out.nii": "does not exist"}.items():
        with pytest.raises((UsageError, VolumeError), match=words):
            create(tmp_path / name, MASK, AFFINE, overwrite=True)
    for affine in (np.zeros((4, 4)), np.full((4, 4), np.nan), np.eye(3)):
        with pytest.raises(VolumeError, match="invertible 4x4"):
            create(tmp_path / "out.nii", MASK, affine)
    for shape in ((4, 4), (0, 4, 4), (1, 1, 4, 4, 4)):
        with pytest.raises(VolumeError, match="is no volume"):
            create(tmp_path / "out.nii", np.zeros(shape, np.uint8), AFFINE)
    like = read(write(tmp_path, content()))
    with pytest.raises(VolumeError, match=r"\(8, 9, 7\) but scan.nii.gz has \(9, 8, 7\)"):
        write_like(tmp_path / "out.nii", MASK.swapaxes(0, 1), like)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.nii", "scan.nii.gz"]


class Interrupting(np.ndarray):
    """An array of which no planes can be taken, once the file is begun."""

    def __getitem__(self, index):
        if isinstance(index, tuple):
            raise KeyboardInterrupt
        return super().__getitem__(index)


@pytest.mark.parametrize("name", ["out.nii.gz", "out.nii", "out.nrrd", "out.mha"])
def test_interruption_while_writing_leaves_what_was_there(tmp_path, name):
    create(tmp_path / name, MASK, AFFINE)
    before = (tmp_path / name).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / name, VOXELS.view(Interrupting), AFFINE, overwrite=True)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, before)]


def test_killed_writer_leaves_no_file_of_that_name(tmp_path):
    """Killed by itself, as it takes planes after some are in the file: nobody else can tell when that is."""
    code = (
        "import os, signal, sys; from pathlib import Path; import numpy as np\n"
        "from torchio_seg.volumes.nifti import create\n"
        "class Killing(np.ndarray):\n"
        "    def __getitem__(self, index):\n"
        "        if isinstance(index, tuple) and any(path.stat().st_size for path in Path(sys.argv[1]).iterdir()):\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().__getitem__(index)\n"
        "noise = np.random.default_rng(0).integers(0, 255, (256, 256, 400), np.uint8)\n"
        "create(Path(sys.argv[1]) / 'out.nii.gz', noise.view(Killing), np.eye(4))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name[:9] for path in tmp_path.iterdir()] == [".partial-"]


def test_full_disk_leaves_what_was_there_and_nothing_else(tmp_path):
    create(tmp_path / "out.nii.gz", MASK, AFFINE)
    before = (tmp_path / "out.nii.gz").read_bytes()
    code = (
        "import resource, sys; from pathlib import Path; import numpy as np\n"
        "from torchio_seg.errors import VolumeError; from torchio_seg.volumes.nifti import create\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "noise = np.random.default_rng(0).integers(0, 255, (64, 64, 64)).astype(np.uint8)\n"
        "try: create(Path(sys.argv[1]), noise, np.eye(4), overwrite=True)\n"
        "except VolumeError as error: sys.exit('unchanged' not in str(error))\n"
        "sys.exit(2)"
    )
    for name in ("out.nii.gz", "new.nii", "new.nii.gz", "new.nrrd", "new.mha"):
        subprocess.run([sys.executable, "-c", code, tmp_path / name], check=True)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("out.nii.gz", before)]


def test_permissions_are_those_of_any_new_file(tmp_path):
    for mask, mode in ((0o022, 0o644), (0o027, 0o640), (0o002, 0o664)):
        before = os.umask(mask)
        try:
            create(tmp_path / "out.nii.gz", MASK, AFFINE, overwrite=True)
        finally:
            os.umask(before)
        assert (tmp_path / "out.nii.gz").stat().st_mode & 0o777 == mode


def test_readers_meanwhile_see_the_old_or_the_new_volume_never_a_part(tmp_path):
    path, done, seen = tmp_path / "out.nii.gz", threading.Event(), set()
    create(path, MASK * 0, AFFINE)

    def watch():
        while not done.is_set():
            seen.add(int(read(path).array.sum()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for value in (1, 2, 3) * 10:
        create(path, np.full(SHAPE, value, np.uint8), AFFINE, overwrite=True)
    done.set()
    watcher.join()
    assert seen <= {value * MASK.size for value in range(4)}
    assert seen
