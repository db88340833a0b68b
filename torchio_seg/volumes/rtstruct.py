"""RT structure sets: which regions of interest one holds, and their masks on the grid of an image series."""

from __future__ import annotations

import difflib
import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.dicom_grid import LPS_TO_RAS
from torchio_seg.volumes.dicom_header import STRUCTURES, class_of, read_dataset, understood
from torchio_seg.volumes.scanline import fill

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from torchio_seg.volumes.dicom_grid import Grid
    from torchio_seg.volumes.geometry import Array

_log = logging.getLogger(__name__)

_CLOSED = {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}
_KINDS = _CLOSED | {"POINT", "OPEN_PLANAR", "OPEN_NONPLANAR"}
_OFF_PLANE = 0.1  # of the distance between slices: how far a contour may leave its plane
_OFF_SLICE = 0.1  # how far its plane may lie from a slice before it is said
_BETWEEN = 0.45  # from where no slice is clearly the nearest


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


def list_rois(path: Path) -> tuple[Roi, ...]:
    """The regions of interest of a structure set, in its order."""
    return read_structures(path).rois


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


def rasterise(path: Path, names: Sequence[str], grid: Grid) -> dict[str, npt.NDArray[np.bool_]]:
    """A mask I J K for each named region: a voxel is in it where its centre lies inside an odd number of contours."""
    return rasterise_structures(read_structures(path), names, grid)


def rasterise_structures(structures: Structures, names: Sequence[str], grid: Grid) -> dict[str, npt.NDArray[np.bool_]]:
    """The same for a structure set that is read already."""
    series = grid.series
    if structures.series_uids and series.uid not in structures.series_uids:
        raise VolumeError(
            f"{structures.path}: was drawn on series {', '.join(structures.series_uids)}, not on {series.label} "
            f"({series.uid}); name the series that it belongs to"
        )
    chosen = {name: find_roi(structures, name) for name in names}
    for name, roi in chosen.items():
        if roi.name != name:
            _log.info("%s: ROI '%s' is taken for '%s'", structures.path, roi.name, name)
    return {name: _mask(structures.path, roi, grid) for name, roi in chosen.items()}


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


def _mask(path: Path, roi: Roi, grid: Grid) -> npt.NDArray[np.bool_]:
    """Fill slice by slice."""
    where = f"{path}: ROI '{roi.name}'"
    if roi.frame_uid and grid.series.frame_uid and roi.frame_uid != grid.series.frame_uid:
        raise VolumeError(
            f"{where} counts millimetres from another origin than {grid.series.label} (FrameOfReferenceUID "
            f"{roi.frame_uid}, not {grid.series.frame_uid}); the two need a registration first"
        )
    by_slice = _place(where, _enclosing(where, roi), grid)
    mask = np.zeros(grid.shape, bool)
    for index, polygons in by_slice.items():
        mask[:, :, index] = fill(polygons, grid.shape[:2])
    if not mask.any():
        raise VolumeError(f"{where} holds no voxel centre: it lies beside the image, or between its pixels")
    span = max(by_slice) - min(by_slice) + 1
    if gaps := span - len(by_slice):
        _log.warning(
            "%s: %d of the %d slices from its first to its last have no contour; they stay empty", where, gaps, span
        )
    return mask


def _enclosing(where: str, roi: Roi) -> list[Array]:
    """The points of every contour that has an inside, each once."""
    enclosing = [contour.points for contour in roi.contours if contour.encloses]
    kinds = ", ".join(f"{count} {kind}" for kind, count in roi.kinds.items())
    if not enclosing:
        raise VolumeError(f"{where} has {kinds or 'no contours'}; a mask needs closed contours (CLOSED_PLANAR)")
    if others := len(roi.contours) - len(enclosing):
        _log.warning("%s: %d of its contours (%s) enclose nothing and are no part of the mask", where, others, kinds)
    once = {points.tobytes(): points for points in enclosing}
    if copies := len(enclosing) - len(once):
        _log.warning("%s: %d contours stand in it twice and are taken once", where, copies)
    return list(once.values())


def _place(where: str, contours: list[Array], grid: Grid) -> dict[int, list[Array]]:
    """Contours in voxels along I and J, by the slice that they lie on."""
    to_voxels = np.linalg.inv(grid.affine)
    by_slice: dict[int, list[Array]] = {}
    furthest = 0.0
    for points in contours:
        voxels = points @ to_voxels[:3, :3].T + to_voxels[:3, 3]
        plane = float(voxels[:, 2].mean())
        index = round(plane)
        _require_on_slice(where, voxels[:, 2], points, grid)
        furthest = max(furthest, abs(plane - index))
        by_slice.setdefault(index, []).append(voxels[:, :2])
    if furthest > _OFF_SLICE:
        _log.warning("%s: contours lie up to %.2f of a slice off; each is taken to its nearest slice", where, furthest)
    return by_slice


def _require_on_slice(where: str, heights: Array, points: Array, grid: Grid) -> None:
    """Hold that a contour is flat and lies on a slice of the image."""
    plane, depth = float(heights.mean()), grid.shape[2]
    place = f"the contour around {np.round(points.mean(axis=0) * LPS_TO_RAS, 2).tolist()} (DICOM millimetres)"
    if (off := float(np.abs(heights - plane).max())) > _OFF_PLANE:
        raise VolumeError(f"{where}: {place} leaves its plane by {off:.2f} of a slice; it was drawn on another series")
    if not -0.5 < plane < depth - 0.5:
        beyond = "below the first" if plane < 0 else "above the last"
        raise VolumeError(f"{where}: {place} lies {beyond} of the {depth} slices of {grid.series.label}")
    if (off := abs(plane - round(plane))) > _BETWEEN:
        name = grid.slices[int(plane)].name
        raise VolumeError(
            f"{where}: {place} lies half-way between {name} and the next slice; it was drawn on another series"
        )
