"""How long work tells whoever watches how far it is. The library reports, the command line draws."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A watcher of one piece of work at a time, pieces inside pieces allowed."""

    def start(self, what: str, total: int | None) -> None:
        """A piece of work of this many parts begins; None: nobody knows yet of how many."""

    def advance(self, parts: int = 1, **figures: float) -> None:
        """Some parts of the innermost piece are done; figures are what to show beside it."""

    def finish(self) -> None:
        """The innermost piece is over, complete or not."""


class Silent:
    """Watches without a word."""

    def start(self, what: str, total: int | None) -> None:
        """Nothing to draw."""

    def advance(self, parts: int = 1, **figures: float) -> None:
        """Nothing to draw."""

    def finish(self) -> None:
        """Nothing to draw."""
