"""`torchio-seg datasets`: the shipped experiments, what each needs, and where that is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torchio_seg.catalogue import lookup
from torchio_seg.catalogue.entry import Entry
from torchio_seg.config.resolve import load, shipped
from torchio_seg.workflows.cases import MAKES_ITS_DATA, find_root, places


@dataclass(frozen=True)
class Shipped:
    """An experiment that comes with the program."""

    name: str
    about: str
    """The first line of its file."""
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


def survey() -> list[Shipped]:
    """Every shipped experiment, by name."""
    return [_shipped(name, file) for name, file in shipped().items()]


def explain(name: str, experiments: list[Shipped]) -> tuple[Entry, list[Shipped]]:
    """The entry behind the name of an experiment or of a data set, and the experiments that are trained on it."""
    own = {experiment.name: experiment.entry for experiment in experiments}
    entry = own.get(name) or lookup.find(name, tuple(own))
    return entry, [each for each in experiments if each.entry is not None and each.entry.family == entry.family]


def _shipped(name: str, file: Path) -> Shipped:
    experiment = load(file)
    entry = lookup.of_experiment(name, experiment.dataset.name)
    return Shipped(
        name=name,
        about=file.read_text(encoding="utf-8").splitlines()[0].lstrip("# "),
        layout=experiment.dataset.name,
        network=experiment.network.name,
        entry=entry,
        root=find_root(experiment),
        places=places(experiment),
    )
