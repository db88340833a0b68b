"""`torchio-seg phantom`: a generated data set on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from torchio_seg import components
from torchio_seg.errors import UsageError
from torchio_seg.records import Dataset


def write_phantom(root: Path, options: Mapping[str, Any]) -> Dataset:
    """Generate the phantoms in a folder that is empty or not there yet, and list them."""
    if root.exists() and any(root.iterdir()):
        raise UsageError(f"{root} is not empty; name a new folder")
    try:
        section = components.complete("datasets", {"name": "phantom", **options})
    except ValidationError as error:
        wrong = error.errors()[0]
        raise UsageError(f"{wrong['loc'][0]}: got {wrong['input']!r}; {wrong['msg']}") from error
    dataset: Dataset = components.assemble("datasets", section, root)
    return dataset
