"""`torchio-seg import rtstruct --list`: which ROIs there are, in how many patients, and a picture of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from torchio_seg.errors import DataError, TorchioSegError, UsageError
from torchio_seg.progress import Progress, Silent
from torchio_seg.reports.rois import draw_rois
from torchio_seg.volumes.dicom import Contents, Grid, read_series, scan
from torchio_seg.volumes.rtstruct import Structures, read_structures
from torchio_seg.volumes.rtstruct_masks import rasterise
from torchio_seg.workflows.dicom_patients import Patient, find_patients, series_of

log = logging.getLogger(__name__)


@dataclass
class RoiCount:
    """How often a name occurs."""

    name: str
    patients: int = 0
    contours: list[int] = field(default_factory=list)
    """How many there are in each patient that has any."""
    not_closed: int = 0
    """Patients in which it has points or open contours."""


@dataclass
class Survey:
    """The ROIs below a folder."""

    num_patients: int
    rois: dict[str, RoiCount] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    pictured: str = ""
    """The patient on the picture; empty where none could be drawn."""
    picture: bytes = b""
    """Its ROIs, as a PNG."""


def require_free(picture: Path, *, overwrite: bool) -> None:
    """Hold that a picture can be written here, before minutes are spent on it."""
    if picture.suffix.lower() != ".png":
        raise UsageError(f"{picture}: the picture is a PNG; give a name that ends in .png")
    if not picture.parent.is_dir():
        raise UsageError(f"{picture}: there is no folder {picture.parent}; make it, or name another with --picture")
    if picture.exists() and not overwrite:
        raise UsageError(f"{picture} is there already; name another file with --picture, or add --overwrite")


def survey(source: Path, *, progress: Progress | None = None) -> Survey:
    """Count the ROIs of all patients, and draw those of the first that can be drawn."""
    progress = progress or Silent()
    patients = find_patients(source)
    found = Survey(len(patients))
    progress.start("patients", len(patients))
    try:
        for patient in patients:
            try:
                contents, sets = _read(patient)
                _count(sets, found.rois)
                if not found.pictured and (drawn := _draw(patient, contents, sets)):
                    found.pictured, found.picture = patient.id, drawn
            except TorchioSegError as error:
                found.failures.append(f"{patient.id}: {error}")
                log.error("%s", found.failures[-1])
            progress.advance()
    finally:
        progress.finish()
    return found


def _read(patient: Patient) -> tuple[Contents, list[Structures]]:
    contents = scan(patient.folder)
    if not contents.structures:
        raise DataError("; ".join(["no RTSTRUCT file", *contents.damaged]))
    return contents, [read_structures(path) for path in contents.structures]


def _count(sets: list[Structures], rois: dict[str, RoiCount]) -> None:
    """Add a patient's ROIs, each name once."""
    by_name = {roi.name: roi for structures in sets for roi in structures.rois}
    for name, roi in by_name.items():
        row = rois.setdefault(name, RoiCount(name))
        row.patients += 1
        if roi.contours:
            row.contours.append(len(roi.contours))
            row.not_closed += not roi.is_closed


def _draw(patient: Patient, contents: Contents, sets: list[Structures]) -> bytes:
    """The picture of a patient's first structure set that fits its images; empty where none does."""
    for structures in sets:
        try:
            volume = read_series(series_of(structures, contents))
        except TorchioSegError as error:
            log.info("%s is not drawn: %s", patient.id, error)
            continue
        masks = dict(_masks(structures, volume.grid))
        if masks:
            return draw_rois(volume.array[0], volume.affine, masks, title=f"ROIs of {patient.id}")
    return b""


def _masks(structures: Structures, grid: Grid) -> Iterator[tuple[str, np.ndarray]]:
    """Those of the ROIs that become masks; the others are named."""
    for roi in structures.rois:
        try:
            yield roi.name, rasterise(structures, [roi.name], grid)[roi.name]
        except TorchioSegError as error:
            log.info("not drawn: %s", error)
