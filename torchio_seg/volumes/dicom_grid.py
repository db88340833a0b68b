"""From the slices of a series to one grid of voxels, or the reason why they make none.

Slices are ordered by their position along the normal of their plane: image numbers and file names say nothing about
where a slice lies. DICOM counts millimetres to the left, the back and the head; affines here count to the right, the
front and the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.errors import VolumeError
from torchio_seg.volumes.dicom_series import told

if TYPE_CHECKING:
    from torchio_seg.volumes.dicom_header import Slice
    from torchio_seg.volumes.dicom_series import Series
    from torchio_seg.volumes.geometry import Affine, Array, Shape

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
_DIRECTION_TOLERANCE = 1e-3  # of a direction cosine
_SPACING_TOLERANCE = 1e-3  # of the pixel spacing
_STEP_TOLERANCE = 0.05  # of the distance between slices: how far one may lie from where it should
_ROUNDING_MM = 0.02  # positions are often written with two decimals
_SIDEWAYS_TOLERANCE = 0.1  # of the pixel spacing, over the whole stack


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a series are: axes I J K run along the rows, down the columns, through the slices."""

    series: Series
    slices: tuple[Slice, ...]
    """In the order of K."""
    shape: Shape
    affine: Affine
    """To millimetres right, front and up."""


def arrange(series: Series) -> Grid:
    """The grid of a series that is one evenly spaced, upright stack of equal slices."""
    if series.no_volume:
        raise VolumeError(f"{series.label} is no volume: {series.no_volume}")
    if series.damaged:
        raise VolumeError(told(f"{series.label} may lack slices", series.damaged))
    _require_alike(series)
    directions = _directions(series)
    positions = np.array([part.position for part in series.slices])
    along = positions @ directions[2]
    order = np.argsort(along, kind="stable")
    slices = tuple(series.slices[index] for index in order)
    step = _require_even(series, slices, along[order])
    spacing = slices[0].spacing or (0.0, 0.0)
    _require_upright(series, slices, positions[order], directions)
    affine = np.eye(4)
    affine[:3, :3] = (directions * np.array([[spacing[1]], [spacing[0]], [step]])).T
    affine[:3, 3] = positions[order[0]]
    affine[:3] *= LPS_TO_RAS[:, None]
    return Grid(series, slices, (slices[0].columns, slices[0].rows, len(slices)), affine)


def _require_alike(series: Series) -> None:
    """Equal matrix, spacing and orientation in every slice."""
    first, *others = [_kind(series, part) for part in series.slices]
    for part, own in zip(series.slices[1:], others, strict=True):
        for what, (tolerance, one) in first.items():
            if (np.abs(one - own[what][1]) > tolerance).any():
                raise VolumeError(
                    f"{series.label}: {series.slices[0].name} has {what} {one.tolist()}, {part.name} has "
                    f"{own[what][1].tolist()}; slices of different kinds are no volume. Keep one kind in the folder"
                )
    if (spacing := first["PixelSpacing"][1]).min() <= 0:
        raise VolumeError(f"{series.label}: PixelSpacing is {spacing.tolist()}; both must be above 0")


def _kind(series: Series, part: Slice) -> dict[str, tuple[Array | float, Array]]:
    """What all slices must have in common, each with the difference that rounding may make."""
    stated = {
        "PixelSpacing": part.spacing,
        "ImageOrientationPatient": part.orientation,
        "ImagePositionPatient": part.position,
    }
    if missing := [name for name, value in stated.items() if value is None]:
        raise VolumeError(f"{series.label}: {part.name} lacks {' and '.join(missing)}; its place is not known")
    spacing = np.array(part.spacing)
    return {
        "matrix": (0, np.array((part.rows, part.columns))),
        "PixelSpacing": (_SPACING_TOLERANCE * spacing, spacing),
        "ImageOrientationPatient": (_DIRECTION_TOLERANCE, np.array(part.orientation)),
    }


def _directions(series: Series) -> Array:
    """Unit vectors, one a row: along the rows of the images, down their columns, and the normal."""
    row, column = np.array(series.slices[0].orientation).reshape(2, 3)
    lengths = np.linalg.norm([row, column], axis=1)
    if np.abs(lengths - 1).max() > _DIRECTION_TOLERANCE or abs(row @ column) > _DIRECTION_TOLERANCE:
        raise VolumeError(
            f"{series.label}: ImageOrientationPatient {list(series.slices[0].orientation or ())} is no pair of "
            "perpendicular unit vectors; export the series again"
        )
    row, normal = row / lengths[0], np.cross(row, column)
    normal /= np.linalg.norm(normal)
    return np.array([row, np.cross(normal, row), normal])


def _require_even(series: Series, slices: tuple[Slice, ...], along: Array) -> float:
    """The distance between slices, which must be the same from each to the next."""
    steps = np.diff(along)
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])
    if (repeated := np.flatnonzero(steps <= max(_ROUNDING_MM / 2, 1e-3 * usual))).size:
        at = int(repeated[0])
        raise VolumeError(
            f"{series.label}: {slices[at].name} and {slices[at + 1].name} lie at one position ({along[at]:.2f} mm "
            f"along the normal), {repeated.size} such pairs in {len(slices)} images; there are several volumes in it "
            "(time points, echoes) or copies of an image. Keep one in the folder"
        )
    step = float(along[-1] - along[0]) / (len(slices) - 1)
    off = np.abs(along - (along[0] + step * np.arange(len(slices)))).max()
    if off > max(_ROUNDING_MM, _STEP_TOLERANCE * usual):
        at = int(np.abs(steps - usual).argmax())
        lost = round(float(steps[at]) / usual) - 1
        what = f"{lost} slice{'s are' if lost > 1 else ' is'} missing" if lost > 0 else "the slices are uneven"
        raise VolumeError(
            f"{series.label}: {what} between {slices[at].name} ({along[at]:.2f} mm along the normal) and "
            f"{slices[at + 1].name} ({along[at + 1]:.2f} mm): {steps[at]:.2f} mm apart, where {usual:.2f} mm is usual. "
            "Copy the series again, or resample it before use"
        )
    return step


def _require_upright(series: Series, slices: tuple[Slice, ...], positions: Array, directions: Array) -> None:
    """Hold that slices lie straight above each other."""
    offsets = positions - positions[0]
    sideways = np.abs(offsets @ directions[:2].T)
    if sideways.max() > _SIDEWAYS_TOLERANCE * min(slices[0].spacing or (0.0,)):
        shift, height = float(np.linalg.norm(sideways[-1])), float(offsets[-1] @ directions[2])
        farthest = slices[int(sideways.max(axis=1).argmax())]
        raise VolumeError(
            f"{series.label}: the slices are shifted sideways, by {sideways.max():.2f} mm from {slices[0].name} to "
            f"{farthest.name}; the stack is sheared by {np.degrees(np.arctan2(shift, height)):.1f} degrees, as with a "
            "tilted gantry. Correct the tilt (dcm2niix does) and use the NIfTI file"
        )
