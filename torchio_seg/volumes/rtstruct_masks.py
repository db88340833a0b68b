"""From the contours of a region of interest to its mask on the grid of an image series, slice by slice."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.dicom_grid import LPS_TO_RAS
from torchio_seg.volumes.outlines import enclose
from torchio_seg.volumes.rtstruct import XOR, find_roi
from torchio_seg.volumes.scanline import fill

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from torchio_seg.volumes.dicom_grid import Grid
    from torchio_seg.volumes.geometry import Array
    from torchio_seg.volumes.rtstruct import Contour, Roi, Structures

_log = logging.getLogger(__name__)

_OFF_PLANE = 0.1  # of the distance between slices: how far a contour may leave its plane
_ONE_PLANE = 0.1  # how far apart contours may lie that were drawn on one plane
_OFF_SLICE = 0.1  # how far its plane may lie from a slice before it is said
_BETWEEN = 0.45  # from where no slice is clearly the nearest


@dataclass(frozen=True)
class _Outline:
    """A contour in voxels."""

    points: Array
    """Points x 2, along I and J."""
    plane: float
    """Along K."""
    is_xor: bool
    """Whether what it shares with others of its slice is meant to be left out."""
    place: str
    """How messages call it."""

    @property
    def off(self) -> float:
        """How far it lies from its nearest slice."""
        return abs(self.plane - round(self.plane))


def rasterise(structures: Structures, names: Sequence[str], grid: Grid) -> dict[str, npt.NDArray[np.bool_]]:
    """A mask I J K for each named region: a voxel is in it where its centre lies inside an outline and in no hole."""
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


def _mask(path: Path, roi: Roi, grid: Grid) -> npt.NDArray[np.bool_]:
    where = f"{path}: ROI '{roi.name}'"
    if roi.frame_uid and grid.series.frame_uid and roi.frame_uid != grid.series.frame_uid:
        raise VolumeError(
            f"{where} counts millimetres from another origin than {grid.series.label} (FrameOfReferenceUID "
            f"{roi.frame_uid}, not {grid.series.frame_uid}); the two need a registration first"
        )
    outlines = [_outline(where, contour, grid) for contour in _enclosing(where, roi)]
    by_slice = _place(where, outlines, grid)
    mask = _fill(where, by_slice, grid)
    if not mask.any():
        raise VolumeError(f"{where} holds no voxel centre: it lies beside the image, or between its pixels")
    span = max(by_slice) - min(by_slice) + 1
    if gaps := span - len(by_slice):
        _log.warning(
            "%s: %d of the %d slices from its first to its last have no contour; they stay empty", where, gaps, span
        )
    return mask


def _fill(where: str, by_slice: Mapping[int, Sequence[_Outline]], grid: Grid) -> npt.NDArray[np.bool_]:
    mask = np.zeros(grid.shape, bool)
    crossing = 0
    for index, outlines in by_slice.items():
        points = [outline.points for outline in outlines]
        if any(outline.is_xor for outline in outlines):
            mask[:, :, index] = fill(points, grid.shape[:2])
        else:
            mask[:, :, index], crossed = enclose(points, grid.shape[:2])
            crossing += crossed
    if crossing:
        _log.warning(
            "%s: outlines cross or repeat each other; %d voxels in several are taken as inside", where, crossing
        )
    return mask


def _enclosing(where: str, roi: Roi) -> list[Contour]:
    """Every contour that has an inside, each once, wherever on its outline it begins and whichever way it runs."""
    enclosing = [contour for contour in roi.contours if contour.encloses]
    kinds = ", ".join(f"{count} {kind}" for kind, count in roi.kinds.items())
    if not enclosing:
        raise VolumeError(f"{where} has {kinds or 'no contours'}; a mask needs closed contours (CLOSED_PLANAR)")
    if others := len(roi.contours) - len(enclosing):
        _log.warning("%s: %d of its contours (%s) enclose nothing and are no part of the mask", where, others, kinds)
    once = {np.unique(contour.points + 0.0, axis=0).tobytes(): contour for contour in enclosing}
    if copies := len(enclosing) - len(once):
        _log.warning("%s: %d contours stand in it twice and are taken once", where, copies)
    return list(once.values())


def _outline(where: str, contour: Contour, grid: Grid) -> _Outline:
    """Hold that a contour is flat and lies within the slices of the image, and bring it into voxels."""
    to_voxels = np.linalg.inv(grid.affine)
    voxels = contour.points @ to_voxels[:3, :3].T + to_voxels[:3, 3]
    plane, depth = float(voxels[:, 2].mean()), grid.shape[2]
    middle = np.round(contour.points.mean(axis=0) * LPS_TO_RAS, 2).tolist()
    place = f"the contour around {middle} (DICOM millimetres)"
    if (off := float(np.abs(voxels[:, 2] - plane).max())) > _OFF_PLANE:
        raise VolumeError(f"{where}: {place} leaves its plane by {off:.2f} of a slice; it was drawn on another series")
    if not -0.5 < plane < depth - 0.5:
        beyond = "below the first" if plane < 0 else "above the last"
        raise VolumeError(f"{where}: {place} lies {beyond} of the {depth} slices of {grid.series.label}")
    return _Outline(voxels[:, :2], plane, contour.kind == XOR, place)


def _place(where: str, outlines: Sequence[_Outline], grid: Grid) -> dict[int, list[_Outline]]:
    """The outlines of each slice: those of the plane nearest to it, where contours are closer together than slices."""
    by_slice: dict[int, list[_Outline]] = {}
    for outline in outlines:
        if outline.off <= _BETWEEN:
            by_slice.setdefault(round(outline.plane), []).append(outline)
    _require_neighbours(where, [outline for outline in outlines if outline.off > _BETWEEN], by_slice, grid)
    nearest = {index: _of_one_plane(index, found) for index, found in by_slice.items()}
    taken = [outline for found in nearest.values() for outline in found]
    if between := len(outlines) - len(taken):
        _log.warning("%s: %d contours lie between slices and were left out", where, between)
    if (furthest := max(outline.off for outline in taken)) > _OFF_SLICE:
        _log.warning("%s: contours lie up to %.2f of a slice off; each is taken to its nearest slice", where, furthest)
    return nearest


def _require_neighbours(
    where: str, between: Iterable[_Outline], by_slice: Mapping[int, Sequence[_Outline]], grid: Grid
) -> None:
    """Hold that an outline half-way between two slices is one of many: one of the two has outlines of its own."""
    for outline in between:
        below = int(outline.plane)
        if not {below, below + 1} & set(by_slice):
            raise VolumeError(
                f"{where}: {outline.place} lies half-way between {grid.slices[below].name} and the next slice; it was "
                "drawn on another series"
            )


def _of_one_plane(index: int, outlines: Sequence[_Outline]) -> list[_Outline]:
    """Those that lie on the plane nearest to a slice; of two as near, on the lower."""
    nearest = min(outlines, key=lambda outline: (round(abs(outline.plane - index), 2), outline.plane)).plane
    return [outline for outline in outlines if abs(outline.plane - nearest) <= _ONE_PLANE]
