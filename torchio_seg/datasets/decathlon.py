"""The layout of the Medical Segmentation Decathlon: a folder with dataset.json, imagesTr and labelsTr."""

from __future__ import annotations

from pathlib import Path

from torchio_seg.listings.task import find_task, read_task
from torchio_seg.listings.values import declare
from torchio_seg.records import Dataset


def build(root: Path, *, task: str | None = None, regions: dict[str, tuple[int, ...]] | None = None) -> Dataset:
    """The training cases of a task, given by number or name where the root holds several.

    `regions`, outer ones first, replace the task's labels as what is segmented.
    """
    folder, choice = find_task(Path(root), task)
    found = read_task(folder)
    labels = declare(found.label_names, regions=regions)
    return Dataset(
        found.name,
        found.channels,
        labels,
        tuple(sorted(found.cases, key=lambda case: case.id)),
        listing=tuple(case.id for case in found.cases),
        notes=(*choice, *found.notes),
    )
