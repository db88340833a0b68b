"""`torchio-seg import rtstruct`: from patients in DICOM to a folder of NIfTI that can be trained on.

A patient whose files and ROIs are those of the last import is not read again, and one that fails does not stop the
others.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from torchio_seg.datasets.rtstruct import MANIFEST, RECORD, how_to_import, sibling
from torchio_seg.errors import DataError, TorchioSegError, UsageError
from torchio_seg.listings.paths import few
from torchio_seg.lock import only_here
from torchio_seg.progress import Progress, Silent
from torchio_seg.volumes.dicom import read_series, scan
from torchio_seg.volumes.nifti import create
from torchio_seg.volumes.rtstruct_masks import rasterise
from torchio_seg.workflows.dicom_patients import Patient, choose_structures, find_patients, series_of
from torchio_seg.workflows.importing_record import Record, make_folders, open_record

log = logging.getLogger(__name__)

_MOST_ROIS = 255

Masks = Mapping[str, np.ndarray]


@dataclass
class Imported:
    """What an import did, in patients' ids."""

    folder: Path
    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Were there already, from the same files with the same ROIs."""
    failures: list[str] = field(default_factory=list)
    """A sentence for each patient that could not be imported."""


def prepare_root(root: Path, rois: Sequence[str], progress: Progress | None = None) -> Path:
    """The folder to train from: the root where it was imported already, else its import beside it, made once."""
    root = Path(root)
    if (root / MANIFEST).is_file():
        return root
    if not rois:
        raise DataError(
            f"{root} has no {MANIFEST}; if it holds DICOM, name the ROIs to train on "
            f"(--set dataset.rois='[NAME, ...]'), or {how_to_import(root, rois)}"
        )
    done = import_rtstruct(root, sibling(root), rois, progress=progress)
    if done.failures:
        others = len(done.written) + len(done.kept)
        without = f", or train on the {others} others with --root {done.folder}" if others else ""
        raise DataError(
            f"{len(done.failures)} patients below {root} could not be imported: {'; '.join(done.failures)}. Mend or "
            f"remove them{without}"
        )
    return done.folder


def import_rtstruct(source: Path, out: Path, rois: Sequence[str], *, progress: Progress | None = None) -> Imported:
    """Write image and label map of every patient; label values count from 1 in the order of the ROIs."""
    _require_rois(rois)
    patients = find_patients(source)
    make_folders(out)
    with only_here(out / RECORD):
        record = open_record(source, out, rois)
        if gone := record.drop_others([patient.id for patient in patients]):
            log.warning("%s: no longer below %s, so their files were removed: %s", out, source, few(gone))
        done = _import_all(patients, record, rois, progress or Silent())
        record.complete = True
        record.write()
        if not record.cases:
            record.remove()
    if not record.cases:
        with contextlib.suppress(OSError):  # what somebody else put there stays
            out.rmdir()
    return done


def _import_all(patients: Sequence[Patient], record: Record, rois: Sequence[str], progress: Progress) -> Imported:
    done = Imported(record.folder)
    progress.start("patients", len(patients))
    try:
        for patient in patients:
            _import_one(patient, record, rois, done)
            progress.advance()
    finally:
        progress.finish()
    return done


def _import_one(patient: Patient, record: Record, rois: Sequence[str], done: Imported) -> None:
    """One patient, whatever becomes of it."""
    fingerprint = patient.fingerprint()
    if record.is_done(patient.id, fingerprint):
        done.kept.append(patient.id)
        return
    if record.cases.pop(patient.id, None) is not None:
        record.write()
    try:
        facts = _convert(patient, record, rois)
    except TorchioSegError as error:
        done.failures.append(f"{patient.id}: {error}")
        log.error("%s", done.failures[-1])
        record.failures[patient.id] = str(error)
        record.remove_files(patient.id)
    else:
        record.cases[patient.id] = {"fingerprint": fingerprint, **facts}
        done.written.append(patient.id)
    record.write()


def _convert(patient: Patient, record: Record, rois: Sequence[str]) -> dict[str, Any]:
    """Read a patient's images and ROIs, write them, and tell what they were."""
    contents = scan(patient.folder)
    structures = choose_structures(contents, rois)
    volume = read_series(series_of(structures, contents))
    masks = rasterise(structures, rois, volume.grid)
    label, overlaps = merge(masks)
    for name, count in overlaps.items():
        log.warning(
            "%s: %d voxels of ROI '%s' lie in ROIs named before it; they become '%s'", patient.id, count, name, name
        )
    if lost := [name for value, name in enumerate(masks, start=1) if not (label == value).any()]:
        raise DataError(f"nothing is left of {', '.join(lost)} beside the ROIs named after; name outer ROIs first")
    for path, array in zip(record.files(patient.id), (volume.array[0], label), strict=True):
        create(path, array, volume.affine, overwrite=True)
    return {
        "modality": volume.grid.series.modality,
        "ct_folder": str(volume.grid.series.folder.resolve()),
        "rtstruct": str(structures.path.resolve()),
        "overlapping_voxels": overlaps,
    }


def merge(masks: Masks) -> tuple[np.ndarray, dict[str, int]]:
    """One label map of all masks, later over earlier, and how many voxels each took from earlier ones."""
    label = np.zeros(next(iter(masks.values())).shape, np.uint8)
    overlaps = {}
    for value, (name, mask) in enumerate(masks.items(), start=1):
        if count := int(np.count_nonzero(label[mask])):
            overlaps[name] = count
        label[mask] = value
    return label, overlaps


def _require_rois(rois: Sequence[str]) -> None:
    folded = [name.strip().casefold() for name in rois]
    if not all(folded) or "background" in folded or len(set(folded)) < len(folded):
        raise UsageError(f"ROIs {', '.join(map(repr, rois))}: each needs a name of its own, and none is 'background'")
    if not 1 <= len(rois) <= _MOST_ROIS:
        raise UsageError(f"{len(rois)} ROIs; name 1 to {_MOST_ROIS} with --roi. --list shows those that there are")
