"""Work whose memory is known, for the tests of measuring it."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np


def allocate(argument: dict[str, Any]) -> dict[str, Any]:
    """Touch so many bytes, let them go, and keep a tenth."""
    whole = np.ones(argument["bytes"], np.uint8)
    total = int(whole[:: 1 << 20].sum())
    del whole
    kept = np.ones(argument["bytes"] // 10, np.uint8)
    return {"touched": total, "kept": len(kept)}


def grow(argument: dict[str, Any]) -> dict[str, Any]:
    """Touch ever more bytes, so slowly that whoever watches is in time on a busy machine too."""
    kept = []
    for _ in range(argument["bytes"] >> 26):
        kept.append(np.ones(1 << 26, np.uint8))
        time.sleep(0.1)
    return {"kept": len(kept)}


def chatter(argument: dict[str, Any]) -> dict[str, Any]:
    """Print what is no answer."""
    sys.stdout.write("{}")
    sys.stderr.write("words\n")
    return argument


def refuse(argument: dict[str, Any]) -> dict[str, Any]:
    """Fail as torch does where memory cannot be had, or otherwise."""
    raise RuntimeError(argument["words"])


def linger(argument: dict[str, Any]) -> dict[str, Any]:
    """Take long."""
    time.sleep(argument["seconds"])
    return {}
