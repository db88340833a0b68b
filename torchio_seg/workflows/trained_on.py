"""Whether a volume is of a case that trained the model, as far as the run's own record tells."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from torchio_seg.errors import DataError
from torchio_seg.listings.brats_names import NEW, OLD
from torchio_seg.volumes.names import stem
from torchio_seg.workflows.beforehand import ENSEMBLE
from torchio_seg.workflows.runs import read_split

if TYPE_CHECKING:
    from torchio_seg.records import Case
    from torchio_seg.workflows.models import LoadedModel

MISLEADS = "a Dice on it says nothing of new cases"


def tell_of_training(model: LoadedModel, case: Case) -> list[str]:
    """A sentence where the volume trained the model, or is named like one that did."""
    known = frozenset().union(*map(training_cases, model.folders))
    name = next((name for name in _names(case) if name in known), None)
    if name is None:
        return []
    root = model.experiment.dataset.root
    if root is not None and all(image.resolve().is_relative_to(root.resolve()) for image in case.images):
        return [f"case {name} trained this model, so that {MISLEADS}"]
    return [f"it is named like case {name}, which trained this model; if it is that case, {MISLEADS}"]


def training_cases(model: Path) -> frozenset[str]:
    """Ids of the cases that trained a checkpoint, or some member of an ensemble; none where it has left its run."""
    folder = model.resolve()
    runs = [folder.parents[1]] if folder.parent.name == "checkpoints" else []
    if folder.name == ENSEMBLE:
        runs = sorted(folder.parent.glob("fold_*"))
    found: set[str] = set()
    for run in runs:
        with suppress(DataError):  # a record that is gone or damaged tells nothing, and nothing else needs it here
            found.update(read_split(run).training)
    return frozenset(found)


def _names(case: Case) -> list[str]:
    """What a data set may call the case: by its file, without what says which channel is in it, or by its folder."""
    stems = [case.id, *(stem(image) for image in case.images)]
    without = [head for head, _, end in (each.rpartition("_") for each in stems) if _is_channel(end)]
    return [*stems, *without, *(image.resolve().parent.name for image in case.images)]


def _is_channel(end: str) -> bool:
    return (len(end) == 4 and end.isdecimal()) or end.lower() in {**OLD, **NEW}
