"""`torchio-seg prepare`: every case of a data set into the store, as trainings will want it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torchio_seg.splits import divide
from torchio_seg.store.preparing import prepare
from torchio_seg.workflows.assembly import require_size, resolve_grids
from torchio_seg.workflows.cases import find_classes, load_dataset
from torchio_seg.workflows.check import check_dataset, require_sound
from torchio_seg.workflows.storing import make_layout, open_store

if TYPE_CHECKING:
    from torchio_seg.config.sections import Experiment
    from torchio_seg.progress import Progress


@dataclass(frozen=True)
class Prepared:
    """What is ready."""

    folder: Path
    num_cases: int
    num_bytes: int


def prepare_experiment(experiment: Experiment, *, verify: bool = False, progress: Progress | None = None) -> Prepared:
    """Check the data set and prepare all of its cases, so that a training of any fold finds them."""
    dataset = load_dataset(experiment, progress=progress)
    split = divide(dataset, experiment.split, find_classes(dataset, progress=progress))
    require_sound(check_dataset(experiment, dataset, split, progress=progress), experiment)
    training = dataset.choose(split.training)
    recipe, _ = resolve_grids(experiment, dataset, training)
    cases = training if experiment.sampling.map is not None else dataset.cases  # others need have no map
    for case in cases:
        require_size(case, recipe, len(dataset.channels))
    store = open_store(experiment.sampling.store, verify=verify)
    stored = prepare(store, cases, make_layout(experiment, dataset, recipe), progress=progress)
    size = sum(path.stat().st_size for folder in {each.folder for each in stored} for path in folder.iterdir())
    return Prepared(store.folder, len(stored), size)
