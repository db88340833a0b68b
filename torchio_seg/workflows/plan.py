"""`torchio-seg plan`: from a data set and budgets to a complete experiment, with its reasons and what it will need."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchio_seg import devices, memory
from torchio_seg.config.dumping import to_yaml
from torchio_seg.config.resolve import resolve
from torchio_seg.errors import ConfigError, UsageError
from torchio_seg.files import write_json, write_text
from torchio_seg.machine import in_units
from torchio_seg.network_sizes import Sizes, sizes_of
from torchio_seg.planning.coarseness import longest_edge
from torchio_seg.planning.costs import PARAMETER_BYTES
from torchio_seg.planning.families import choose_changes
from torchio_seg.planning.fitting import Limits, find_largest
from torchio_seg.planning.ladder import Space, make_ladder
from torchio_seg.planning.reasons import Amounts, Settled, tell_choices, tell_needs
from torchio_seg.planning.schedule import SHORT, is_enough, plan_schedule
from torchio_seg.planning.settings import merged, whole_settings
from torchio_seg.planning.telling import Line, size_text, to_comments
from torchio_seg.planning.topology import LEVELED
from torchio_seg.progress import Silent
from torchio_seg.workflows.network import build_network
from torchio_seg.workflows.plan_begin import ORIGIN, Begun, Wishes, begin
from torchio_seg.workflows.plan_data import FIRST_LOOK, MOST_LOOKED_AT, Seen, see
from torchio_seg.workflows.trying import Tryer, rig_of, tell_if_busy, worker_bytes

if TYPE_CHECKING:
    from torchio_seg.config.sections import Experiment
    from torchio_seg.planning.fingerprint import Fingerprint
    from torchio_seg.planning.schedule import Schedule
    from torchio_seg.progress import Progress
    from torchio_seg.records import Dataset

log = logging.getLogger(__name__)

PLAN, FINGERPRINT = "plan.yaml", "plan.fingerprint.json"
_PARTS_OF_LOGITS, _PARTS_OF_IMAGE = 4, 3
"""Volumes in fp32 that an evaluation holds at its peak, for each channel of the network's output and input; of those of
the input some have the scan's own grid, where that is larger."""


@dataclass(frozen=True)
class Planned:
    """A complete experiment, and how it came about."""

    experiment: Experiment
    fingerprint: Fingerprint
    chosen: tuple[Line, ...]
    needs: tuple[Line, ...]

    @property
    def title(self) -> str:
        """What it is a plan for."""
        data = self.fingerprint
        return f"{data.dataset}: {len(data.grids)} training cases, {', '.join(data.channels)}"

    def to_yaml(self, file: Path, command: str) -> str:
        """The experiment as `train --config` reads it, its reasons on top."""
        first = (f"A plan for {self.title}", f"torchio-seg train --config {file}", f"Made by: {command}")
        return to_comments(first, self.chosen, self.needs) + to_yaml(self.experiment)


def write_plan(planned: Planned, path: Path, command: str) -> Path:
    """Write the experiment, and what it was made from beside it, whose path is returned."""
    beside = path.with_suffix(".fingerprint.json")
    write_json(beside, planned.fingerprint.to_json())
    write_text(path, planned.to_yaml(path, command))
    return beside


def papers_of(planned: Planned, command: str) -> dict[str, str]:
    """The same texts by the names that they have in a run's folder."""
    fingerprint = json.dumps(planned.fingerprint.to_json(), indent=2, allow_nan=False)
    return {PLAN: planned.to_yaml(Path(PLAN), command), FINGERPRINT: f"{fingerprint}\n"}


def require_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that cannot be written, or should not be."""
    if path.suffix not in {".yaml", ".yml"}:
        raise UsageError(f"{path}: a plan is a YAML file; give a name that ends in .yaml")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}; make it, or name another with -o")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already; name another file with -o, or add --overwrite")


def make(wishes: Wishes, *, progress: Progress | None = None) -> Planned:
    """Look at the data set, choose by rules, and measure what fits."""
    progress = progress or Silent()
    return finish(begin(wishes, progress=progress), wishes, progress=progress)


def finish(begun: Begun, wishes: Wishes, *, progress: Progress) -> Planned:
    """Choose the rest by rules, and measure what fits."""
    listed, settings, rest = begun.listed, begun.settings, begun.rest
    max_time = begun.experiment.training.max_time
    rig = rig_of(begun.experiment, wishes.ram_budget, wishes.vram_budget, max_time, num_local=wishes.num_local)
    grid_may_change = begun.grid_may_change
    seen = see(begun.experiment, listed, progress, FIRST_LOOK if grid_may_change else MOST_LOOKED_AT)
    cohort = listed.cohort(rest.get("sampling.patches_per_case"))
    ladder = make_ladder(_space(begun, seen))
    tryer = Tryer(settings, rest, listed.dataset, rig, memory.resident_bytes(os.getpid()), ladder[-1])
    limits = Limits(rig.memory_limit, lambda candidate, took: is_enough(candidate, took, cohort, rig.seconds))
    tell_if_busy()
    found = find_largest(ladder, tryer, limits)
    best = found.best
    if grid_may_change:
        begun = begun.at(best.candidate.space.spacing)
        settings, seen = begun.settings, see(begun.experiment, listed, progress)
    schedule = _as_long_as_told(partial(plan_schedule, best.candidate, best.seconds, cohort, rig.seconds), rest)
    classes = list(listed.dataset.labels.names.values())
    changes = choose_changes(seen.spacing, classes, few_steps=schedule.steps < SHORT)
    planned = merged(settings, whole_settings(best.candidate, schedule, rig.surroundings, changes))
    precision = best.outcome.answer["precision"]  # fp32 where bf16 is not sound for this patch
    planned = merged(planned, {"training": {"channels_last": tryer.channels_last, "precision": precision}})
    experiment = resolve(planned, rest, ORIGIN)
    settled = Settled(
        experiment, seen.fingerprint, begun.target, found, schedule, changes, tryer.measures_layout, cohort
    )
    amounts = _amounts(settled, seen, tryer)
    if amounts.process > rig.ram_budget:
        log.warning(
            "the training process will need %s, more than the %s that it may: validation holds the logits of a whole "
            "case, which smaller patches do not change; give --ram-budget more, or voxels as large as you can bear by "
            "--set preprocessing.spacing=[X,Y,Z]",
            in_units(amounts.process),
            in_units(rig.ram_budget),
        )
    needs = tell_needs(settled, amounts)
    return Planned(experiment, seen.fingerprint, tuple(tell_choices(settled)), tuple(needs))


def _as_long_as_told(plan_for: Callable[..., Schedule], rest: Mapping[str, Any]) -> Schedule:
    """The schedule with the user's own number of steps, whose epochs are as short as it asks for, or of epochs."""
    if (steps := rest.get("training.steps")) is not None:
        return plan_for(most_steps=steps).of(steps, is_in_epochs=False)
    schedule = plan_for()
    if (epochs := rest.get("training.epochs")) is not None:
        return schedule.of(epochs * schedule.steps_per_epoch, is_in_epochs=True)
    return schedule


def _space(begun: Begun, seen: Seen) -> Space:
    """What candidates may differ in: all but what the user has chosen."""
    dataset, rest = begun.listed.dataset, begun.rest
    network = begun.experiment.network.name
    patch = rest.get("sampling.patch_size")
    channels = rest.get("network.channels") if network in LEVELED else None
    space = Space(
        seen.shape,
        begun.target.spacing if begun.grid_may_change else seen.spacing,
        len(begun.listed.training),
        len(dataset.channels),
        dataset.labels.num_channels,
        patch_size=None if patch is None else tuple(patch),
        batch_size=rest.get("training.batch_size"),
        width=channels[0] if channels else None,
        network=network,
        sizes=None if network in LEVELED else _sizes_of(begun.experiment, dataset),
        longest_edge=_longest_edge(begun, seen) if begun.grid_may_change else None,
    )
    if (given := space.patch_size) is not None and (fitting := space.cover(given)) != given:
        raise ConfigError(f"sampling.patch_size {size_text(given)} does not suit {network}; use {size_text(fitting)}")
    return space


def _longest_edge(begun: Begun, seen: Seen) -> float:
    """Of voxels that the labels bear."""
    return longest_edge((each.open() for each in seen.stored), begun.listed.dataset.labels, begun.target.spacing)


def _sizes_of(experiment: Experiment, dataset: Dataset) -> Sizes:
    """What the network takes, as it says itself once it is built; one that is built for a size takes others as well."""
    network = build_network(experiment, dataset, experiment.sampling.patch_size)
    return replace(sizes_of(network), fixed_size=None)


def _amounts(settled: Settled, seen: Seen, tryer: Tryer) -> Amounts:
    """From what was measured, and for evaluation from what it holds of the largest case."""
    rig = tryer.rig
    candidate, outcome = settled.found.best.candidate, settled.found.best.outcome
    weights = outcome.answer["parameters"]
    space = candidate.space
    native = max(prod(grid.shape) for grid in settled.fingerprint.grids)  # many more in larger voxels' plans
    image = _PARTS_OF_IMAGE * space.in_channels * max(seen.largest_voxels, native)
    held = _PARTS_OF_LOGITS * space.out_channels * seen.largest_voxels + image
    kept = 0 if rig.is_gpu else PARAMETER_BYTES * weights
    forward = max(0, outcome.growth - kept) * settled.experiment.prediction.batch_size / (3 * candidate.batch_size)
    before = max(outcome.before, tryer.resident)
    looking = before + kept + round(forward) + 4 * held
    return Amounts(
        process=max(before + outcome.growth, looking),
        before=before,
        workers=settled.experiment.sampling.num_workers * worker_bytes(candidate),
        device=outcome.answer["device_bytes"],
        store=seen.store_bytes,
        weights=weights,
        where=devices.describe(rig.device),
        is_for_gpu=rig.vram_budget is not None,
    )
