"""A file from its server onto the disk: resumed where it was cut, checked before it gets its name."""

from __future__ import annotations

import logging
import ssl
import time
import urllib.error
from dataclasses import dataclass
from pathlib import Path

from torchio_seg.download.archive import Archive, Patience
from torchio_seg.download.checking import check
from torchio_seg.download.connection import TransferError, answer, read, require_https
from torchio_seg.download.disk import require_space, writing
from torchio_seg.download.meter import metered, size_text
from torchio_seg.download.part import Part
from torchio_seg.errors import DataError
from torchio_seg.lock import only_here
from torchio_seg.progress import Progress, Silent

_log = logging.getLogger(__name__)
CHUNK = 1 << 18
USUAL = Patience()


@dataclass(frozen=True)
class _Link:
    """How the server of an archive is reached."""

    archive: Archive
    context: ssl.SSLContext | None
    patience: Patience
    progress: Progress


def fetch(
    archive: Archive,
    folder: Path,
    *,
    progress: Progress | None = None,
    context: ssl.SSLContext | None = None,
    patience: Patience = USUAL,
) -> Path:
    """The archive's file in this folder, complete and checked; what is there already is checked and kept."""
    require_https(archive.url)
    link = _Link(archive, context, patience, progress or Silent())
    target = folder / archive.name
    with writing(target):
        folder.mkdir(parents=True, exist_ok=True)
        with only_here(target):
            if target.is_file():
                check(target, archive, target, link.progress)
            else:
                _obtain(link, target)
    return target


def _obtain(link: _Link, target: Path) -> None:
    part = Part(target.with_name(f"{target.name}.part"), link.archive.url)
    try:
        _receive(link, part)
    except (KeyboardInterrupt, SystemExit):
        if part.size:
            _log.info("%s holds %s; the same command goes on from there", part.path, size_text(part.size))
        raise
    finally:
        if not part.size:
            part.discard()
    try:
        check(part.path, link.archive, target, link.progress)
    except DataError:
        part.discard()
        raise
    part.rename(target)


def _receive(link: _Link, part: Part) -> None:
    """Ask until all bytes are there; each byte that comes renews the patience."""
    pauses = iter(link.patience.pauses)
    while not part.is_complete:
        held = part.size
        try:
            _continue(link, part)
        except TransferError as trouble:
            if part.size > held:
                pauses = iter(link.patience.pauses)
            pause = next(pauses, None)
            if pause is None:
                raise DataError(
                    f"{link.archive.url}: {trouble}; {size_text(part.size)} are kept, "
                    "run the same command later and it goes on from there"
                ) from trouble
            _log.info("%s; trying again in %g s", trouble, pause)
            time.sleep(pause)


def _continue(link: _Link, part: Part) -> None:
    """One connection's worth of bytes."""
    url = link.archive.url
    headers = {"Accept-Encoding": "identity", "User-Agent": "torchio-seg", **part.headers}
    try:
        with answer(url, headers, link.context, link.patience.timeout) as response:
            start = part.accept(response)
            _require_promise(link.archive, part, start)
            with metered(link.progress, f"fetching {link.archive.name}", part.total) as meter:
                meter.skip(start)
                with part.path.open("ab") as file:
                    while chunk := read(response, CHUNK):
                        file.write(chunk)
                        meter.add(len(chunk))
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise DataError(f"{url}: the server answers {error.code} {error.reason}; nothing was fetched") from error
        part.discard()
        raise TransferError("the server has no such bytes") from error
    if not part.is_complete:
        raise TransferError(f"the connection was cut after {size_text(part.size)} of {size_text(part.total)}")


def _require_promise(archive: Archive, part: Part, start: int) -> None:
    """Raise where the server offers another file than was published, or the disk is too small for it."""
    total = part.total
    if archive.size is not None and total != archive.size:
        part.discard()
        raise DataError(
            f"{archive.url}: the server offers {total} bytes where {archive.size} are expected; "
            "it is not the published file, and nothing was fetched"
        )
    require_space(part.path.parent, 2 * total - start, f"{archive.name}, fetched and unpacked,")
