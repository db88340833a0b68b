"""What there is to say of a data set: once in a command, however often its cases are looked at."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_said: ContextVar[set[str] | None] = ContextVar("said", default=None)


@contextmanager
def once() -> Iterator[None]:
    """Inside of it nothing is said a second time."""
    token = _said.set(set())
    try:
        yield
    finally:
        _said.reset(token)


def say(log: logging.Logger, level: int, text: str) -> None:
    """Log it, unless it was said already."""
    said = _said.get()
    if said is None or text not in said:
        log.log(level, "%s", text)
    if said is not None:
        said.add(text)
