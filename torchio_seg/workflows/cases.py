"""Where an experiment's cases are. Imports nothing heavy, so that looking things up is instant."""

from __future__ import annotations

from pathlib import Path

from torchio_seg import components
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import DataError
from torchio_seg.facts import read_facts
from torchio_seg.progress import Progress
from torchio_seg.records import Dataset

MAKES_ITS_DATA = {"phantom"}
"""Layouts that need no folder to begin with; nor may the user's own, whose names have a dot."""


def load_dataset(experiment: Experiment) -> Dataset:
    """The cases of the experiment's layout, from its root."""
    root = find_root(experiment)
    if experiment.dataset.name not in MAKES_ITS_DATA and "." not in experiment.dataset.name:
        require_root(experiment)
    dataset: Dataset = components.assemble("datasets", experiment.dataset.section, root)
    if not dataset.cases:
        raise DataError(f"{root} holds no case with a label map; training needs some")
    return dataset


def find_classes(dataset: Dataset, *, progress: Progress | None = None) -> dict[str, frozenset[int]]:
    """Which label values each case holds; of a label map that cannot be trusted nothing is known here."""
    labels = {case.id: case.label for case in dataset.cases if case.label is not None}
    facts = read_facts(list(labels.values()), "label", progress=progress)
    return {case: frozenset(facts[path].values or ()) for case, path in labels.items()}


def require_root(experiment: Experiment) -> None:
    """Raise where the data of an earlier training is not there any more."""
    root = find_root(experiment)
    if not root.is_dir():
        raise DataError(f"there is no data at {root}; name its folder with --root DIR")


def find_root(experiment: Experiment) -> Path:
    """Where the data is: the setting, else data/NAME."""
    return experiment.dataset.root or Path("data") / experiment.name
