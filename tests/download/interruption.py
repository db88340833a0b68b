"""A user who presses Ctrl-C in the middle."""

from __future__ import annotations

from torchio_seg.progress import Silent


class CtrlC(Silent):
    """Interrupts when so many parts are done."""

    def __init__(self, after: int) -> None:
        self._left = after

    def advance(self, parts: int = 1, **_: float) -> None:
        """Count down."""
        self._left -= parts
        if self._left == 0:
            raise KeyboardInterrupt
