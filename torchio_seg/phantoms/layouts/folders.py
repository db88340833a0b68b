"""Images and label maps in folders, without any list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchio_seg.phantoms.layouts.files import part, save_image, save_label

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torchio_seg.phantoms.cohort import Cohort
    from torchio_seg.phantoms.scanner import Phantom

MODES = {"training": "train", "validation": "val", "test": "test"}


def write_folders(folder: Path, cohort: Cohort, patients: Iterable[Phantom]) -> None:
    """`images` and `labels`, with the same names in both."""
    for case, phantom in zip(cohort.ids, patients, strict=True):
        save_image(folder / "images" / f"{case}.nii.gz", phantom)
        save_label(folder / "labels" / f"{case}.nii.gz", phantom)


def write_modes(folder: Path, cohort: Cohort, patients: Iterable[Phantom]) -> None:
    """A folder for each part of the division, with `Img` and `Mask` in it."""
    for index, (case, phantom) in enumerate(zip(cohort.ids, patients, strict=True)):
        mode = folder / MODES[part(index)]
        save_image(mode / "Img" / f"{case}.nii.gz", phantom)
        save_label(mode / "Mask" / f"{case}.nii.gz", phantom)
