"""What a training says of itself before its first step, on screen and in run.json."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torchio_seg import devices
from torchio_seg.workflows.provenance import commits, fingerprint, versions

if TYPE_CHECKING:
    import torch

    from torchio_seg.config.sections import Experiment
    from torchio_seg.trainer import Position
    from torchio_seg.workflows.assembly import Plan

log = logging.getLogger(__name__)

_SHOWN = 5


def facts_of(experiment: Experiment, plan: Plan, network: torch.nn.Module, device: torch.device) -> dict[str, Any]:
    """What followed from the settings and the files."""
    return {
        "dataset": plan.dataset.name,
        "fingerprint": fingerprint(plan.dataset, plan.split),
        "notes": plan.dataset.notes,
        "channels": plan.dataset.channels,
        "regions": [asdict(region) for region in plan.dataset.labels.regions],
        "split": asdict(plan.split),
        "preprocessing": asdict(plan.recipe),
        "patch_size": plan.patch_size,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "initial_weights": plan.initial,
        "device": devices.describe(device),
        "precision": devices.usable(device, experiment.training.precision),
        "versions": versions(),
        "commits": commits(),
    }


def tell(experiment: Experiment, plan: Plan, facts: Mapping[str, Any]) -> None:
    """Say the most important of it."""
    dataset, split = plan.dataset, plan.split
    if facts["precision"] != (wanted := experiment.training.precision):
        log.info("this CPU has no fast arithmetic in %s; %s is used", wanted, facts["precision"])
    if anywhere := facts["drawn_anywhere"]:
        named = ", ".join(anywhere[:_SHOWN]) + (", ..." if len(anywhere) > _SHOWN else "")
        log.info(
            "%d of %d training cases have nothing to cut patches around, theirs are cut anywhere: %s",
            *(len(anywhere), len(plan.stored), named),
        )
    regions = ", ".join(f"{region.name} {list(region.labels)}" for region in dataset.labels.regions)
    log.info("%s: channels %s; regions %s", dataset.name, ", ".join(dataset.channels), regions)
    counts = map(len, (split.training, split.validation, split.test))
    log.info("%d training, %d validation, %d test cases; %s", *counts, split.origin)
    log.info("%s, %s parameters, on %s", experiment.network.name, _counted(facts["parameters"]), facts["device"])


def _counted(number: int) -> str:
    """A number of parameters, of which small networks have thousands."""
    return f"{number / 1e6:.1f} million" if number >= 1e6 else f"{number:,}"


def tell_of_going_on(position: Position, num_before: int | None, patience: int | None) -> None:
    """Say where a resumed training is, and what is left of it."""
    log.info("going on after epoch %d, step %d", position.epoch, position.step)
    if num_before is not None and position.num_steps != num_before:
        now = "as many as fit the new time" if position.num_steps is None else str(position.num_steps)
        log.info("its length was %d steps and is now %s; the learning rate follows the new length", num_before, now)
    else:
        _tell_of_no_hope(position, patience)
    if position.num_steps is not None and position.step >= position.num_steps:
        _tell_of_all_steps(position)


def tell_of_the_end(position: Position, patience: int | None) -> None:
    """Say that nothing is left to do in a training, and how there would be."""
    if not _tell_of_no_hope(position, patience):
        _tell_of_all_steps(position)


def _tell_of_no_hope(position: Position, patience: int | None) -> bool:
    """Whether it was so."""
    if patience is None or position.validations_since_best < patience:
        return False
    log.info(
        "it ended after %d validations without a better one; a longer --epochs, or a larger training.patience, trains "
        "on",
        position.validations_since_best,
    )
    return True


def _tell_of_all_steps(position: Position) -> None:
    log.info(
        "all %d steps (%d epochs) are done; --epochs, --steps or --max-time with more of it trains on",
        *(position.step, position.epoch),
    )
