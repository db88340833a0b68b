"""From what a user types to an entry of the catalogue."""

from __future__ import annotations

from torchio_seg import components
from torchio_seg.catalogue.challenges import CHALLENGES
from torchio_seg.catalogue.decathlon import ANY_TASK, TASKS
from torchio_seg.catalogue.entry import Entry
from torchio_seg.catalogue.layouts import LAYOUTS
from torchio_seg.errors import UsageError

ENTRIES = (*CHALLENGES, ANY_TASK, *TASKS, *LAYOUTS)
PREFIX = "decathlon:"


def find(name: str, more: tuple[str, ...] = ()) -> Entry:
    """The entry of a name in any spelling; `more` are names beside the catalogue's that a message should offer."""
    wanted = name.strip().casefold()
    pool = TASKS if wanted.startswith(PREFIX) else ENTRIES
    for entry in pool:
        if wanted.removeprefix(PREFIX) in {spelling.casefold() for spelling in (entry.name, *entry.aliases)}:
            return entry
    known = {spelling.casefold(): spelling for entry in ENTRIES for spelling in (entry.name, *entry.aliases)}
    near = components.suggestion(wanted.removeprefix(PREFIX), tuple(known)).partition(" (")[0]
    names = dict.fromkeys([*more, *(entry.name for entry in pool)])
    raise UsageError(f"no data set '{name}'{near}; known: {', '.join(names)}")


def of_experiment(experiment: str, layout: str) -> Entry | None:
    """The entry that an experiment is trained on: by its name, the first word of its name, or its layout."""
    names = {name: entry for entry in ENTRIES for name in (*entry.aliases, entry.name)}
    for name in (experiment, experiment.partition("_")[0], layout):
        if name in names:
            return names[name]
    return None
