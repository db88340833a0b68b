"""The data set of a plan: its cases by their headers, and some of them by their voxels."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from torchio_seg.facts import read_facts
from torchio_seg.planning.fingerprint import CaseGrid, Fingerprint, count_classes, look, turned
from torchio_seg.planning.schedule import Cohort
from torchio_seg.splits import divide
from torchio_seg.volumes.nifti import read_geometry
from torchio_seg.workflows.assembly import resolve_grids
from torchio_seg.workflows.cases import find_classes, load_dataset
from torchio_seg.workflows.check import check_dataset, require_sound
from torchio_seg.workflows.storing import prepare_cases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchio_seg.config.sections import Experiment
    from torchio_seg.planning.spacing import Size, Spacing
    from torchio_seg.progress import Progress
    from torchio_seg.records import Case, Dataset, Split
    from torchio_seg.store.store import Stored

MOST_LOOKED_AT = 32
"""Cases whose voxels are looked at, evenly spread; headers and label maps of all training cases are."""
FIRST_LOOK = 4
"""Cases that are looked at on a grid which may not stay."""


@dataclass(frozen=True)
class Listed:
    """The cases, divided and found sound; everything that follows is taken from those that train."""

    dataset: Dataset
    split: Split
    training: tuple[Case, ...]
    grids: tuple[CaseGrid, ...]

    def cohort(self, patches_per_case: int | None) -> Cohort:
        """How many cases there are for what."""
        split = self.split
        return Cohort(len(split.training), len(split.validation), len(split.test), patches_per_case)


@dataclass(frozen=True)
class Seen:
    """The cases on the grid that a training would see them on."""

    fingerprint: Fingerprint
    shape: Size
    """Median, without empty space around."""
    spacing: Spacing
    """Median."""
    largest_voxels: int
    """Of one case."""
    store_bytes: int
    """On disk, for all training cases."""
    stored: tuple[Stored, ...]
    """The cases that were looked at."""


def list_cases(experiment: Experiment, progress: Progress) -> Listed:
    """Find, divide and check the cases."""
    dataset = load_dataset(experiment, progress=progress)
    split = divide(dataset, experiment.split, find_classes(dataset, progress=progress))
    require_sound(check_dataset(experiment, dataset, split, progress=progress), experiment)
    training = tuple(dataset.choose(split.training))
    grids = tuple(turned(case.id, read_geometry(case.images[0])) for case in training)
    return Listed(dataset, split, training, grids)


def see(experiment: Experiment, listed: Listed, progress: Progress, most: int = MOST_LOOKED_AT) -> Seen:
    """Prepare some cases as the training would, and look at them."""
    dataset = listed.dataset
    recipe, grids = resolve_grids(experiment, dataset, listed.training)
    stored = prepare_cases(experiment, dataset, _spread(listed.training, most), recipe, progress=progress)
    labels = [case.label for case in listed.training if case.label is not None]
    counts = [facts.values or {} for facts in read_facts(labels, "label").values()]
    looks = look(dataset.channels, (each.open() for each in stored))
    fingerprint = Fingerprint(
        dataset.name,
        dataset.channels,
        dataset.is_ct,
        listed.grids,
        count_classes(dataset.labels, counts, listed.grids),
        looks,
        dataset.notes,
    )
    shape = np.median([grid.model_shape for grid in grids], axis=0) * looks.filled_share
    edges = np.median([np.linalg.norm(grid.affine[:3, :3], axis=0) for grid in grids], axis=0)
    kept = sum(path.stat().st_size for each in stored for path in each.folder.iterdir())
    i, j, k = (max(1, round(float(side))) for side in shape)
    x, y, z = (float(edge) for edge in edges)
    return Seen(
        fingerprint,
        (i, j, k),
        (x, y, z),
        largest_voxels=max(prod(grid.model_shape) for grid in grids),
        store_bytes=kept * len(listed.training) // len(stored),
        stored=stored,
    )


def _spread(cases: Sequence[Case], most: int) -> list[Case]:
    """Some of the cases, from the whole of their list."""
    places = np.linspace(0, len(cases) - 1, min(len(cases), most)).round().astype(int)
    return [cases[place] for place in places.tolist()]
