"""Print the constraints to install with: the tested versions, but the torch that this Python already has.

usage: python tools/constraints.py constraints.txt
"""

import importlib.metadata
import re
import sys
from pathlib import Path

OLDEST = (2, 10)


def installed_torch() -> str | None:
    """The version of the torch in this environment, if it is new enough to be kept."""
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    return version if numbers >= OLDEST else None


def main() -> None:
    """Copy the constraints to stdout, the line of torch replaced where one is kept."""
    kept = installed_torch()
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        print(f"torch=={kept}" if kept and re.match(r"torch\b\s*==", line) else line)


if __name__ == "__main__":
    main()
