"""A plan in words: what was chosen and why, a line each, and the comments on top of its YAML."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 118
_LABEL = 13


@dataclass(frozen=True)
class Line:
    """What was chosen, or what will be needed, and why."""

    what: str
    choice: str
    why: str

    def __str__(self) -> str:
        return f"{self.what:<{_LABEL}}{self.choice}" + (f": {self.why}" if self.why else "")


def to_comments(first: Sequence[str], chosen: Sequence[Line], needs: Sequence[Line]) -> str:
    """The first lines of the file."""
    lines = [*first, "", "Chosen", *map(str, chosen), "", "Will need", *map(str, needs)]
    fold = textwrap.TextWrapper(WIDTH, subsequent_indent=" " * _LABEL, break_long_words=False, break_on_hyphens=False)
    folded = [part for line in lines for part in (fold.wrap(line) if line else [""])]
    return "".join(f"# {line}".rstrip() + "\n" for line in folded)


def size_text(size: Sequence[float]) -> str:
    """Three numbers as people write them."""
    return " x ".join(f"{side:.3g}" if isinstance(side, float) else str(side) for side in size)


def time_text(seconds: float) -> str:
    """A time in the two largest units that it has."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    rest, parts = round(seconds), []
    for name, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        number, rest = divmod(rest, length)
        if number:
            parts.append(f"{number} {name}")
    return " ".join(parts[:2])
