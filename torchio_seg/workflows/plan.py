"""`torchio-seg plan`: from a data set and budgets to a complete experiment, with its reasons and what it will need."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchio_seg import devices, memory
from torchio_seg.config.resolve import choose, resolve, to_yaml
from torchio_seg.errors import ConfigError, UsageError
from torchio_seg.files import write_json, write_text
from torchio_seg.planning.costs import PARAMETER_BYTES
from torchio_seg.planning.families import choose_changes
from torchio_seg.planning.fitting import Limits, find_largest
from torchio_seg.planning.ladder import Space, make_ladder
from torchio_seg.planning.reasons import Amounts, Settled, tell_choices, tell_needs
from torchio_seg.planning.schedule import SHORT, is_enough, plan_schedule
from torchio_seg.planning.settings import NETWORK, merged, preprocessing_of, whole_settings
from torchio_seg.planning.spacing import choose_spacing
from torchio_seg.planning.telling import Line, size_text, to_comments
from torchio_seg.planning.topology import admissible
from torchio_seg.progress import Silent
from torchio_seg.workflows.cases import find_root, needs_root, require_root
from torchio_seg.workflows.plan_data import Listed, Seen, list_cases, see
from torchio_seg.workflows.trying import Tryer, require_network, rig_of, tell_if_busy, worker_bytes

if TYPE_CHECKING:
    from torchio_seg.config.sections import Experiment
    from torchio_seg.planning.fingerprint import Fingerprint
    from torchio_seg.planning.schedule import Schedule
    from torchio_seg.progress import Progress

PLAN, FINGERPRINT = "plan.yaml", "plan.fingerprint.json"
OWN = ("name", "seed", "device", "deterministic", "dataset", "split", "tracker")
"""What an experiment keeps when it is planned."""
ORIGIN = "the plan with these options"
_PARTS_OF_LOGITS, _PARTS_OF_IMAGE = 4, 3
"""Volumes in fp32 that an evaluation holds at its peak, for each channel of the network's output and input."""


@dataclass(frozen=True)
class Wishes:
    """What a plan is made for."""

    dataset: str | None = None
    config: Path | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    """By dotted key; they stand whatever would have been planned."""
    ram_budget: int | None = None
    vram_budget: int | None = None


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
    base, rest = _base(wishes), _rest(wishes)
    early = resolve(_settled_sections(base), rest, ORIGIN)  # a wrong setting is found before any file is read
    require_network(early, NETWORK)
    rig = rig_of(base, wishes.ram_budget, wishes.vram_budget, early.training.max_time)
    listed = list_cases(base, progress)
    target = choose_spacing([grid.spacing for grid in listed.grids], [grid.shape for grid in listed.grids])
    preprocessing = preprocessing_of(target.spacing, listed.dataset.is_ct, base.preprocessing.nonfinite)
    settings = _settled_sections(base) | {"preprocessing": preprocessing}
    seen = see(resolve(settings, rest, ORIGIN), listed, progress)
    cohort = listed.cohort(seen.shape, rest.get("sampling.patches_per_case"))
    tryer = Tryer(settings, rest, listed.dataset, rig, memory.resident_bytes(os.getpid()))
    limits = Limits(rig.memory_limit, lambda candidate, took: is_enough(candidate, took, cohort, rig.seconds))
    tell_if_busy()
    found = find_largest(make_ladder(_space(listed, seen, rest)), tryer, limits)
    best = found.best
    schedule = _as_long_as_told(plan_schedule(best.candidate, best.seconds, cohort, rig.seconds), rest)
    classes = list(listed.dataset.labels.names.values())
    changes = choose_changes(seen.spacing, classes, few_steps=schedule.steps < SHORT)
    planned = merged(settings, whole_settings(best.candidate, schedule, rig.surroundings, changes))
    planned = merged(planned, {"training": {"channels_last": tryer.channels_last}})
    experiment = resolve(planned, rest, ORIGIN)
    settled = Settled(experiment, seen.fingerprint, target, found, schedule, changes, tryer.measures_layout)
    needs = tell_needs(settled, _amounts(settled, seen, tryer))
    return Planned(experiment, seen.fingerprint, tuple(tell_choices(settled)), tuple(needs))


def _base(wishes: Wishes) -> Experiment:
    """The experiment as it is named, its data found; of its settings those stay that are no plan's business."""
    own = {key: value for key, value in wishes.changes.items() if key.partition(".")[0] in OWN}
    base = choose(wishes.dataset, wishes.config, own)
    devices.choose(base.device)  # a device that is not there is found before any file is read
    if needs_root(base):
        require_root(base)
    section = base.dataset.model_copy(update={"root": find_root(base).resolve()})
    return base.model_copy(update={"dataset": section})


def _rest(wishes: Wishes) -> dict[str, Any]:
    """The other changes, which stand over what is planned."""
    rest = {key: value for key, value in wishes.changes.items() if key.partition(".")[0] not in OWN}
    if whole := sorted(set(rest) & {"sampling", "network", "training", "preprocessing"}):
        raise ConfigError(
            f"--set {whole[0]}=...: a plan makes this section; set single keys of it, as --set training.batch_size=4"
        )
    return rest


def _as_long_as_told(schedule: Schedule, rest: Mapping[str, Any]) -> Schedule:
    """The schedule with the user's own number of steps or epochs, where there is one."""
    if (steps := rest.get("training.steps")) is not None:
        return schedule.of(steps, is_in_epochs=False)
    if (epochs := rest.get("training.epochs")) is not None:
        return schedule.of(epochs * schedule.steps_per_epoch, is_in_epochs=True)
    return schedule


def _settled_sections(base: Experiment) -> dict[str, Any]:
    """What is not planned, or follows from no file."""
    store = None if base.sampling.store is None else str(base.sampling.store)
    return base.model_dump(mode="json", include=set(OWN)) | {
        "network": {"name": NETWORK},
        "training": {"max_time": base.training.max_time},
        "sampling": {"store": store, "store_dtype": base.sampling.store_dtype},
    }


def _space(listed: Listed, seen: Seen, rest: Mapping[str, Any]) -> Space:
    """What candidates may differ in: all but what the user has chosen."""
    dataset = listed.dataset
    patch = rest.get("sampling.patch_size")
    if patch is not None and (fitting := admissible(tuple(patch), seen.spacing)) != tuple(patch):
        raise ConfigError(
            f"sampling.patch_size {size_text(patch)} cannot be halved often enough; use {size_text(fitting)}"
        )
    return Space(
        seen.shape,
        seen.spacing,
        len(listed.training),
        len(dataset.channels),
        dataset.labels.num_channels,
        patch_size=None if patch is None else tuple(patch),
        batch_size=rest.get("training.batch_size"),
        width=channels[0] if (channels := rest.get("network.channels")) else None,
    )


def _amounts(settled: Settled, seen: Seen, tryer: Tryer) -> Amounts:
    """From what was measured, and for evaluation from what it holds of the largest case."""
    rig = tryer.rig
    candidate, outcome = settled.found.best.candidate, settled.found.best.outcome
    weights = outcome.answer["parameters"]
    space = candidate.space
    held = _PARTS_OF_LOGITS * space.out_channels + _PARTS_OF_IMAGE * space.in_channels
    kept = 0 if rig.is_gpu else PARAMETER_BYTES * weights
    forward = max(0, outcome.growth - kept) * settled.experiment.prediction.batch_size / (3 * candidate.batch_size)
    before = max(outcome.before, tryer.resident)
    looking = before + kept + round(forward) + 4 * held * seen.largest_voxels
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
