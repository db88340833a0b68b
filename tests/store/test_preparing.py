"""What the store keeps is what preprocessing makes, under a key of all that it depends on, whole or absent."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from torchio_seg.errors import DataError
from torchio_seg.records import Case
from torchio_seg.store.laying import Layout, lay_out
from torchio_seg.store.preparing import prepare
from torchio_seg.store.store import Store
from torchio_seg.subjects import read_case_label, read_channels
from torchio_seg.transforms.maps import Box
from torchio_seg.transforms.normalization import learn_landmarks, measure, normalize
from torchio_seg.transforms.preprocessing import labels_to_model_grid, to_model_grid
from torchio_seg.transforms.recipe import Recipe, Statistics
from torchio_seg.volumes.nifti import create

SPACED = Recipe((1.5, 1.0, 2.0), None, "none")
LAYOUT = Layout(2, (0, 1, 2), SPACED)
AFFINE = np.array([[0.0, 0, 2, -5], [-1, 0, 0, 30], [0, 1.5, 0, 8], [0, 0, 0, 1]])


def write_case(folder: Path, name: str = "a", seed: int = 0) -> Case:
    """Empty but for a box, on axes that must be turned; the label reaches beyond the image's box."""
    rng = np.random.default_rng(seed)
    shape = (24, 20, 18)
    label = np.zeros(shape, np.uint8)
    label[5:9, 6:12, 3:8], label[15:17, 10, 3:14] = 1, 2
    paths = []
    for channel in range(2):
        image = np.zeros(shape, np.float32)
        image[4:16, 5:14, 3:12] = rng.normal(500 * 100**channel, 90 * 100**channel, (12, 9, 9))
        paths.append(folder / f"{name}_{channel}.nii.gz")
        create(paths[-1], image, AFFINE)
    create(folder / f"{name}_label.nii.gz", label, AFFINE)
    return Case(name, tuple(paths), folder / f"{name}_label.nii.gz")


def model_grid(case: Case, recipe: Recipe = SPACED) -> tuple[torch.Tensor, torch.Tensor]:
    volume = read_channels(case.images, 2)
    image, grids = to_model_grid(volume.array, volume.affine, recipe)
    return image, labels_to_model_grid(read_case_label(case, (0, 1, 2)).array, grids)


def whole(shape: tuple[int, ...]) -> Box:
    return Box((0, 0, 0), (shape[1], shape[2], shape[3]))


def normalizations(image: torch.Tensor) -> list[Recipe]:
    statistics = (Statistics(300, 700, 500, 90), Statistics(20000, 70000, 50000, 9000))
    landmarks = learn_landmarks([measure(image), measure(2 * image)])
    names = ("none", "zscore", "zscore_all", "minmax", "window", "percentile", "histogram")
    return [
        replace(SPACED, normalization=name, window=(-5.0, 600.0), statistics=statistics, landmarks=landmarks)
        for name in names
    ]


def test_what_is_kept_is_the_case_on_the_models_grid_in_every_normalisation(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    [exact] = prepare(Store(tmp_path / "store"), [case], replace(LAYOUT, dtype="float32"))
    image, label = model_grid(case)
    voxels = exact.open()
    assert voxels.size < tuple(image.shape[1:]), "only the box that is not empty is kept"
    for recipe in normalizations(image):
        found, labels = voxels.read(whole(image.shape), recipe)
        assert torch.equal(found, normalize(image, recipe)), recipe.normalization
        assert torch.equal(labels, label)


def test_float16_rounds_to_eleven_bits_and_keeps_zero_and_large_values(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    [half] = prepare(Store(tmp_path / "store"), [case], LAYOUT)
    image, _ = model_grid(case)
    found, _ = half.open().read(whole(image.shape), SPACED)
    assert half.open().image.dtype == np.float16
    assert image.max() > np.finfo(np.float16).max
    assert ((found - image).abs() <= image.abs() / 2**11).all()


@pytest.mark.parametrize("shape", [(9, 30, 12), (40, 40, 40)])
def test_any_box_is_that_part_of_the_whole_with_air_around_it(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    case = write_case(tmp_path)
    voxels = lay_out(case, replace(LAYOUT, dtype="float32"))
    image, _ = model_grid(case)
    for recipe in normalizations(image):
        expected = normalize(image, recipe)
        air = expected.amin(dim=(1, 2, 3)) if recipe.normalization == "percentile" else torch.zeros(2)
        margin = 45
        wide = torch.nn.functional.pad(torch.zeros_like(expected), [margin] * 6) + air.view(-1, 1, 1, 1)
        i, j, k = expected.shape[1:]
        wide[:, margin : margin + i, margin : margin + j, margin : margin + k] = expected
        for start in ((-4, -3, 2), (5, 1, -40), (0, 0, 0), (20, 20, 20)):
            found, label = voxels.read(Box(start, shape), recipe)
            place = [slice(margin + first, margin + first + n) for first, n in zip(start, shape, strict=True)]
            assert torch.equal(found, wide[:, *place]), (recipe.normalization, start)
            assert label.shape == (1, *shape)


def test_the_index_names_every_foreground_voxel_of_its_class(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    voxels = lay_out(case, LAYOUT)
    _, label = model_grid(case)
    assert voxels.classes == [1, 2]
    for value in voxels.classes:
        count = voxels.record.counts[value]
        found = {voxels.voxel_of(value, number) for number in range(count)}
        assert found == set(map(tuple, torch.argwhere(label[0] == value).tolist()))
        assert len(found) == count
    ignoring = lay_out(case, replace(LAYOUT, ignore=2))
    assert ignoring.classes == [1]
    assert len(ignoring.foreground) == ignoring.record.counts[1]


def test_a_second_time_nothing_is_made(tmp_path: Path) -> None:
    cases = [write_case(tmp_path, name, seed) for seed, name in enumerate("abc")]
    store = Store(tmp_path / "store")
    first = prepare(store, cases, LAYOUT)
    made = {path: path.stat().st_mtime_ns for path in store.cases.glob("*/*.npy")}
    assert len(made) == 3 * 4
    second = prepare(Store(tmp_path / "store"), cases, LAYOUT)
    assert second == first
    assert {path: path.stat().st_mtime_ns for path in store.cases.glob("*/*.npy")} == made


def test_another_file_or_setting_is_another_entry_and_another_name_is_not(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    store = Store(tmp_path / "store")
    layouts = [
        LAYOUT,
        replace(LAYOUT, dtype="float32"),
        replace(LAYOUT, values=(0, 1, 2, 3)),
        replace(LAYOUT, ignore=2),
        *(
            replace(LAYOUT, recipe=recipe)
            for recipe in (
                replace(SPACED, spacing=(1.5, 1.0, 1.9)),
                replace(SPACED, crop_or_pad=(8, 8, 8)),
                Recipe(None, (9, 9, 9), "none"),
                replace(SPACED, nonfinite="zero"),
            )
        ),
    ]
    keys = [store.want(case, layout).key for layout in layouts]
    assert len(set(keys)) == len(layouts)
    assert store.want(case, replace(LAYOUT, recipe=replace(SPACED, normalization="zscore"))).key == keys[0]
    swapped = Case("a", case.images[::-1], case.label)
    assert store.want(swapped, LAYOUT).key != keys[0]
    (tmp_path / "elsewhere").mkdir()
    moved = Case("b", tuple(Path(shutil.copy(path, tmp_path / "elsewhere")) for path in case.images), case.label)
    assert store.want(moved, LAYOUT).key == keys[0]


def test_a_file_of_other_content_is_noticed_though_its_size_and_time_are_the_same(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    store = Store(tmp_path / "store")
    before = store.want(case, LAYOUT).key
    content = bytearray(case.images[0].read_bytes())
    status = case.images[0].stat()
    content[-20] ^= 1
    case.images[0].write_bytes(content)
    os.utime(case.images[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert case.images[0].stat().st_mtime_ns == status.st_mtime_ns
    assert store.want(case, LAYOUT).key != before


@pytest.mark.parametrize("damage", ["short", "page", "gone"])
def test_what_is_damaged_is_made_again_and_that_is_said(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    case = write_case(tmp_path)
    store = Store(tmp_path / "store")
    [entry] = prepare(store, [case], LAYOUT)
    expected = np.array(entry.open().image)
    if damage == "short":
        os.truncate(entry.folder / "image.npy", 500)
    elif damage == "page":
        (entry.folder / "case.json").write_text('{"format": 1')
    else:
        (entry.folder / "foreground.npy").unlink()
    with caplog.at_level(logging.WARNING):
        [again] = prepare(store, [case], LAYOUT)
    assert "damaged; it is made again" in caplog.text
    assert np.array_equal(again.open().image, expected)


def test_a_case_that_cannot_be_read_stops_the_rest_and_leaves_nothing_half(tmp_path: Path) -> None:
    cases = [write_case(tmp_path, name) for name in "abcd"]
    path = cases[2].images[1]
    path.write_bytes(path.read_bytes()[:-60])
    store = Store(tmp_path / "store")
    with pytest.raises(DataError, match=r"c_1\.nii\.gz"):
        prepare(store, cases, LAYOUT)
    for folder in store.cases.iterdir():
        assert (folder / "case.json").exists() or folder.suffix == ".lock"


def test_a_full_disk_is_an_error_before_and_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = write_case(tmp_path)
    store = Store(tmp_path / "store")

    class Usage(NamedTuple):
        free: int = 10**6

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: Usage())
        with pytest.raises(DataError, match=r"takes up to .* GB, but .*store has 0\.0 GB left; make room"):
            prepare(store, [case], LAYOUT)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limit[1]))
    try:
        with pytest.raises(DataError, match="a prepared case cannot be kept there"):
            prepare(store, [case], LAYOUT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert list(store.cases.iterdir()) == []


MEASURE = """
import sys
from pathlib import Path
from torchio_seg.records import Case
from torchio_seg.store.laying import Layout, lay_out
from torchio_seg.transforms.recipe import Recipe

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024

root = Path(sys.argv[1])
case = Case("a", (root / "a_0.nii.gz", root / "a_1.nii.gz"), root / "a_label.nii.gz")
layout = Layout(2, (0, 1, 2), Recipe(None, (180, 170, 160), "none"))
lay_out(case, Layout(2, (0, 1, 2), Recipe(None, (8, 8, 8), "none")))  # what libraries take once
before = peak()
open("/proc/self/clear_refs", "w").write("5")
lay_out(case, layout)
print(peak() - before, layout.size_of(case)[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_case_takes_no_more_memory_than_was_reckoned_with(tmp_path: Path) -> None:
    write_case(tmp_path)
    done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True)
    taken, expected = map(int, done.stdout.split())
    assert expected / 3 < taken < expected + 20 * 2**20


SCRIPT = """
import sys
from pathlib import Path
from torchio_seg.records import Case
from torchio_seg.store.laying import Layout
from torchio_seg.store.preparing import prepare
from torchio_seg.store.store import Store
from torchio_seg.transforms.recipe import Recipe

root = Path(sys.argv[1])
cases = [Case(n, (root / f"{n}_0.nii.gz", root / f"{n}_1.nii.gz"), root / f"{n}_label.nii.gz") for n in sys.argv[2]]
print("ready", flush=True)
for entry in prepare(Store(root / "store"), cases, Layout(2, (0, 1, 2), Recipe((0.4, 0.4, 0.4), None, "none"))):
    print(entry.record.case, entry.open().image.shape, flush=True)
"""


def start(folder: Path, names: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder), names], stdout=subprocess.PIPE, text=True)


def test_two_processes_prepare_at_once_and_each_case_is_made_once(tmp_path: Path) -> None:
    names = "abcdef"
    for seed, name in enumerate(names):
        write_case(tmp_path, name, seed)
    running = [start(tmp_path, names) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]  # a second rename onto a case would have failed
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == 1 + len(names)
    assert len([path for path in (tmp_path / "store" / "cases").iterdir() if path.is_dir()]) == len(names)


def test_a_killed_preparation_goes_on_where_it_was(tmp_path: Path) -> None:
    names = "abcdefgh"
    for seed, name in enumerate(names):
        write_case(tmp_path, name, seed)
    process = start(tmp_path, names)
    cases = tmp_path / "store" / "cases"
    deadline = time.monotonic() + 60
    while not list(cases.glob("[!.]*/case.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = {path: path.stat().st_mtime_ns for path in cases.glob("[!.]*/image.npy")}
    again = start(tmp_path, names)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0
    assert len(output.splitlines()) == 1 + len(names)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert [path for path in cases.iterdir() if path.suffix == ".tmp"] == []
