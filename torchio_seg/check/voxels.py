"""Checks of single files: whether they can be read, and what their voxels are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchio_seg.check.finding import Finding
from torchio_seg.volumes.reading import not_finite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torchio_seg.check.known import Known
    from torchio_seg.records import Case


def unreadable_files(known: Known) -> Iterator[Finding]:
    """Files that the strict reader refuses, each once, in its own words."""
    seen: set[tuple[str, Path]] = set()
    for case in known.dataset.cases:
        roles = [("image", path, known.files.images[path]) for path in case.images]
        if case.label is not None:
            roles.append(("label", case.label, known.files.labels[case.label]))
        for role, path, facts in roles:
            if facts.problem is None or (role, path) in seen:
                continue
            seen.add((role, path))
            reason, _, cure = facts.problem.partition("; ")
            yield Finding("error", f"unreadable-{role}", reason, cure, case.id, path)


def nonfinite_voxels(known: Known) -> Iterator[Finding]:
    """Images with NaN or infinite voxels: an error, or a warning where the settings make them 0."""
    zeroed = known.settings.nonfinite == "zero"
    for case, path, facts in known.sound_images():
        if not facts.num_nonfinite:
            continue
        reason = not_finite(facts.num_nonfinite, facts.num_voxels)
        if zeroed:
            cure = "they are read as 0, as preprocessing.nonfinite says"
            yield Finding("warning", "nonfinite-voxels", reason, cure, case.id, path)
        else:
            cure = "replace them by a value that you choose, or read them as 0: --set preprocessing.nonfinite=zero"
            yield Finding("error", "nonfinite-voxels", reason, cure, case.id, path)


def constant_channels(known: Known) -> Iterator[Finding]:
    """Images in which there is nothing to see, and whose normalisation has nothing to divide by."""
    for case, path, facts in known.sound_images():
        for number, (low, high) in enumerate(zip(facts.lowest, facts.highest, strict=True)):
            if low == high:
                channel = _channel_name(known, case, path, number)
                reason = f"channel {channel} is constant, every voxel is {low:g}"
                yield Finding("error", "constant-channel", reason, "export it again or drop the case", case.id, path)


def undeclared_values(known: Known) -> Iterator[Finding]:
    """Label maps that hold a value nobody has named."""
    for case, path, facts in known.sound_labels():
        values = facts.values or {}
        if not (unknown := sorted(values.keys() - set(known.allowed))):
            continue
        shown = ", ".join(f"{value} in {values[value]} voxels" for value in unknown[:10])
        more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
        cure = "correct the file, or declare these values as labels"
        if unknown[0] < 0:
            cure = "labels count from 0: correct the file, or set these voxels to 0 or to a value to ignore"
        reason = f"values that are no labels: {shown}{more}, but the labels are {known.allowed}"
        yield Finding("error", "undeclared-values", reason, cure, case.id, path)


def empty_labels(known: Known) -> Iterator[Finding]:
    """Label maps in which nothing is marked."""
    ignore = known.dataset.labels.ignore
    for case, path, facts in known.sound_labels():
        values = set(facts.values or ())
        if values <= {0, ignore}:
            reason = "nothing is marked, every voxel is background" + (" or ignored" if ignore in values else "")
            cure = "fine for a healthy case; otherwise the label map is not finished"
            yield Finding("warning", "empty-label", reason, cure, case.id, path)


def _channel_name(known: Known, case: Case, path: Path, number: int) -> str:
    """What the data set calls a channel of a file, or its number where that cannot be told."""
    names = known.dataset.channels
    before = case.images[: case.images.index(path)]
    position = number + sum(known.files.images[other].num_channels for other in before)
    return names[position] if position < len(names) else str(position)


def rounded_labels(known: Known) -> Iterator[Finding]:
    """Label maps that are read as the whole numbers next to what they hold."""
    for case, path, facts in known.sound_labels():
        if facts.num_rounded:
            reason = f"{facts.num_rounded} of {facts.num_voxels} voxels are no exact whole numbers and are rounded"
            cure = "fine where a scale factor is the reason; --fix writes whole numbers"
            yield Finding("warning", "rounded-labels", reason, cure, case.id, path)
