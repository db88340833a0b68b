"""Variables of the environment that a tracker's package reads, for as long as it is used."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """These variables, for a while."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def is_installed(package: str) -> bool:
    """Whether a package is there; nothing is imported."""
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # it is there without saying from where
        return True
