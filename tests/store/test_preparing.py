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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import NamedTuple

import numpy as np
import pytest
from stored_cases import LAYOUT, SPACED, write_case

from torchio_seg import lock
from torchio_seg.errors import DataError
from torchio_seg.records import Case
from torchio_seg.store.preparing import _make, prepare
from torchio_seg.store.store import Store
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.volumes.budget import Budget


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
                replace(SPACED, antialias=True),
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


def test_a_case_whose_file_changes_while_it_is_prepared_is_not_kept_under_the_old_name(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    store = Store(tmp_path / "store")
    old = store.want(case, LAYOUT)
    (tmp_path / "new").mkdir()
    newer = write_case(tmp_path / "new", seed=1)
    shutil.copy(newer.images[0], case.images[0])
    store.cases.mkdir(parents=True)
    with pytest.raises(DataError, match="case a: a file changed while it was prepared"):
        _make(store, old, Budget(2**30), Event())
    assert store.find(old) is None


def test_cases_that_share_files_are_prepared_side_by_side(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    cases = [Case(f"case{number}", case.images, case.label) for number in range(12)]
    stored = prepare(Store(tmp_path / "store"), cases, LAYOUT)
    assert [each.record.case for each in stored] == [each.id for each in cases]
    assert len({each.folder for each in stored}) == 1


def test_two_who_find_the_same_damage_mend_it_once(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    store = Store(tmp_path / "store")
    [entry] = prepare(store, [case], LAYOUT)
    (entry.folder / "label.npy").unlink()
    with ThreadPoolExecutor(4) as pool:
        found = [future.result() for future in [pool.submit(prepare, store, [case], LAYOUT) for _ in range(4)]]
    assert all(each == [entry] for each in found)
    assert entry.open().label.any()


def test_waiting_for_another_process_ends_when_the_work_does(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    store = Store(tmp_path / "store")
    store.cases.mkdir(parents=True)
    wanted, is_over = store.want(case, LAYOUT), Event()
    with lock.attempt(store.cases / wanted.key) as is_ours, ThreadPoolExecutor(1) as pool:
        assert is_ours
        waiting = pool.submit(_make, store, wanted, Budget(2**30), is_over)
        is_over.set()
        with pytest.raises(DataError, match="because another failed"):
            waiting.result(timeout=120)


def test_a_full_disk_is_an_error_before_and_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = write_case(tmp_path)
    store = Store(tmp_path / "store")

    class Usage(NamedTuple):
        free: int = 10**6

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: Usage())
        with pytest.raises(DataError, match=r"takes up to \d+ kB, but .*store has 1 MB, 537 MB of it for others"):
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
print(peak() - before, layout.reckon(case).memory)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_case_takes_no_more_memory_than_was_reckoned_with(tmp_path: Path) -> None:
    write_case(tmp_path)
    done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True)
    taken, expected = map(int, done.stdout.split())
    assert expected / 4 < taken < expected + 20 * 2**20


SCRIPT = """
import sys
from pathlib import Path
from torchio_seg.records import Case
from torchio_seg.store.laying import Layout
from torchio_seg.store.preparing import _make, prepare
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
    outputs = [process.communicate(timeout=300)[0] for process in running]
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
    deadline = time.monotonic() + 300
    while not list(cases.glob("[!.]*/case.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = {path: path.stat().st_mtime_ns for path in cases.glob("[!.]*/image.npy")}
    assert 0 < len(done) < len(names)
    again = start(tmp_path, names)
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0
    assert len(output.splitlines()) == 1 + len(names)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert [path for path in cases.iterdir() if path.suffix == ".tmp"] == []
