"""What the channels of images are called, held against how many the files have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchio_seg.errors import ConfigError, DataError
from torchio_seg.listings.paths import few
from torchio_seg.volumes.nifti import read_geometry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def name_channels(images: Sequence[tuple[Path, ...]], given: Sequence[str], *, default: str) -> tuple[str, ...]:
    """The names given, or `default` with a number where the files hold several channels; from their headers."""
    if len(set(given)) < len(given) or not all(name.strip() for name in given):
        raise ConfigError(f"channels are {list(given)}; give each a name of its own, as in channels: [FLAIR, T1]")
    counts = {paths: sum(read_geometry(path).num_channels for path in paths) for paths in images}
    expected = len(given) or counts[images[0]]
    if odd := [
        f"{few([path.name for path in paths])}: {count}" for paths, count in counts.items() if count != expected
    ]:
        why = f"channels names {few(list(given))}" if given else f"{images[0][0].name} has {expected}"
        raise DataError(
            f"{len(odd)} of {len(images)} cases do not have {expected} channels ({why}): {few(odd)}. "
            "Name as many as there are, or take these cases out"
        )
    return tuple(given) or ((default,) if expected == 1 else tuple(f"{default} {index}" for index in range(expected)))
