"""How many processors this process may use."""

from __future__ import annotations

import os


def available() -> int:
    """Those of the machine, or the share of them that a scheduler has given."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
