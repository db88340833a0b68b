"""RT structure sets: which regions of interest one holds, and the contours of each."""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.dicom_grid import LPS_TO_RAS
from torchio_seg.volumes.dicom_header import STRUCTURES, class_of, read_dataset, understood

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torchio_seg.volumes.geometry import Array

XOR = "CLOSEDPLANAR_XOR"
"""The kind of contour whose common part with others of its plane is left out."""
_CLOSED = {"CLOSED_PLANAR", XOR}
_KINDS = _CLOSED | {"POINT", "OPEN_PLANAR", "OPEN_NONPLANAR"}


@dataclass(frozen=True)
class Contour:
    """One outline, or points that are none."""

    kind: str
    """As DICOM calls it: CLOSED_PLANAR, POINT, OPEN_PLANAR ..."""
    points: Array
    """Points x 3, in millimetres right, front and up."""

    @property
    def encloses(self) -> bool:
        """Whether it has an inside."""
        return self.kind in _CLOSED and len(self.points) >= 3


@dataclass(frozen=True)
class Roi:
    """A region of interest as it was drawn."""

    name: str
    number: int
    frame_uid: str
    contours: tuple[Contour, ...]

    @property
    def kinds(self) -> Mapping[str, int]:
        """How many contours there are of each kind."""
        return Counter(contour.kind for contour in self.contours)

    @property
    def is_closed(self) -> bool:
        """Whether it can become a mask: it has contours, and all enclose something."""
        return bool(self.contours) and all(contour.encloses for contour in self.contours)


@dataclass(frozen=True)
class Structures:
    """What a structure set says."""

    path: Path
    series_uids: tuple[str, ...]
    """Series that it was drawn on; empty where it does not say."""
    rois: tuple[Roi, ...]


def read_structures(path: Path) -> Structures:
    """Read a structure set whole."""
    dataset = read_dataset(path)
    with understood(path):
        if class_of(dataset) != STRUCTURES:
            modality = dataset.get("Modality", "of no modality")
            raise VolumeError(f"{path}: is no RTSTRUCT but {modality}; name another file")
        drawn = {int(item.ReferencedROINumber): item for item in dataset.get("ROIContourSequence") or []}
        rois = tuple(_roi(item, drawn) for item in dataset.get("StructureSetROISequence") or [])
        return Structures(path, _referenced_series(dataset), rois)


def find_roi(structures: Structures, name: str) -> Roi:
    """The region of this name; where none is, the only one that differs in upper and lower case alone."""
    alike = [roi for roi in structures.rois if roi.name.strip().casefold() == name.strip().casefold()]
    exact = [roi for roi in alike if roi.name == name]
    if len(exact or alike) == 1:
        return (exact or alike)[0]
    names = ", ".join(roi.name for roi in structures.rois) or "none"
    if alike:
        raise VolumeError(f"{structures.path}: {len(exact or alike)} ROIs match '{name}'; it holds {names}")
    near = difflib.get_close_matches(name, [roi.name for roi in structures.rois], 1)
    hint = f", did you mean '{near[0]}'?" if near else ""
    raise VolumeError(f"{structures.path}: has no ROI '{name}'{hint} (it holds {names})")


def _referenced_series(dataset: Any) -> tuple[str, ...]:
    return tuple(
        str(series.SeriesInstanceUID)
        for frame in dataset.get("ReferencedFrameOfReferenceSequence") or []
        for study in frame.get("RTReferencedStudySequence") or []
        for series in study.get("RTReferencedSeriesSequence") or []
    )


def _roi(item: Any, drawn: Mapping[int, Any]) -> Roi:
    number, name = int(item.ROINumber), str(item.get("ROIName") or "")
    contours = drawn[number].get("ContourSequence") or [] if number in drawn else []
    frame = str(item.get("ReferencedFrameOfReferenceUID") or "")
    return Roi(name, number, frame, tuple(_contour(name, contour) for contour in contours))


def _contour(name: str, contour: Any) -> Contour:
    numbers = np.array(contour.get("ContourData") or [], np.float64)
    if numbers.size % 3 or not np.isfinite(numbers).all():
        raise ValueError(f"a contour of '{name}' has {numbers.size} coordinates; three finite ones a point are needed")
    stated = contour.get("NumberOfContourPoints")
    if stated is not None and int(stated) != numbers.size // 3:
        raise ValueError(f"a contour of '{name}' states {stated} points and has {numbers.size // 3}")
    kind = str(contour.get("ContourGeometricType"))
    if kind not in _KINDS:
        raise ValueError(f"a contour of '{name}' is of type {kind}; allowed are {', '.join(sorted(_KINDS))}")
    return Contour(kind, numbers.reshape(-1, 3) * LPS_TO_RAS)
