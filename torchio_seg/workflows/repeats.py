"""`torchio-seg train --repeats N`: the same training from several seeds, and how far their results lie apart."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torchio_seg import devices
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import DataError
from torchio_seg.progress import Progress, Silent
from torchio_seg.reports.repeats import Row, write_repeats
from torchio_seg.workflows import series
from torchio_seg.workflows.cases import anchored, needs_root, require_root
from torchio_seg.workflows.runs import read_split
from torchio_seg.workflows.train import Situation

log = logging.getLogger(__name__)

MEAN = "mean"
"""The row of the mean over the regions."""


@dataclass(frozen=True)
class Repeated:
    """What the repeats gave."""

    folder: Path
    runs: list[str]
    part: str | None
    """The cases that were scored; None where no case was kept for that."""
    rows: list[Row]
    """Of each region, and of their mean."""


def repeat(
    experiment: Experiment,
    number: int,
    runs_folder: Path,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    situation: Situation | None = None,
) -> Repeated | series.Stopped:
    """Train with this many seeds, the experiment's and those after it, as far as that is not done yet."""
    progress, situation = progress or Silent(), situation or Situation()
    devices.choose(experiment.device)
    if needs_root(experiment):
        require_root(experiment)
    experiment = anchored(experiment)
    experiments = {
        f"seed_{seed}": experiment.model_copy(update={"seed": seed})
        for seed in range(experiment.seed, experiment.seed + number)
    }
    place, planned = series.Place(folder, "repeats"), (experiment, situation.papers)
    whole = series.open_series(place, runs_folder, planned)
    folder = whole.folder
    if stopped := series.run_all(whole, experiments, progress, situation):
        return stopped
    names = list(experiments)
    split = read_split(folder / names[0])
    part = "test" if split.test else "validation" if split.validation else None
    rows = [] if part is None else _rows([folder / name / "evaluation" / f"{part}.json" for name in names])
    if rows:
        (folder / "evaluation").mkdir(exist_ok=True)
        write_repeats(
            folder / "evaluation" / "repeats", names, rows, facts={"experiment": experiment.name, "part": part}
        )
    return Repeated(folder, names, part, rows)


def _rows(files: Sequence[Path]) -> list[Row]:
    """The mean Dice of each region in each run, and of all regions."""
    found = []
    for file in files:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            found.append([(each["region"], each["mean_dice"]) for each in content["regions"]])
            found[-1].append((MEAN, content["mean_dice"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file} cannot be read ({error}); delete it, then run this again") from error
    return [Row(region[0][0], tuple(dice for _, dice in region)) for region in zip(*found, strict=True)]
