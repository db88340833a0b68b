"""What is said to a Python program: parameters in place of the flags that messages name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from torchio_seg.errors import TorchioSegError

SWITCHES = {"tta", "skip-empty", "trust"}
_VALUE = r"\d[\w.]*|cpu|fp32|zero|entropy|disagreement"
"""Those that messages give to a flag; other words that follow one are not its value."""
_FLAG = re.compile(rf"(?<![\w-])--([a-z]+(?:-[a-z]+)*)(?: ({_VALUE})\b)?")


@contextmanager
def in_parameters() -> Iterator[None]:
    """Errors of ours name parameters."""
    try:
        yield
    except TorchioSegError as error:
        error.args = (with_parameters(str(error)),)
        raise


def with_parameters(text: str) -> str:
    """A message, as "raise --ram-budget" becomes "raise ram_budget", and "--batch-size 1" "batch_size=1"."""
    return _FLAG.sub(_parameter, text)


def _parameter(flag: re.Match[str]) -> str:
    name, value = flag[1].replace("-", "_"), flag[2]
    if flag[1] in SWITCHES:
        return f"{name}=True"
    if value is None:
        return name
    return f"{name}={value}" if value.replace(".", "").isdecimal() else f'{name}="{value}"'
