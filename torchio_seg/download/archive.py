"""What is known about an archive before it is fetched, and how long its server is waited for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """A published file: a plain tar, which unpacks to about its own size."""

    name: str
    """What the file is called on disk."""
    url: str
    md5: str
    """The checksum that its publisher states."""
    size: int | None = None
    """Bytes, where a source states them; else what the server says is believed."""


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for before a download is given up; progress starts the pauses anew."""

    timeout: float = 30.0
    """Seconds without a byte after which a connection counts as lost."""
    pauses: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0)
    """Seconds before each new attempt."""
