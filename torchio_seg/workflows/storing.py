"""The store of prepared cases as an experiment uses it: where it is, what is kept, what is in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from torchio_seg.facts import cache_folder
from torchio_seg.store.laying import Layout
from torchio_seg.store.preparing import prepare
from torchio_seg.store.store import Store, Stored
from torchio_seg.workflows.cases import find_root

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchio_seg.config.sections import Experiment
    from torchio_seg.progress import Progress
    from torchio_seg.records import Case, Dataset
    from torchio_seg.transforms.recipe import Recipe


def open_store(folder: Path | None, *, verify: bool = False) -> Store:
    """The folder of prepared cases: the given one, else TORCHIO_SEG_STORE, else the user's cache."""
    own = os.environ.get("TORCHIO_SEG_STORE")
    return Store(folder or (Path(own) if own else cache_folder() / "store"), verify=verify)


def make_layout(experiment: Experiment, dataset: Dataset, recipe: Recipe) -> Layout:
    """What is kept of the data set's cases."""
    sampling = experiment.sampling
    return Layout(
        num_channels=len(dataset.channels),
        values=tuple(sorted(dataset.labels.names)),
        recipe=recipe,
        dtype=sampling.store_dtype,
        ignore=dataset.labels.ignore,
        map=None if sampling.map is None else str(find_root(experiment) / sampling.map),
        dataset=dataset.name,
    )


def prepare_cases(
    experiment: Experiment, dataset: Dataset, cases: Sequence[Case], recipe: Recipe, *, progress: Progress | None
) -> tuple[Stored, ...]:
    """These cases as the store keeps them."""
    layout = make_layout(experiment, dataset, recipe)
    return tuple(prepare(open_store(experiment.sampling.store), cases, layout, progress=progress))
