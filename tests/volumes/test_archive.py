"""A zip archive reaches nothing but its temporary folder, and takes no more of it than it says and may."""

from __future__ import annotations

import stat
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.archive import unpacked


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where archives are unpacked in these tests."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def pack(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_files_are_there_while_they_are_needed_and_gone_afterwards(tmp_path: Path, temporary: Path) -> None:
    path = pack(tmp_path / "a.zip", {"one/a.dcm": b"a", "one/two/b.dcm": b"b" * 9999, "empty/": b"", "c": b""})
    with unpacked(path) as folder:
        assert folder.parent == temporary
        found = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        assert found == {"one/a.dcm": b"a", "one/two/b.dcm": b"b" * 9999, "c": b""}
    assert not list(temporary.iterdir())


def special(kind: int) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            entry = zipfile.ZipInfo("sub/entry")
            entry.create_system, entry.external_attr = 3, (kind | 0o644) << 16
            archive.writestr(entry, "/etc/passwd")
        return path

    return make


def named(*names: str) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
            warnings.simplefilter("ignore")  # that a name comes twice
            for name in names:
                archive.writestr(name, b"content")
        return path

    return make


def encrypted(path: Path) -> Path:
    """The bit that says so, in both headers of the one file."""
    content = bytearray(named("a.dcm")(path).read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    path.write_bytes(content)
    return path


def boastful(path: Path) -> Path:
    """One that says that a file of its is larger than deflate can make it."""
    content = bytearray(pack(path, {"a.dcm": bytes(5000)}).read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", content, content.index(mark) + offset, 1 << 31)
    path.write_bytes(content)
    return path


def damaged(path: Path) -> Path:
    content = bytearray(pack(path, {"a.dcm": bytes(range(256)) * 40}, zipfile.ZIP_STORED).read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    return path


def cut(path: Path) -> Path:
    pack(path, {"a.dcm": bytes(range(256)) * 40})
    path.write_bytes(path.read_bytes()[:-30])
    return path


def no_archive(path: Path) -> Path:
    path.write_bytes(b"<html>sign in</html>")
    return path


REFUSED = {
    "a way up": (named("../outside"), "outside of its folder"),
    "a way up from within": (named("a/../../outside"), "outside of its folder"),
    "a way up as on Windows": (named("..\\outside"), "outside of its folder"),
    "an absolute way": (named("/outside"), "outside of its folder"),
    "a drive": (named("C:\\outside"), "outside of its folder"),
    "a link": (special(stat.S_IFLNK), "link or a device"),
    "a device": (special(stat.S_IFCHR), "link or a device"),
    "a pipe": (special(stat.S_IFIFO), "link or a device"),
    "a name twice": (named("a", "a"), "twice"),
    "a file that is a folder too": (named("a", "a/b"), "cannot be unpacked"),
    "another method": (lambda path: pack(path, {"a": b"a"}, zipfile.ZIP_BZIP2), "compressed by method 12"),
    "a password": (encrypted, "is encrypted"),
    "impossible sizes": (boastful, "more than it can"),
    "a flipped bit": (damaged, "damaged"),
    "half of it": (cut, "no zip archive, or damaged"),
    "something else": (no_archive, "no zip archive"),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_dangerous_or_broken_is_refused_and_leaves_nothing(
    tmp_path: Path, temporary: Path, make: Callable[[Path], Path], words: str
) -> None:
    path = make(tmp_path / "study.zip")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(VolumeError, match=rf"study\.zip: .*{words}"), unpacked(path):
        pass
    assert sorted(tmp_path.rglob("*")) == before
    assert not list(temporary.iterdir())


def test_more_than_may_be_unpacked_is_refused_before_anything_is(tmp_path: Path, temporary: Path) -> None:
    path = pack(tmp_path / "bomb.zip", {str(number): bytes(1 << 20) for number in range(4)})
    assert path.stat().st_size < 1 << 14
    with pytest.raises(VolumeError, match=r"holds 0.00 GiB, 0.00 GiB are the most"), unpacked(path, max_bytes=1 << 20):
        pass
    assert not list(temporary.iterdir())
