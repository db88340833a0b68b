"""`torchio-seg phantom`: a generated data set on disk, in any layout that can be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchio_seg.datasets import phantom
from torchio_seg.errors import UsageError
from torchio_seg.phantoms.cohort import Cohort, choose
from torchio_seg.phantoms.layouts.catalogue import find_layout, require_channels, write_layout
from torchio_seg.progress import Progress, Silent


@dataclass(frozen=True)
class Drawn:
    """What was written, and the shipped experiment that reads it."""

    cohort: Cohort
    experiment: str
    is_few: bool
    """Whether the experiment would keep all of them from training."""


def write_phantom(
    root: Path, layout: str, kind: str | None, numbers: Mapping[str, Any], *, progress: Progress | None = None
) -> Drawn:
    """Generate patients in a folder that is empty or not there yet; `numbers`: how many, how large."""
    chosen, kind = find_layout(layout, kind)
    given = {name: value for name, value in numbers.items() if value is not None}
    require_channels(layout, kind, given.get("channels"))
    cohort = choose(kind, **given)
    if root.is_file() or (root.exists() and any(root.iterdir())):
        raise UsageError(f"{root} is not empty; name a new folder")
    progress = progress or Silent()
    progress.start("patients", cohort.cases)
    try:
        if layout == "decathlon":  # with its record, so that the data set `phantom` knows the folder again
            phantom.write(root, cohort, report=lambda *_: progress.advance())
        else:
            write_layout(root, layout, cohort, report=lambda *_: progress.advance())
    finally:
        progress.finish()
    return Drawn(cohort, chosen.experiment, is_few=cohort.cases <= chosen.num_kept)
