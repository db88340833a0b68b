"""Cases of the BraTS challenges: a folder a case, a file for each sequence and one for the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torchio_seg.phantoms.layouts.files import save_channels, save_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from torchio_seg.phantoms.cohort import Cohort
    from torchio_seg.phantoms.scanner import Phantom


@dataclass(frozen=True)
class Challenge:
    """How one year hands out its cases."""

    folders: tuple[str, ...]
    """Where the cases lie, taken in turn; {:03d} and the like is the number of the case."""
    sequences: tuple[str, ...]
    """What follows the case in the names of FLAIR, T1, T1 with contrast and T2."""
    label: str
    values: Mapping[int, int]
    """What is written for oedema (drawn as 1), non-enhancing (2) and enhancing tumour (3)."""

    def write(self, folder: Path, cohort: Cohort, patients: Iterable[Phantom]) -> None:
        """Write every case with its label map."""
        for index, phantom in zip(range(cohort.cases), patients, strict=True):
            case = folder / self.folders[index % len(self.folders)].format(index)
            names = [f"{case.name}{ending}.nii.gz" for ending in self.sequences]
            save_channels([case / name for name in names], phantom)
            save_label(case / f"{case.name}{self.label}.nii.gz", phantom, self.values)


_UNTIL_2021 = ("_flair", "_t1", "_t1ce", "_t2")
BRATS2018 = Challenge(("HGG/Brats18_2013_{:d}_1", "LGG/Brats18_2013_{:d}_1"), _UNTIL_2021, "_seg", {1: 2, 2: 1, 3: 4})
BRATS2021 = Challenge(("BraTS2021_{:05d}",), _UNTIL_2021, "_seg", {1: 2, 2: 1, 3: 4})
BRATS2023 = Challenge(("BraTS-GLI-{:05d}-000",), ("-t2f", "-t1n", "-t1c", "-t2w"), "-seg", {1: 2, 2: 1, 3: 3})
