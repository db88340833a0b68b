"""What the layouts share: a folder that is complete or absent, files in it, and who trains."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torchio_seg.phantoms.scanner import Phantom

DESCRIPTION = "made-up patients; no person was scanned"
MOST_FOLDS = 5
_PARTS = ("training", "training", "validation", "test", "training", "training")
"""Of every six cases. The last of six brains has no lesion, so it is not among those that are scored."""


@contextmanager
def whole(root: Path) -> Iterator[Path]:
    """A new folder beside `root` that gets its name in the end; whatever interrupts its filling leaves no `root`."""
    root = Path(root).resolve()
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{root.name}.", dir=root.parent) as scratch:
            folder = Path(scratch) / root.name
            folder.mkdir()
            yield folder
            if root.exists():
                root.rmdir()
            folder.rename(root)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{root}: the phantom cannot be written ({reason}); free space or give another root") from error


def save_image(path: Path, phantom: Phantom) -> None:
    """All channels in one file."""
    _save(path, phantom.image if len(phantom.image) > 1 else phantom.image[0], phantom)


def save_channels(paths: Sequence[Path], phantom: Phantom) -> None:
    """A file for each channel."""
    for path, channel in zip(paths, phantom.image, strict=True):
        _save(path, channel, phantom)


def save_label(path: Path, phantom: Phantom, numbers: Mapping[int, int] | None = None) -> None:
    """The label map, its values replaced where the layout has other `numbers`."""
    table = np.arange(256, dtype=np.uint8)
    for drawn, written in (numbers or {}).items():
        table[drawn] = written
    _save(path, table[phantom.label], phantom)


def numbered(names: Sequence[str]) -> dict[str, str]:
    """Names by their place, as JSON lists channels and labels."""
    return {str(number): name for number, name in enumerate(names)}


def words(name: str) -> str:
    """The name of a channel as a part of a file's name."""
    return name.lower().replace(" ", "_")


def part(index: int) -> str:
    """Whether a case trains, validates or tests; the same however many cases there are."""
    return _PARTS[index % len(_PARTS)]


def fold(index: int, num_cases: int) -> int:
    """In which of at most five folds a case validates; one case alone has none."""
    return index % min(MOST_FOLDS, num_cases)


def _save(path: Path, array: np.ndarray, phantom: Phantom) -> None:
    from torchio_seg.volumes.nifti import create

    path.parent.mkdir(parents=True, exist_ok=True)
    create(path, array, phantom.affine)
