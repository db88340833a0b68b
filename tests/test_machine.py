"""What of the machine there is to use, a container's share of it included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from torchio_seg.machine import describe, free_memory, in_units, is_out_of_memory, left_in_groups


def group(folder: Path, names: tuple[str, str], limit: str, used: int, files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{files}\n")


V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
V2 = ("memory.max", "memory.current")


def test_the_tightest_group_of_version_2_counts_and_idle_files_are_free(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/pod/box\n")
    group(tmp_path / "fs", V2, "max", 900, "inactive_file 0")
    group(tmp_path / "fs/pod", V2, "1000", 400, "inactive_file 50")
    group(tmp_path / "fs/pod/box", V2, "800", 300, "inactive_file 0")
    assert sorted(left_in_groups(tmp_path / "cgroup", tmp_path / "fs")) == [500, 650]


def test_version_1_has_a_tree_for_memory(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("5:cpu:/elsewhere\n4:memory:/unseen/inside\n0::/\n")
    group(tmp_path / "fs/memory", V1, "1000", 700, "total_inactive_file 100")
    assert left_in_groups(tmp_path / "cgroup", tmp_path / "fs") == [400]


def test_without_groups_nothing_is_limited(tmp_path: Path) -> None:
    assert left_in_groups(tmp_path / "none", tmp_path) == []
    assert free_memory() > 0


def test_the_machine_is_told_with_versions() -> None:
    about = describe(("torch",))
    assert about["cores"] >= 1
    assert set(about["versions"]) == {"torch"}


@pytest.mark.parametrize(
    ("size", "words"), [(999.9e6, "1 GB"), (999e6, "999 MB"), (12, "12 bytes"), (6.44e9, "6.44 GB")]
)
def test_sizes_have_the_unit_that_people_expect(size: float, words: str) -> None:
    assert in_units(size) == words


@pytest.mark.parametrize(
    ("error", "is_lack"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried"), True),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
        (OSError("out of memory"), False),
    ],
)
def test_a_lack_of_memory_is_told_by_torchs_words_from_other_errors(error: Exception, is_lack: bool) -> None:
    assert is_out_of_memory(error) == is_lack


def test_memory_that_is_really_lacking_is_told() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**62, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
