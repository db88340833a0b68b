"""Where an experiment's cases are. Imports nothing heavy, so that looking things up is instant."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchio_seg import components, notices
from torchio_seg.catalogue.entry import Entry
from torchio_seg.catalogue.lookup import PREFIX, find, of_experiment
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import DataError, UsageError
from torchio_seg.facts import read_facts
from torchio_seg.progress import Progress
from torchio_seg.records import Dataset, Labels

if TYPE_CHECKING:
    from torchio_seg.checkpoint import ModelCard

log = logging.getLogger(__name__)

MAKES_ITS_DATA = {"phantom"}
"""Layouts that need no folder to begin with."""


def load_dataset(experiment: Experiment, *, progress: Progress | None = None) -> Dataset:
    """The cases of the experiment's layout, from its root; what was found out on the way is said, once a command."""
    root = find_root(experiment)
    section = experiment.dataset
    if needs_root(experiment):
        require_root(experiment)
    if section.name == "rtstruct":
        from torchio_seg.workflows.importing import prepare_root

        root = prepare_root(root, section.options["rois"], progress)
    dataset: Dataset = components.assemble("datasets", section.section, root)
    if not dataset.cases:
        raise DataError(f"{root} holds no case with a label map; training needs some")
    for note in dataset.notes:
        notices.say(log, logging.INFO, note)
    return dataset


def load_known(experiment: Experiment, card: ModelCard, *, progress: Progress | None = None) -> Dataset:
    """The cases that a model was trained on, if channels and labels are what they were then."""
    require_root(experiment)
    dataset = load_dataset(experiment, progress=progress)
    for what, now, then in (("channels", dataset.channels, card.channels), ("labels", dataset.labels, card.labels)):
        if now != then:
            raise DataError(
                f"{find_root(experiment)} has other {what} than when the model was trained: {_words(now)}, then "
                f"{_words(then)}. Give the data it was trained on with --root, or train anew"
            )
    return dataset


def _words(kind: tuple[str, ...] | Labels) -> str:
    if isinstance(kind, tuple):
        return ", ".join(kind)
    regions = ", ".join(f"{region.name} {list(region.labels)}" for region in kind.regions)
    return f"{regions} of the values {sorted(kind.names)}"


def find_classes(dataset: Dataset, *, progress: Progress | None = None) -> dict[str, frozenset[int]]:
    """Which label values each case holds; of a label map that cannot be trusted nothing is known here."""
    labels = {case.id: case.label for case in dataset.cases if case.label is not None}
    facts = read_facts(list(labels.values()), "label", progress=progress)
    return {case: frozenset(facts[path].values or ()) for case, path in labels.items()}


def needs_root(experiment: Experiment) -> bool:
    """Whether its layout begins with a folder; the user's own, whose names have a dot, need not."""
    return experiment.dataset.name not in MAKES_ITS_DATA and "." not in experiment.dataset.name


def require_root(experiment: Experiment) -> None:
    """Raise where there is no data; the message says how to get it."""
    if find_root(experiment).exists():
        return
    entry = _entry(experiment)
    cure = "name its folder with --root DIR"
    if entry is not None and entry.archive is not None:
        cure += f", or fetch it: torchio-seg download {entry.name}"
    elif entry is not None:
        cure += f". How it must look and how to get it: torchio-seg datasets {entry.name}"
    raise UsageError(f"there is no data at {' or '.join(map(str, places(experiment)))}; {cure}")


def find_root(experiment: Experiment) -> Path:
    """Where the data is: the first of its places that is there, or the first where none is."""
    looked_at = places(experiment)
    return next((place for place in looked_at if place.exists()), looked_at[0])


def anchored(experiment: Experiment) -> Experiment:
    """The experiment with its folders in full, so that it finds them from wherever it is used."""
    sections: dict[str, Any] = {
        "dataset": experiment.dataset.model_copy(update={"root": find_root(experiment).resolve()})
    }
    if experiment.sampling.store is not None:
        sections["sampling"] = experiment.sampling.model_copy(update={"store": experiment.sampling.store.resolve()})
    if experiment.init_from is not None:
        sections["init_from"] = experiment.init_from.resolve()
    return experiment.model_copy(update=sections)


def places(experiment: Experiment) -> tuple[Path, ...]:
    """Where the data is looked for: the setting, else the usual places below data/."""
    if experiment.dataset.root is not None:
        return (experiment.dataset.root,)
    data = Path("data")
    entry = _entry(experiment)
    known = [data / entry.folder, data / entry.name] if entry is not None else []
    own = [data / experiment.name]
    ordered = [*known, *own, data] if experiment.dataset.options.get("task") else [*own, *known]
    return tuple(dict.fromkeys(ordered))


def _entry(experiment: Experiment) -> Entry | None:
    """What the catalogue knows about the experiment's data."""
    task = experiment.dataset.options.get("task")
    if experiment.dataset.name == "decathlon" and task:
        return find(f"{PREFIX}{task}")
    return of_experiment(experiment.name, experiment.dataset.name)
