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
    how: tuple[str, ...]
    """How to get it, a step each."""
    cases: str = ""
    licence: str = ""
    size: str = ""
    """Nothing for these three where the data is the user's own."""
    aliases: tuple[str, ...] = ()
    """Other names that it is asked for by."""
    kind_of: str = ""
    """The entry whose experiments are trained on this one too, where it is not its own."""
    archive: Archive | None = None
    """What `torchio-seg download` fetches; None where an account is needed, or nothing is to be fetched."""

    @property
    def family(self) -> str:
        """The entry whose experiments are trained on it."""
        return self.kind_of or self.name

    @property
    def folder(self) -> str:
        """Where its data lies below data/."""
        return self.archive.name.removesuffix(".tar") if self.archive else self.name
