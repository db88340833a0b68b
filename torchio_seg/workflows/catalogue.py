"""`torchio-seg datasets`: the shipped experiments and the layouts that are planned, and where their data is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torchio_seg import components
from torchio_seg.catalogue import lookup
from torchio_seg.catalogue.entry import Entry
from torchio_seg.config.resolve import choose, is_layout, load, shipped
from torchio_seg.config.sections import Experiment
from torchio_seg.workflows.cases import MAKES_ITS_DATA, find_root, places

PLANNED = "planned"
"""The network of what has no experiment."""


@dataclass(frozen=True)
class Trainable:
    """What `train --dataset` takes: an experiment that comes with the program, or a layout that is planned."""

    name: str
    about: str
    """The first line of an experiment's file."""
    layout: str
    network: str
    entry: Entry | None
    """What it is trained on, where the catalogue knows it."""
    root: Path
    """Where its data is, or would be made or put."""
    places: tuple[Path, ...]
    """Where it was looked for."""

    @property
    def is_there(self) -> bool:
        """Whether its root holds something."""
        return self.root.is_dir() and any(self.root.iterdir())

    @property
    def makes_its_data(self) -> bool:
        """Whether nothing has to be there."""
        return self.layout in MAKES_ITS_DATA


def survey() -> list[Trainable]:
    """Every shipped experiment and every other layout, by name."""
    experiments = [_shipped(file) for file in shipped().values()]
    layouts = [_planned(name) for name in components.names("datasets") if is_layout(name)]
    return sorted(experiments + layouts, key=lambda each: each.name)


def explain(name: str, experiments: list[Trainable]) -> tuple[Entry, list[Trainable]]:
    """The entry behind the name of an experiment or of a data set, and the experiments that are trained on it."""
    own = {experiment.name: experiment.entry for experiment in experiments}
    entry = own.get(name) or lookup.find(name, tuple(own))
    return entry, [each for each in experiments if each.entry is not None and each.entry.family == entry.family]


def _shipped(file: Path) -> Trainable:
    experiment = load(file)
    about = file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
    return _trainable(experiment, about, experiment.network.name)


def _planned(layout: str) -> Trainable:
    about = "Whatever lies in this layout: network, patches and length are planned for it first."
    return _trainable(choose(layout, None, {}), about, PLANNED)


def _trainable(experiment: Experiment, about: str, network: str) -> Trainable:
    return Trainable(
        name=experiment.name,
        about=about,
        layout=experiment.dataset.name,
        network=network,
        entry=lookup.of_experiment(experiment.name, experiment.dataset.name),
        root=find_root(experiment),
        places=places(experiment),
    )
