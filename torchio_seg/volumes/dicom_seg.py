"""A label map as a DICOM segmentation: written with highdicom, read back with pydicom alone, frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from torchio_seg.errors import UsageError, VolumeError
from torchio_seg.volumes.dicom_output import (
    LONGEST,
    MANUFACTURER,
    as_it_is,
    as_text,
    new_uid,
    read_sources,
    series_number,
    write_checked,
)
from torchio_seg.volumes.geometry import spacing_of
from torchio_seg.volumes.together import at_once

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from torchio_seg.volumes.coding import Code
    from torchio_seg.volumes.dicom_output import Algorithm, Findings, Segment
    from torchio_seg.volumes.geometry import Array
    from torchio_seg.volumes.together import Naming

_SERIES = 1000
_ARTIFICIAL_INTELLIGENCE = ("123110", "DCM", "Artificial Intelligence")


def import_highdicom() -> ModuleType:
    """The library that writes DICOM segmentations, which an extra brings."""
    try:
        import highdicom
    except ModuleNotFoundError as error:
        raise UsageError(
            "DICOM segmentations need highdicom, which is not installed; pip install 'torchio-seg[dicom]'"
        ) from error
    return highdicom


def write_seg(path: Path, findings: Findings, *, overwrite: bool = False, naming: Naming = at_once) -> None:
    """Write what was found as a binary segmentation of the series: a segment for each class that has a voxel.

    Where nothing was found, every class is a segment, whose one frame is empty.
    """
    with as_it_is():
        made = _make(findings)
        write_checked(path, made, lambda read: _require_equal(read, findings), overwrite=overwrite, naming=naming)


def _make(findings: Findings) -> Any:
    highdicom = import_highdicom()
    grid = findings.grid
    sources = read_sources(grid)
    is_empty = not findings.label_map.any()
    pixels = _pixels(findings)
    for source in sources:
        source.setdefault("SliceThickness", spacing_of(grid.affine)[2])  # which highdicom asks for, and then overrides
    if len(sources) > 1 and is_empty:
        sources, pixels = sources[:1], pixels[:1]
    try:
        return highdicom.seg.Segmentation(
            source_images=sources,
            pixel_array=pixels,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_describe(number, segment, findings) for number, segment in _numbered(findings)],
            series_instance_uid=new_uid(),
            series_number=series_number(grid, _SERIES),
            sop_instance_uid=new_uid(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MANUFACTURER,
            software_versions=findings.algorithm.version,
            device_serial_number=findings.algorithm.sha256[:LONGEST] or "none",
            content_label="TORCHIO_SEG",
            content_description=as_text(str(findings.algorithm)),
            series_description=as_text(f"torchio-seg {findings.algorithm.model}"),
            pixel_measures=_measures(findings),
            omit_empty_frames=not is_empty,
            specific_character_set="ISO_IR 192",
        )
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise VolumeError(
            f"{grid.series.label}: no DICOM segmentation can be made that refers to it ({error}); write NIfTI"
        ) from error


def _numbered(findings: Findings) -> Iterator[tuple[int, Segment]]:
    return enumerate(findings.present, start=1)


def _pixels(findings: Findings) -> Array:
    """The frames in the order of the source's: numbers of segments, or a channel for each where some overlap."""
    planes = findings.label_map.transpose(2, 1, 0)
    segments = findings.present
    owned = [label for segment in segments for label in segment.region.labels]
    if len(owned) == len(set(owned)):
        table = np.zeros(max(int(planes.max()), *owned) + 1, np.min_scalar_type(len(segments)))
        for number, segment in _numbered(findings):
            table[list(segment.region.labels)] = number
        numbers = table[planes]
    else:
        numbers = np.stack([np.isin(planes, segment.region.labels) for segment in segments], axis=-1).astype(np.uint8)
    frames = np.array([part.frame for part in findings.grid.slices])
    return numbers[np.argsort(frames, kind="stable")] if frames.any() else numbers


def _measures(findings: Findings) -> Any:
    """The distances between pixels and between slices, the latter from where they lie."""
    first, step = findings.grid.slices[0], round(spacing_of(findings.grid.affine)[2], 6)
    return import_highdicom().PixelMeasuresSequence(
        pixel_spacing=first.spacing, slice_thickness=step, spacing_between_slices=step
    )


def _describe(number: int, segment: Segment, findings: Findings) -> Any:
    highdicom = import_highdicom()
    coding = segment.coding
    made = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.label,
        segmented_property_category=_concept(coding.category),
        segmented_property_type=_concept(coding.type),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=_identify(findings.algorithm),
        tracking_uid=new_uid(),
        tracking_id=segment.label,
        anatomic_regions=[_concept(coding.region)] if coding.region else None,
        display_color=highdicom.color.CIELabColor.from_rgb(*segment.color),
    )
    if coding.side:
        made.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [_concept(coding.side)]
    return made


def _identify(algorithm: Algorithm) -> Any:
    highdicom = import_highdicom()
    return highdicom.AlgorithmIdentificationSequence(
        name=MANUFACTURER,
        family=highdicom.sr.CodedConcept(*_ARTIFICIAL_INTELLIGENCE),
        version=algorithm.version,
        parameters={"model": as_text(algorithm.model), "sha256": algorithm.sha256},
    )


def _concept(code: Code) -> Any:
    return import_highdicom().sr.CodedConcept(code.value, code.scheme, code.meaning)


def _require_equal(read: Any, findings: Findings) -> None:
    """Hold that the frames of a file, each at the place that it states, are the label map, and that none is lacking."""
    by_number = dict(_numbered(findings))
    found = {int(item.SegmentNumber): str(item.SegmentLabel) for item in read.SegmentSequence}
    if found != {number: segment.label for number, segment in by_number.items()}:
        raise VolumeError(f"its segments are {found}")
    seen: dict[int, set[int]] = {number: set() for number in by_number}
    for frame, group in enumerate(read.PerFrameFunctionalGroupsSequence):
        number = int(_of_frame(read, group, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        index = findings.slice_at(_of_frame(read, group, "PlanePositionSequence").ImagePositionPatient)
        if not np.array_equal(_bits(read, frame).T, findings.plane(by_number[number], index)):
            raise VolumeError(f"frame {frame + 1} differs from '{by_number[number].label}' in slice {index}")
        seen[number].add(index)
    for number, segment in by_number.items():
        if missing := set(findings.slices_of(segment)) - seen[number]:
            raise VolumeError(f"'{segment.label}' lacks slices {sorted(missing)[:5]}")


def _of_frame(read: Any, group: Any, keyword: str) -> Any:
    """What is said of a frame, by itself or, where it is the same for all, of all."""
    return (group if keyword in group else read.SharedFunctionalGroupsSequence[0])[keyword].value[0]


def _bits(read: Any, frame: int) -> NDArray[np.bool_]:
    """One frame, whose first pixel is the lowest bit of a byte, and need not begin one."""
    size = read.Rows * read.Columns
    first, last = frame * size, (frame + 1) * size
    stored = np.frombuffer(read.PixelData, np.uint8, offset=first // 8, count=-(-last // 8) - first // 8)
    bits = np.unpackbits(stored, bitorder="little")[first % 8 :][:size]
    return bits.reshape(read.Rows, read.Columns).astype(bool)
