"""Files are read once, remembered until they change, and what cannot be remembered is read again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from torchio_seg.errors import DataError
from torchio_seg.facts import cache_folder, label_values, read_facts, recall_facts, watch
from torchio_seg.volumes.budget import Budget
from torchio_seg.volumes.nifti import create

AFFINE = np.diag([1.0, 1.5, 2.0, 1.0])
VOXELS = np.random.default_rng(0).integers(-500, 500, (2, 5, 6, 7)).astype(np.int16)


class Counter:
    """Counts what is read."""

    num_read = 0

    def start(self, what: str, total: int) -> None:  # noqa: ARG002
        self.num_read += total

    def advance(self, parts: int = 1, **figures: float) -> None:
        """Nothing to count."""

    def finish(self) -> None:
        """Nothing to count."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A memory of this test alone."""
    monkeypatch.setenv("TORCHIO_SEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def scan(path: Path, voxels: np.ndarray = VOXELS) -> Path:
    create(path, voxels, AFFINE, overwrite=True)
    return path


def num_read(paths: list[Path], **options: bool) -> int:
    counter = Counter()
    with watch(**options):
        read_facts(paths, "image", progress=counter)
    return counter.num_read


def test_facts_are_what_the_file_holds(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.nii.gz")
    facts = read_facts([path], "image")[path]
    assert (facts.shape, facts.num_channels, facts.num_voxels) == ((5, 6, 7), 2, 420)
    assert np.array_equal(facts.affine, AFFINE)
    assert facts.lowest == tuple(float(channel.min()) for channel in VOXELS)
    assert facts.highest == tuple(float(channel.max()) for channel in VOXELS)
    assert (facts.problem, facts.num_nonfinite, facts.values) == (None, 0, None)


def test_what_is_recalled_is_equal_to_what_was_read(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.nii.gz", VOXELS[:1] // 100)
    for role in ("image", "label"):
        assert read_facts([path], role) == read_facts([path], role) == recall_facts([path], role)
    assert read_facts([path], "label")[path].values == {
        value: int((VOXELS[0] // 100 == value).sum()) for value in range(-5, 5)
    }


def test_a_file_that_is_known_is_not_read_even_if_it_cannot_be(tmp_path: Path) -> None:
    """Damage that leaves size and time as they were proves that nothing was read."""
    path = scan(tmp_path / "scan.nii.gz")
    before, facts = path.stat(), read_facts([path], "image")
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read_facts([path], "image") == facts
    assert num_read([path]) == 0
    assert num_read([path], verify=True) == 1
    assert "not gzip" in str(read_facts([path], "image")[path].problem)


def test_to_verify_each_file_is_read_once_under_any_spelling_of_its_path(tmp_path: Path) -> None:
    paths = [scan(tmp_path / f"{number}.nii.gz") for number in range(3)]
    read_facts(paths, "image")
    counter = Counter()
    with watch(verify=True) as watched:
        read_facts(paths[:2], "image", progress=counter)
        read_facts([tmp_path / "cache" / ".." / path.name for path in paths], "image", progress=counter)
    assert (counter.num_read, watched.num_files) == (3, 3)
    with watch() as watched:
        read_facts(paths, "image")
    assert watched.num_files == 0


def test_only_what_changed_is_read_again(tmp_path: Path) -> None:
    paths = [scan(tmp_path / f"{number}.nii.gz", VOXELS + number) for number in range(4)]
    assert num_read(paths) == 4
    assert num_read(paths) == 0
    scan(paths[2], VOXELS * 2)
    assert num_read(paths) == 1
    assert read_facts(paths, "image")[paths[2]].highest[0] == 2 * VOXELS[0].max()
    assert num_read([*paths, scan(tmp_path / "new.nii.gz")]) == 1


def test_facts_come_in_the_order_of_the_paths_each_once(tmp_path: Path) -> None:
    paths = [scan(tmp_path / f"{number}.nii.gz") for number in (3, 1, 2)]
    read_facts([paths[1]], "image")
    assert list(read_facts([*paths, paths[0]], "image")) == paths


def test_a_problem_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.nii.gz")
    path.write_bytes(path.read_bytes()[:-9])
    assert "truncated" in str(read_facts([path], "image")[path].problem)
    assert num_read([path]) == 0
    scan(path)
    assert read_facts([path], "image")[path].problem is None


def test_a_problem_is_told_under_any_spelling_of_the_path(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.nii.gz")
    path.write_bytes(b"")
    other = tmp_path / "cache" / ".." / "scan.nii.gz"
    (tmp_path / "cache").mkdir()
    first, second = read_facts([path], "label"), read_facts([other], "label")
    assert first[path] == second[other]
    assert second[other].problem == "the file is empty (0 bytes); copy or download it again"
    with pytest.raises(DataError, match=f"^{re.escape(str(other))}: the file is empty"):
        label_values([other])


def test_a_file_that_is_not_there_is_looked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    assert "does not exist" in str(read_facts([path], "image")[path].problem)
    scan(path)
    assert read_facts([path], "image")[path].problem is None


def test_a_problem_of_the_computer_is_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "loop.nii.gz").symlink_to(tmp_path / "loop.nii.gz")
    path = tmp_path / "loop.nii.gz"
    assert "cannot be read" in str(read_facts([path], "image")[path].problem)
    assert recall_facts([path], "image") == {}


def test_image_and_label_of_one_file_are_two_readings(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.nii.gz")
    assert read_facts([path], "image")[path].problem is None
    assert "2 channels; a label map has one" in str(read_facts([path], "label")[path].problem)


def test_nonfinite_voxels_of_an_image_are_counted_those_of_a_label_map_are_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii"
    scan(path, np.zeros((1, 5, 6, 7), np.float32))
    plain = bytearray(path.read_bytes())
    plain[-8:] = np.array([np.nan, -np.inf], "<f4").tobytes()
    path.write_bytes(plain)
    facts = read_facts([path], "image")[path]
    assert (facts.problem, facts.num_nonfinite, facts.lowest, facts.highest) == (None, 2, (0.0,), (0.0,))
    assert "2 of 210 voxels are NaN" in str(read_facts([path], "label")[path].problem)


def test_equal_voxels_have_equal_digests_however_they_are_stored(tmp_path: Path) -> None:
    zeroed = np.where(VOXELS > 0, VOXELS, 0)
    same = [
        scan(tmp_path / "a.nii.gz", zeroed),
        scan(tmp_path / "b.nii", zeroed.astype(np.float32) * np.where(VOXELS > 0, 1, -0.0).astype(np.float32)),
    ]
    other = scan(tmp_path / "c.nii.gz", zeroed.reshape(2, 6, 5, 7))
    digests = [facts.digest for facts in read_facts([*same, other], "image").values()]
    assert digests[0] == digests[1] != digests[2]


DAMAGE = {
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda _: "",
    "a list": lambda _: "[]",
    "no entries": lambda _: "{}",
    "wrong types": lambda text: text.replace('"stamp":[', '"stamp":["x",'),
    "other version": lambda text: text.replace('"format":"', '"format":"0'),
    "other folder": lambda text: text.replace('"folder":"', '"folder":"/elsewhere'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_memory_is_ignored_and_replaced(tmp_path: Path, cache: Path, damage: object) -> None:
    path = scan(tmp_path / "scan.nii.gz")
    facts = read_facts([path], "image")
    (page,) = (cache / "facts").iterdir()
    page.write_text(damage(page.read_text()))
    assert recall_facts([path], "image") == {}
    assert read_facts([path], "image") == facts == recall_facts([path], "image")


def test_a_memory_that_cannot_be_written_only_costs_time(tmp_path: Path, cache: Path) -> None:
    path = scan(tmp_path / "scan.nii.gz")
    cache.write_text("a file where the folder should be")
    facts = read_facts([path], "image")
    assert facts[path].problem is None
    assert (read_facts([path], "image"), num_read([path])) == (facts, 1)


def test_processes_that_remember_at_once_leave_a_whole_memory(tmp_path: Path, cache: Path) -> None:
    paths = [scan(tmp_path / f"{number}.nii.gz", VOXELS + number) for number in range(8)]
    code = (
        "import sys; from pathlib import Path; from torchio_seg.facts import read_facts, watch\n"
        "for turn in range(20):\n"
        "    with watch(verify=True):\n"
        "        found = read_facts([Path(path) for path in sys.argv[1:]], 'image')\n"
        "    assert all(facts.problem is None for facts in found.values())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, *map(str, part)]) for part in (paths[:5], paths[3:], paths)
    ]
    while any(process.poll() is None for process in started):
        for page in (cache / "facts").glob("*.json"):
            json.loads(page.read_text())
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(recall_facts(paths, "image")) >= 5
    assert list((cache / "facts").glob("*.tmp")) == []


def test_what_was_read_before_an_interruption_is_kept(tmp_path: Path) -> None:
    paths = [scan(tmp_path / f"{number}.nii.gz") for number in range(12)]

    class Impatient(Counter):
        def advance(self, *_: int, **__: float) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_facts(paths, "image", progress=Impatient())
    assert 0 < len(recall_facts(paths, "image")) < 12


def test_files_read_side_by_side_share_one_budget_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 16 << 20
    paths = [scan(tmp_path / f"{number}.nii.gz", np.zeros((1, 256, 256, 64), np.float32)) for number in range(6)]
    monkeypatch.setattr("torchio_seg.facts.reading._MEMORY", Budget(size))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(4), raising=False)
    tracemalloc.start()
    try:
        facts = read_facts(paths, "image")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [found.problem for found in facts.values()] == [None] * 6
    assert size < peak < 1.9 * size


def test_label_values_are_those_of_sound_files_and_without_any_all_are_named(tmp_path: Path) -> None:
    good = scan(tmp_path / "good.nii.gz", (VOXELS[:1] > 0).astype(np.uint8))
    assert label_values([good]) == {good: {0: int((VOXELS[0] <= 0).sum()), 1: int((VOXELS[0] > 0).sum())}}
    bad = [tmp_path / f"bad{number:02d}.nii.gz" for number in range(13)]
    with pytest.raises(DataError, match=r"^\S+bad00\.nii\.gz: does not exist; check"):
        label_values(bad[:1])
    assert list(label_values([bad[0], good])) == [good]
    with pytest.raises(DataError, match=r"(?s)^none of 13 label maps can be used:\n.*bad09.*\n  and 3 more$"):
        label_values(bad)


def test_the_memory_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TORCHIO_SEG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "torchio-seg"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "torchio-seg"
