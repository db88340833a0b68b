"""Where results go, as the user types it."""

from __future__ import annotations

import os
from pathlib import Path

from torchio_seg.errors import UsageError
from torchio_seg.volumes.names import READ

FILES = (*READ, ".dcm", ".zip", ".yaml", ".yml", ".json", ".png", ".csv", ".onnx", ".ts", ".pt2")
"""What files of results and of volumes end in; folders may have dots in their names too."""


def place(text: str | Path) -> Path:
    """The path; one that ends in a slash is a folder, and one that is named like a file besides is refused."""
    path = Path(text)
    is_folder = str(text).endswith((os.sep, "/"))
    if is_folder and not path.is_dir() and path.name.lower().endswith(FILES):
        raise UsageError(
            f"-o {text} ends in a slash, as a folder does, and is named like a file: type {path} for the file, or a "
            "name without that ending for a folder"
        )
    return path
