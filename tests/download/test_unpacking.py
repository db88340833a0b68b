"""Archives as they should be, and archives that would write where they like."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from interruption import CtrlC

from torchio_seg.download.unpacking import unpack
from torchio_seg.errors import DataError

Member = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes = b"x", **facts: object) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in facts.items():
        setattr(info, key, value)
    return info, content


def special(name: str, kind: bytes, target: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def make(path: Path, *members: Member, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def everything(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


GOOD = (special("Task", tarfile.DIRTYPE), file("Task/dataset.json", b"{}"), file("Task/imagesTr/a.nii.gz", b"a" * 3000))


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_the_top_folder_becomes_the_folder_asked_for(tmp_path: Path, mode: str) -> None:
    archive = make(tmp_path / "x.tar", *GOOD, mode=mode)
    assert unpack(archive, tmp_path / "mine", limit=100_000) == 2
    assert everything(tmp_path / "mine") == ["dataset.json", "imagesTr", "imagesTr/a.nii.gz"]
    assert (tmp_path / "mine" / "imagesTr" / "a.nii.gz").read_bytes() == b"a" * 3000
    assert everything(tmp_path)[0] == "mine"


def test_names_that_begin_with_a_dot_and_slash_are_the_same_names(tmp_path: Path) -> None:
    archive = make(tmp_path / "x.tar", special(".", tarfile.DIRTYPE), file("./Task/a"), file("Task/b"))
    assert unpack(archive, tmp_path / "out") == 2


HOSTILE: dict[str, tuple[tuple[Member, ...], str]] = {
    "parent": ((file("Task/../../evil"),), "leads out of the folder"),
    "absolute": ((file("/tmp/evil"),), "leads out of the folder"),  # noqa: S108
    "backslash": ((file("Task\\..\\..\\evil"),), "leads out of the folder"),
    "drive": ((file("C:/evil"),), "leads out of the folder"),
    "symbolic link": ((special("Task/l", tarfile.SYMTYPE, "/etc"), file("Task/l/evil")), "is a symbolic link"),
    "hard link": ((special("Task/l", tarfile.LNKTYPE, "/etc/passwd"),), "is a hard link"),
    "device": ((special("Task/d", tarfile.CHRTYPE),), "is a device"),
    "pipe": ((special("Task/p", tarfile.FIFOTYPE),), "is a pipe"),
    "twice": ((file("Task/a"), file("Task/a", b"other")), "collides with 'Task/a'"),
    "case": ((file("Task/a"), file("Task/A")), "collides with 'Task/a'"),
    "accents": ((file("Task/\u00e9"), file("Task/e\u0301")), "collides with"),
    "folder of another case": ((file("Task/images/a"), file("Task/Images/b")), "collides with 'Task/images'"),
    "file and folder": ((file("Task/a/b"), file("Task/a")), "collides with 'Task/a'"),
    "folder and file": ((file("Task/a"), file("Task/a/b")), "collides with 'Task/a'"),
    "beside": ((file("Task/a"), file("Other/b")), "lies beside the one folder"),
    "no folder": ((file("a"),), "lies beside the one folder"),
    "empty": ((special("Task", tarfile.DIRTYPE),), "holds no files"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    members, words = HOSTILE[kind]
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = make(inside / "x.tar", file("Task/first"), *members) if kind not in {"empty", "no folder"} else None
    archive = archive or make(inside / "x.tar", *members)
    with pytest.raises(DataError, match=words):
        unpack(archive, inside / "out")
    assert everything(tmp_path) == ["inside", "inside/x.tar"]


def test_a_bomb_stops_at_what_was_promised(tmp_path: Path) -> None:
    archive = make(tmp_path / "x.tar", file("Task/zeros", b"\0" * 20_000_000), mode="w:gz")
    assert archive.stat().st_size < 30_000
    with pytest.raises(DataError, match=r"unpacks to more than the 1\.0 MB promised"):
        unpack(archive, tmp_path / "out", limit=1_000_000)
    assert everything(tmp_path) == ["x.tar"]


def test_no_owner_and_no_special_right_is_taken_over(tmp_path: Path) -> None:
    archive = make(tmp_path / "x.tar", file("Task/tool", mode=0o6777, uid=0, gid=0, mtime=1))
    unpack(archive, tmp_path / "out")
    found = (tmp_path / "out" / "tool").stat()
    assert stat.S_IMODE(found.st_mode) & 0o7111 == 0
    assert (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())


def test_files_of_macos_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    archive = make(tmp_path / "x.tar", file("._Task"), *GOOD, file("Task/imagesTr/._a.nii.gz"))
    with caplog.at_level("INFO"):
        assert unpack(archive, tmp_path / "out") == 2
    assert "2 macOS '._' files of x.tar left out" in caplog.text
    assert not any("._" in name for name in everything(tmp_path / "out"))


def cut_tar(path: Path) -> Path:
    whole = make(path, *GOOD).read_bytes()
    path.write_bytes(whole[:3000])
    return path


def cut_gzip(path: Path) -> Path:
    whole = gzip.compress(make(path, file("Task/noise", os.urandom(50_000))).read_bytes())
    path.write_bytes(whole[: len(whole) // 2])
    return path


def no_tar(path: Path) -> Path:
    path.write_bytes(b"<html>not found</html>" * 100)
    return path


@pytest.mark.parametrize("damaged", [cut_tar, cut_gzip, no_tar])
def test_a_damaged_archive_leaves_nothing(tmp_path: Path, damaged: Callable[[Path], Path]) -> None:
    with pytest.raises(DataError, match=r"x\.tar is no tar archive, or is damaged"):
        unpack(damaged(tmp_path / "x.tar"), tmp_path / "out", limit=1_000_000)
    assert everything(tmp_path) == ["x.tar"]


def test_an_interruption_leaves_nothing_and_what_a_killed_process_left_is_taken_away(tmp_path: Path) -> None:
    archive = make(tmp_path / "x.tar", *(file(f"Task/{number}", b"x" * 600_000) for number in range(4)))

    with pytest.raises(KeyboardInterrupt):
        unpack(archive, tmp_path / "out", progress=CtrlC(after=2))
    assert everything(tmp_path) == ["x.tar"]
    (tmp_path / ".out.unpacking").mkdir()
    (tmp_path / ".out.unpacking" / "half").write_text("x")
    assert unpack(archive, tmp_path / "out") == 4
    assert everything(tmp_path / "out") == ["0", "1", "2", "3"]
    assert not (tmp_path / ".out.unpacking").exists()


def test_a_folder_with_something_in_it_is_kept(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(DataError, match="out is not empty"):
        unpack(make(tmp_path / "x.tar", *GOOD), tmp_path / "out")
    assert everything(tmp_path / "out") == ["mine"]
