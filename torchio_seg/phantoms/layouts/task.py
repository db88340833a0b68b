"""Tasks of the Medical Segmentation Decathlon: all channels of a case in one file, dataset.json beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchio_seg.files import write_json
from torchio_seg.phantoms.catalogue import KINDS
from torchio_seg.phantoms.layouts.files import DESCRIPTION, numbered, save_image, save_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from torchio_seg.phantoms.cohort import Cohort
    from torchio_seg.phantoms.scanner import Phantom

TASK01_CHANNELS = ("FLAIR", "T1w", "t1gd", "T2w")
TASK01_LABELS = {0: "background", 1: "edema", 2: "non-enhancing tumor", 3: "enhancing tumour"}
"""As Task01_BrainTumour spells them."""


def write_decathlon(folder: Path, cohort: Cohort, patients: Iterable[Phantom]) -> None:
    """A task in our own words."""
    _write_cases(folder, cohort.ids, patients)
    labels = KINDS[cohort.kind].labels
    _describe(folder, f"phantom_{cohort.kind}", cohort.ids, channels=cohort.channel_names, labels=labels)


def write_task01(folder: Path, cohort: Cohort, patients: Iterable[Phantom]) -> None:
    """Task01_BrainTumour."""
    ids = [f"BRATS_{index + 1:03d}" for index in range(cohort.cases)]
    _write_cases(folder, ids, patients)
    _describe(folder, "BRATS", ids, channels=TASK01_CHANNELS, labels=TASK01_LABELS)


def _write_cases(folder: Path, ids: Sequence[str], patients: Iterable[Phantom]) -> None:
    for case, phantom in zip(ids, patients, strict=True):
        save_image(folder / "imagesTr" / f"{case}.nii.gz", phantom)
        save_label(folder / "labelsTr" / f"{case}.nii.gz", phantom)


def _describe(
    folder: Path, name: str, ids: Sequence[str], *, channels: Sequence[str], labels: Mapping[int, str]
) -> None:
    files = [f"{case}.nii.gz" for case in ids]
    content = {
        "name": name,
        "description": DESCRIPTION,
        "tensorImageSize": "4D" if len(channels) > 1 else "3D",
        "modality": numbered(channels),
        "labels": {str(value): label for value, label in labels.items()},
        "numTraining": len(ids),
        "numTest": 0,
        "training": [{"image": f"./imagesTr/{file}", "label": f"./labelsTr/{file}"} for file in files],
        "test": [],
    }
    write_json(folder / "dataset.json", content)
