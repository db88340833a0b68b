"""`python -m torchio_seg` is `torchio-seg`."""

import sys

from torchio_seg.cli import main

if __name__ == "__main__":
    if not sys.flags.safe_path:
        sys.path.pop(0)  # the current folder: own modules are reached through PYTHONPATH, never by lying about
    main()
