"""All checks, in the order in which their findings are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchio_seg.check import grids, together, voxels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torchio_seg.check.finding import Finding
    from torchio_seg.check.known import Known

CHECKS: tuple[Callable[[Known], Iterator[Finding]], ...] = (
    together.repeated_ids,
    together.colliding_names,
    voxels.unreadable_files,
    voxels.nonfinite_voxels,
    voxels.constant_channels,
    grids.single_slices,
    grids.number_of_channels,
    grids.channels_on_one_grid,
    grids.image_as_label,
    grids.label_on_image,
    grids.sheared_axes,
    grids.odd_voxel_sizes,
    voxels.undeclared_values,
    voxels.rounded_labels,
    voxels.empty_labels,
    together.absent_regions,
    together.repeated_images,
    together.repeated_labels,
    together.divided_groups,
)


def run_checks(known: Known) -> tuple[Finding, ...]:
    """Everything that is wrong, errors first."""
    findings = [finding for check in CHECKS for finding in check(known)]
    return tuple(sorted(findings, key=lambda finding: finding.severity))
