"""Downloads from a server that breaks off, changes, lies and redirects."""

from __future__ import annotations

import hashlib
import json
import shutil
import ssl
from collections import namedtuple
from pathlib import Path

import pytest
from https_server import Server
from interruption import CtrlC

from torchio_seg.download.archive import Archive, Patience
from torchio_seg.download.fetching import fetch
from torchio_seg.errors import DataError
from torchio_seg.lock import only_here

AT_ONCE = Patience(timeout=60, pauses=(0, 0))
NEVER = Patience(timeout=60, pauses=())
CUT = 1_000_000


def archive_of(server: Server, *, size: int | None = None) -> Archive:
    md5 = hashlib.md5(server.content, usedforsecurity=False).hexdigest()
    return Archive("data.tar", server.url, md5, size)


def get(server: Server, folder: Path, patience: Patience = AT_ONCE) -> Path:
    return fetch(archive_of(server), folder, context=server.context, patience=patience)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_whole_and_its_sha256_is_noted(server: Server, tmp_path: Path) -> None:
    path = get(server, tmp_path / "new" / "data")
    assert path.read_bytes() == server.content
    assert names(path.parent) == ["data.tar", "data.tar.json"]
    note = json.loads((path.parent / "data.tar.json").read_text())
    assert note["sha256"] == hashlib.sha256(server.content).hexdigest()
    assert note["size"] == len(server.content)


def test_what_is_there_is_checked_and_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    path = get(server, tmp_path)
    assert get(server, tmp_path) == path
    assert len(server.asked) == 1
    path.write_bytes(server.content[:-1] + b"x")
    with pytest.raises(DataError, match=r"MD5 expected \w+, found \w+; remove it"):
        get(server, tmp_path)
    assert path.exists()


def test_a_cut_connection_goes_on_from_its_last_byte(server: Server, tmp_path: Path) -> None:
    server.cuts = [CUT, 7, 0]
    path = get(server, tmp_path)
    assert path.read_bytes() == server.content
    assert server.asked == [None, f"bytes={CUT}-", f"bytes={CUT + 7}-", f"bytes={CUT + 7}-"]
    assert sum(server.sent) == len(server.content)


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server: Server, tmp_path: Path) -> None:
    server.cuts = [CUT]
    with pytest.raises(DataError, match=r"cut after 1\.0 MB of 3\.0 MB; 1\.0 MB are kept, run the same command"):
        get(server, tmp_path, NEVER)
    assert names(tmp_path) == ["data.tar.part", "data.tar.part.json"]
    assert get(server, tmp_path).read_bytes() == server.content
    assert server.sent == [CUT, len(server.content) - CUT]
    assert names(tmp_path) == ["data.tar", "data.tar.json"]


@pytest.mark.parametrize("held", [1, 2_999_999, 3_000_000])
def test_a_part_of_any_length_is_completed(server: Server, tmp_path: Path, held: int) -> None:
    server.cuts = [held]
    if held < len(server.content):
        with pytest.raises(DataError, match="cut"):
            get(server, tmp_path, NEVER)
    else:  # ended between the last byte and the renaming
        get(server, tmp_path)
        note = {"url": server.url, "validator": server.etag, "total": held}
        (tmp_path / "data.tar.part.json").write_text(json.dumps(note))
        (tmp_path / "data.tar").rename(tmp_path / "data.tar.part")
    assert get(server, tmp_path).read_bytes() == server.content
    assert sum(server.sent) == len(server.content)


def test_a_server_that_cannot_resume_starts_again_and_it_is_said(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.ranges = False
    server.cuts = [CUT]
    with caplog.at_level("INFO"):
        assert get(server, tmp_path).read_bytes() == server.content
    assert server.sent == [CUT, len(server.content)]
    assert "sends the whole file again" in caplog.text


def test_a_server_without_versions_is_not_trusted_to_resume(server: Server, tmp_path: Path) -> None:
    server.etag = None
    server.cuts = [CUT]
    assert get(server, tmp_path).read_bytes() == server.content
    assert server.asked == [None, None]


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(server: Server, tmp_path: Path) -> None:
    server.cuts = [CUT]
    with pytest.raises(DataError, match="cut"):
        get(server, tmp_path, NEVER)
    server.content, server.etag = bytes(reversed(server.content)), '"two"'
    assert get(server, tmp_path).read_bytes() == server.content
    assert server.sent[-1] == len(server.content)


@pytest.mark.parametrize("note", ["", "[]", '{"url": "https://elsewhere", "total": 3000000}'])
def test_a_part_whose_note_is_lost_is_not_gone_on_from(server: Server, tmp_path: Path, note: str) -> None:
    (tmp_path / "data.tar.part").write_bytes(b"something else")
    (tmp_path / "data.tar.part.json").write_text(note)
    assert get(server, tmp_path).read_bytes() == server.content
    assert server.asked == [None]


def test_a_wrong_checksum_leaves_nothing_and_says_both(server: Server, tmp_path: Path) -> None:
    archive = Archive("data.tar", server.url, "0" * 32)
    found = hashlib.md5(server.content, usedforsecurity=False).hexdigest()
    with pytest.raises(DataError, match=f"MD5 expected {'0' * 32}, found {found}; what was fetched is removed"):
        fetch(archive, tmp_path, context=server.context)
    assert names(tmp_path) == []


def test_another_file_under_a_known_name_is_refused_by_its_sha256(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path).unlink()
    server.content, server.etag = b"other" * 10, '"two"'
    with pytest.raises(DataError, match="SHA-256, as noted at the first download, expected"):
        get(server, tmp_path)
    assert names(tmp_path) == ["data.tar.json"]


def test_a_wrong_size_is_noticed_before_anything_is_fetched(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="offers 3000000 bytes where 5 are expected"):
        fetch(archive_of(server, size=5), tmp_path, context=server.context)
    assert names(tmp_path) == []


def test_http_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1/x is not https"):
        fetch(Archive("x", "http://127.0.0.1/x", ""), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("location", ["http://127.0.0.1/data.tar", "file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_away_from_https_is_refused(server: Server, tmp_path: Path, location: str) -> None:
    server.location = location
    with pytest.raises(DataError, match=f"redirects to {location}; .* over https only|'{location}' is not allowed"):
        get(server, tmp_path)
    assert len(server.asked) == 1
    assert names(tmp_path) == []


def test_a_missing_file_is_not_asked_for_twice(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(DataError, match="answers 404 Not Found"):
        get(server, tmp_path)
    assert len(server.asked) == 1


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.status, server.failures = 503, 2
    assert get(server, tmp_path).read_bytes() == server.content
    assert len(server.asked) == 3


def test_patience_ends(server: Server, tmp_path: Path) -> None:
    server.status = 503
    with pytest.raises(DataError, match="answers 503"):
        get(server, tmp_path)
    assert len(server.asked) == 3


def test_a_server_that_is_not_trusted_is_refused_at_once(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="certificate is not trusted"):
        fetch(archive_of(server), tmp_path, context=ssl.create_default_context(), patience=AT_ONCE)
    assert server.asked == []


def test_a_full_disk_is_noticed_before_anything_is_fetched(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(9_000_000, 3_500_000, 5_500_000))
    with pytest.raises(DataError, match=r"fetched and unpacked, needs 6\.0 MB and .* has 5\.5 MB left"):
        get(server, tmp_path)
    assert names(tmp_path) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(9_000_000, 3_000_000, 6_000_000))
    assert get(server, tmp_path).read_bytes() == server.content


def test_two_downloads_of_one_file_do_not_meet(server: Server, tmp_path: Path) -> None:
    with only_here(tmp_path / "data.tar"), pytest.raises(DataError, match="another process is at work"):
        get(server, tmp_path)
    assert server.asked == []
    assert get(server, tmp_path).exists()


def test_a_folder_that_cannot_be_made_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match=r"file.*could not be written"):
        get(server, tmp_path / "file")


def test_an_interruption_keeps_what_was_fetched(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"), pytest.raises(KeyboardInterrupt):
        fetch(archive_of(server), tmp_path, context=server.context, progress=CtrlC(after=2))
    assert "the same command goes on from there" in caplog.text
    held = (tmp_path / "data.tar.part").stat().st_size
    assert held >= 2_000_000
    assert get(server, tmp_path).read_bytes() == server.content
    assert server.asked[-1] == f"bytes={held}-"
