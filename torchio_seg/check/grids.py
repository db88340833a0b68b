"""Checks of single cases: whether its files belong together and lie on one grid."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from numpy.linalg import det

from torchio_seg.check.finding import Finding
from torchio_seg.volumes.alignment import difference, gap_mm, on_one_grid, turn_onto
from torchio_seg.volumes.geometry import is_sheared, spacing_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torchio_seg.check.known import Known

_ODD_RATIO = 4  # thick and thin slices of one body part stay below 3


def number_of_channels(known: Known) -> Iterator[Finding]:
    """Cases with more or fewer channels than the data set has."""
    expected = known.dataset.channels
    for case in known.dataset.cases:
        found = [known.files.images[path] for path in case.images]
        num_found = sum(facts.num_channels for facts in found)
        if num_found == len(expected) or any(facts.problem is not None for facts in found):
            continue
        reason = f"{num_found} channels in {len(found)} files, {len(expected)} are expected: {', '.join(expected)}"
        cure = "give one file of all channels, or one file for each"
        yield Finding("error", "number-of-channels", reason, cure, case.id, case.images[0])


def single_slices(known: Known) -> Iterator[Finding]:
    """Images of one slice, of which a network for volumes would see little but padding."""
    for case, path, facts in known.sound_images():
        if 1 in facts.shape:
            size = " x ".join(map(str, facts.shape))
            reason = f"a single slice, {size} voxels; a network for volumes needs neighbours"
            cure = "give the whole series as one volume, or take the case out"
            yield Finding("error", "single-slice", reason, cure, case.id, path)


def channels_on_one_grid(known: Known) -> Iterator[Finding]:
    """Cases whose channels do not lie voxel on voxel."""
    for case, path, facts in known.sound_images():
        first = known.files.images[case.images[0]]
        if first.problem is None and not on_one_grid(facts, first):
            reason = f"not on the grid of {case.images[0]}: {difference(facts, first)}"
            if turn_onto(facts, first) is not None:
                reason = f"not on the grid of {case.images[0]}: same place, but stored along other axes"
            cure = "resample the channels of a case to one grid"
            yield Finding("error", "channels-on-one-grid", reason, cure, case.id, path)


def label_on_image(known: Known) -> Iterator[Finding]:
    """Label maps that do not lie voxel on voxel on their image, whichever axis is stored first."""
    for case, path, facts in known.sound_labels():
        image = known.files.images[case.images[0]]
        if image.problem is not None or turn_onto(facts, image) is not None:
            continue
        reason = f"not on the grid of its image {case.images[0]}: {difference(facts, image)}"
        cure = "resample it to the image by nearest neighbour"
        if gap_mm(facts, image):
            cure = "find the label map that was drawn on this image"
        yield Finding("error", "label-on-image", reason, cure, case.id, path)


def odd_voxel_sizes(known: Known) -> Iterator[Finding]:
    """Images whose voxels are many times larger or smaller than those of most, as where a header counts in metres."""
    sizes = {path: abs(det(facts.affine[:3, :3])) ** (1 / 3) for _, path, facts in known.sound_images()}
    usual = median(sizes.values()) if sizes else 0.0
    for case, path, facts in known.sound_images():
        if not usual / _ODD_RATIO < sizes[path] < usual * _ODD_RATIO:
            found = " x ".join(f"{edge:.3g}" for edge in spacing_of(facts.affine))
            reason = f"voxels of {found} mm, in most images their size is about {usual:.3g} mm"
            cure = "correct the header if it counts in another unit; otherwise this case is of another kind"
            yield Finding("warning", "odd-voxel-size", reason, cure, case.id, path)


def sheared_axes(known: Known) -> Iterator[Finding]:
    """Images that have no voxel size, where the experiment changes it."""
    if known.settings.spacing == "native" and known.settings.resize is None:
        return
    for case, path, facts in known.sound_images():
        if is_sheared(facts.affine):
            reason = "its axes are not perpendicular (gantry tilt?), so it has no voxel size to resample to"
            cure = "set preprocessing.spacing=native without resize, or resample it to a straight grid first"
            yield Finding("error", "sheared-axes", reason, cure, case.id, path)


def image_as_label(known: Known) -> Iterator[Finding]:
    """Cases whose label map is their image, or a copy of it."""
    identity = known.files.identity
    for case, path, _ in known.sound_images():
        if case.label is None:
            continue
        if identity(path) == identity(case.label):
            reason = "one file is named as image and as label map"
            yield Finding("error", "image-as-label", reason, "name the label map", case.id, case.label)
        elif (path, case.label) in known.files.copies:
            reason = f"holds the same voxels as the label map {case.label}"
            yield Finding("error", "image-as-label", reason, "find the image that was marked", case.id, path)
