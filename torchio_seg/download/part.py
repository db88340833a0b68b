"""What a download holds so far, and of which version of the file: both survive an interruption at any byte."""

from __future__ import annotations

import http.client
import json
import logging
import re
from pathlib import Path
from typing import Any

from torchio_seg.download.connection import TransferError
from torchio_seg.download.meter import size_text
from torchio_seg.errors import DataError
from torchio_seg.files import write_json

_log = logging.getLogger(__name__)


class Part:
    """`NAME.part` holds the first bytes of a file, `NAME.part.json` which version they are of."""

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self.url = url
        self._note = path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        """Bytes held."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def is_complete(self) -> bool:
        """Whether all bytes are held."""
        return self.size > 0 and self.size == self._version().get("total")

    @property
    def headers(self) -> dict[str, str]:
        """What asks a server for the rest, of that very version, or else for the whole file."""
        version = self._version()
        if not self.size or not version.get("validator") or self.size >= version["total"]:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": version["validator"]}

    def accept(self, response: http.client.HTTPResponse) -> int:
        """How many of the held bytes the answer goes on from; 0 where it is the whole file again."""
        if response.status == 206:
            return self._go_on(response)
        if self.size:
            _log.info("the server sends the whole file again: it changed, or cannot be resumed")
        self._begin(response)
        return 0

    def discard(self) -> None:
        """Hold nothing."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def rename(self, target: Path) -> None:
        """Give the complete file its name."""
        self.path.replace(target)
        self._note.unlink(missing_ok=True)

    def _go_on(self, response: http.client.HTTPResponse) -> int:
        place = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if not place or (int(place[1]), int(place[2])) != (self.size, self._version().get("total")):
            self.discard()
            raise TransferError("the server goes on at another place than asked")
        _log.info("going on after %s", size_text(self.size))
        return self.size

    def _begin(self, response: http.client.HTTPResponse) -> None:
        length = response.headers.get("Content-Length", "")
        if response.status != 200 or not length.isdecimal():
            raise DataError(f"{self.url}: the server answers {response.status} without the file's length; try later")
        self.discard()
        tag = response.headers.get("ETag", "")
        strong = tag if tag and not tag.startswith("W/") else None
        validator = strong or response.headers.get("Last-Modified")
        write_json(self._note, {"url": self.url, "validator": validator, "total": int(length)})

    @property
    def total(self) -> int:
        """Bytes of the whole file, as the server said when its first byte came."""
        return int(self._version()["total"])

    def _version(self) -> dict[str, Any]:
        """What was noted at the first byte; nothing where it cannot be relied on."""
        try:
            version = json.loads(self._note.read_text(encoding="utf-8"))
            known = version["url"] == self.url and isinstance(version["total"], int)
        except (OSError, ValueError, TypeError, KeyError):
            return {}
        return version if known else {}
