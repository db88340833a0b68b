"""What a user is told about a data set."""

from __future__ import annotations

from dataclasses import dataclass

from torchio_seg.download.archive import Archive


@dataclass(frozen=True)
class Entry:
    """One data set, or one layout of the user's own data."""

    name: str
    title: str
    tree: str
    """What the folder must look like, a line each."""
    channels: str
    labels: str
    cases: str
    licence: str
    size: str
    how: tuple[str, ...]
    """How to get it, a step each."""
    aliases: tuple[str, ...] = ()
    """Other names that it is asked for by."""
    archive: Archive | None = None
    """What `torchio-seg download` fetches; None where an account is needed, or nothing is to be fetched."""

    @property
    def folder(self) -> str:
        """Where its data lies below data/."""
        return self.archive.name.removesuffix(".tar") if self.archive else self.name
