"""Patients as radiotherapy planning stores them, laid out as LCTSC: a CT series and a structure set in DICOM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchio_seg.phantoms.catalogue import KINDS
from torchio_seg.phantoms.layouts.files import part

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torchio_seg.phantoms.cohort import Cohort
    from torchio_seg.phantoms.scanner import Phantom

ROIS = {
    "right lung": "Lung_R",
    "left lung": "Lung_L",
    "heart": "Heart",
    "esophagus": "Esophagus",
    "spinal cord": "SpinalCord",
}
"""As LCTSC names the organs."""


def write_rtstruct(folder: Path, cohort: Cohort, patients: Iterable[Phantom]) -> None:
    """A folder for each patient, whose name says whether it tests."""
    from torchio_seg.phantoms.dicom import write_patient

    names = {value: ROIS[name] for value, name in KINDS[cohort.kind].labels.items() if value}
    for index, phantom in enumerate(patients):
        patient = f"LCTSC-Test-S1-{index + 101}" if part(index) == "test" else f"LCTSC-Train-S1-{index + 1:03d}"
        masks = {name: phantom.label == value for value, name in names.items()}
        write_patient(folder, patient, phantom.image[0], phantom.affine, masks)
