"""`torchio-seg import rtstruct`: from patients in DICOM to a folder of NIfTI that can be trained on.

A patient whose files and ROIs are those of the last import is not read again, and one that fails does not stop the
others.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from torchio_seg.datasets.rtstruct import COLUMNS, MANIFEST, RECORD, how_to_import, require_rois, sibling
from torchio_seg.errors import DataError, TorchioSegError, UsageError
from torchio_seg.files import write_json, write_text
from torchio_seg.progress import Progress, Silent
from torchio_seg.volumes.dicom import SeriesVolume, read_series, scan
from torchio_seg.volumes.nifti import create
from torchio_seg.volumes.rtstruct_masks import rasterise
from torchio_seg.workflows.dicom_patients import Patient, choose_structures, find_patients, series_of

log = logging.getLogger(__name__)

_FORMAT = 1
"""Counts changes of what an import writes, so that what an older version made is made anew."""
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
    if (sibling(root) / RECORD).is_file():
        require_rois(sibling(root), rois)
    done = import_rtstruct(root, sibling(root), rois, progress=progress)
    if done.failures:
        raise DataError(
            f"{len(done.failures)} patients below {root} could not be imported: {'; '.join(done.failures)}. Mend or "
            f"remove them, or train on the {len(done.written) + len(done.kept)} others with --root {done.folder}"
        )
    return done.folder


def import_rtstruct(source: Path, out: Path, rois: Sequence[str], *, progress: Progress | None = None) -> Imported:
    """Write image and label map of every patient; label values count from 1 in the order of the ROIs."""
    _require_rois(rois)
    progress = progress or Silent()
    patients = find_patients(source)
    record = _open_record(out, rois)
    _write_record(out, record)
    done = Imported(out)
    progress.start("patients", len(patients))
    try:
        for patient in patients:
            _import_one(patient, record, rois, done)
            progress.advance()
    finally:
        progress.finish()
    return done


def _import_one(patient: Patient, record: dict[str, Any], rois: Sequence[str], done: Imported) -> None:
    """One patient, whatever becomes of it."""
    fingerprint = patient.fingerprint()
    if _is_done(patient, record, done.folder, fingerprint):
        done.kept.append(patient.id)
        return
    if record["cases"].pop(patient.id, None) is not None:
        _write_record(done.folder, record)
    try:
        facts = _convert(patient, done.folder, rois)
    except TorchioSegError as error:
        done.failures.append(f"{patient.id}: {error}")
        log.error("%s", done.failures[-1])
        for path in _files(done.folder, patient.id):
            path.unlink(missing_ok=True)
        return
    record["cases"][patient.id] = {"fingerprint": fingerprint, **facts}
    _write_record(done.folder, record)
    done.written.append(patient.id)


def _convert(patient: Patient, out: Path, rois: Sequence[str]) -> dict[str, Any]:
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
    _write_case(patient, out, volume, label)
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


def _write_case(patient: Patient, out: Path, volume: SeriesVolume, label: np.ndarray) -> None:
    for path, array in zip(_files(out, patient.id), (volume.array[0], label), strict=True):
        create(path, array, volume.affine, overwrite=True)


def _files(out: Path, case: str) -> tuple[Path, Path]:
    """Image and label map of a patient."""
    return out / "images" / f"{case}.nii.gz", out / "labels" / f"{case}.nii.gz"


def _require_rois(rois: Sequence[str]) -> None:
    folded = [name.strip().casefold() for name in rois]
    if not all(folded) or "background" in folded or len(set(folded)) < len(folded):
        raise UsageError(f"ROIs {', '.join(map(repr, rois))}: each needs a name of its own, and none is 'background'")
    if not 1 <= len(rois) <= _MOST_ROIS:
        raise UsageError(f"{len(rois)} ROIs; name 1 to {_MOST_ROIS} with --roi. --list shows those that there are")


def _open_record(out: Path, rois: Sequence[str]) -> dict[str, Any]:
    """What an earlier import with the same ROIs wrote down, else the beginning of a new record."""
    try:
        for name in ("images", "labels"):
            (out / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {out} cannot be made: {error.strerror}; name another") from error
    labels = {"0": "background", **{str(value): name for value, name in enumerate(rois, start=1)}}
    fresh: dict[str, Any] = {"format": _FORMAT, "labels": labels, "cases": {}}
    try:
        found = json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return fresh
    same = isinstance(found, dict) and all(found.get(key) == fresh[key] for key in ("format", "labels"))
    return found if same and isinstance(found.get("cases"), dict) else fresh


def _is_done(patient: Patient, record: Mapping[str, Any], out: Path, fingerprint: str) -> bool:
    facts = record["cases"].get(patient.id)
    unchanged = isinstance(facts, dict) and facts.get("fingerprint") == fingerprint
    return unchanged and all(path.is_file() for path in _files(out, patient.id))


def _write_record(out: Path, record: Mapping[str, Any]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for case, facts in sorted(record["cases"].items()):
        image, mask = (path.relative_to(out).as_posix() for path in _files(out, case))
        sources = {"ct_folder": facts["ct_folder"], "rtstruct": facts["rtstruct"]}
        writer.writerow({"id": case, **sources, "image": image, "mask": mask})
    write_json(out / RECORD, record)
    write_text(out / MANIFEST, text.getvalue())
