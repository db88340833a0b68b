"""Why a plan is as it is, and what it will need: a line each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from torchio_seg.machine import in_units
from torchio_seg.planning.coarseness import MOST_LOST
from torchio_seg.planning.families import Changes
from torchio_seg.planning.fingerprint import Fingerprint
from torchio_seg.planning.fitting import Found
from torchio_seg.planning.ladder import LARGEST_SHARE, WIDTHS
from torchio_seg.planning.schedule import (
    FEWEST_STEPS,
    LONGEST_STEP_S,
    MOST_STEPS,
    SHORT,
    Cohort,
    Schedule,
    fewest_steps,
)
from torchio_seg.planning.settings import ATTENTIVE
from torchio_seg.planning.spacing import Spacing, Target, resampled
from torchio_seg.planning.telling import Line, size_text, time_text

if TYPE_CHECKING:
    from torchio_seg.config.sections import Experiment

BYTES_A_WEIGHT = 4
_SAVED = 2 * 3
"""Best and last checkpoint, each with the weights and two numbers of the optimizer beside each."""


@dataclass(frozen=True)
class Settled:
    """All that a plan came to."""

    experiment: Experiment
    fingerprint: Fingerprint
    target: Target
    found: Found
    schedule: Schedule
    changes: Changes
    layout_is_measured: bool
    """Whether channels last were tried against channels first."""
    cohort: Cohort


@dataclass(frozen=True)
class Amounts:
    """What will be needed, in bytes."""

    process: int
    """The training process at its peak, the imports included."""
    before: int
    """What it holds before its network: imports, and what is known of the data."""
    workers: int
    """All of them."""
    device: int | None
    """Of the GPU, as torch reserves it; None without one."""
    store: int
    weights: int
    """Number of them."""
    where: str
    """What was measured on."""
    is_for_gpu: bool
    """Whether somebody gave a budget for one."""


def tell_choices(settled: Settled) -> Iterator[Line]:
    """What was chosen, in the order of the data's way."""
    experiment, fingerprint = settled.experiment, settled.fingerprint
    yield _cases(settled.cohort)
    yield _spacing(settled)
    normalization = experiment.preprocessing.normalization
    yield Line("intensities", normalization, _of_normalization(normalization))
    yield _patch(settled)
    yield _batch(settled)
    yield _network(settled)
    yield _length(settled)
    rule = experiment.optimization
    yield Line("optimizer", f"{rule.optimizer} from {rule.learning_rate:g}, {rule.schedule}", _of_optimizer(settled))
    yield Line("precision", experiment.training.precision, "the fastest that is sound on this device")
    layout = "channels last" if experiment.training.channels_last else "channels first"
    yield Line("layout", layout, "the faster of the two, as measured here" if settled.layout_is_measured else "")
    families = len(experiment.augmentation.spatial) + len(experiment.augmentation.intensity)
    yield Line("augmentation", f"{families} steps, nnU-Net's families", "; ".join(settled.changes.reasons))
    if len(fingerprint.looks.cases) < len(fingerprint.grids):
        yield Line("looked at", f"the voxels of {len(fingerprint.looks.cases)} cases", "headers and labels of all")


def tell_needs(settled: Settled, amounts: Amounts) -> Iterator[Line]:
    """What a training will take."""
    schedule = settled.schedule
    ram = f"{in_units(amounts.process)} in the training process, {in_units(amounts.before)} of it before the first step"
    num_workers = settled.experiment.sampling.num_workers
    workers = f"{num_workers} workers add" if num_workers > 1 else "a worker adds"
    yield Line("RAM", ram, f"{workers} about {in_units(amounts.workers)}" if num_workers else "")
    if amounts.device is None and amounts.is_for_gpu:
        beyond = in_units(amounts.process - amounts.before)
        yield Line("VRAM", f"not known, {beyond} of RAM here", f"measured on {amounts.where}; plan where the GPU is")
    elif amounts.device is None:
        yield Line("VRAM", "none", f"measured on {amounts.where}, which says nothing about a GPU")
    else:
        yield Line(
            "VRAM", in_units(amounts.device), f"as torch reserves it on {amounts.where}; its driver's share is extra"
        )
    saved = _SAVED * BYTES_A_WEIGHT * amounts.weights
    disk = f"{in_units(amounts.store)} of prepared cases, {in_units(saved)} of checkpoints"
    yield Line("disk", disk, "the cases are shared by all trainings on this grid")
    epoch = f"{time_text(schedule.seconds_per_epoch)} for {schedule.steps_per_epoch} steps of "
    ends = f", of which the training takes {schedule.steps}" * (schedule.steps < schedule.steps_per_epoch)
    yield Line("an epoch", f"{epoch}{time_text(settled.found.best.seconds)}{ends}", "as measured here, now")
    about = "" if schedule.is_given else "about "
    yield Line("training", f"{time_text(schedule.seconds)} for {about}{schedule.steps} steps", _length_advice(settled))


def _cases(cohort: Cohort) -> Line:
    validation, test = cohort.num_validation or "none", cohort.num_test or "none"
    counts = f"{cohort.num_training} to train, {validation} to validate, {test} to test"
    return Line("cases", counts, "" if cohort.num_test else "--set split.test=0.2 keeps a fifth for a test at the end")


def _spacing(settled: Settled) -> Line:
    spacing, target = settled.experiment.preprocessing.spacing, settled.target
    if spacing != target.spacing:
        return Line("voxel size", spacing if isinstance(spacing, str) else f"{size_text(spacing)} mm", "as you set it")
    if target.finest is not None:
        return Line("voxel size", f"{size_text(spacing)} mm", _of_larger_voxels(settled, target.finest))
    why = f"the median of {len(settled.fingerprint.grids)} training cases"
    if target.coarse_axis is not None:
        why += f"; along axis {target.coarse_axis}, whose voxels are long, the 10th percentile"
    return Line("voxel size", f"{size_text(target.spacing)} mm", f"{why}; axes turned to right, front, up")


def _of_larger_voxels(settled: Settled, finest: Spacing) -> str:
    candidate = settled.found.best.candidate
    per_case = prod(resampled(candidate.space.shape, candidate.space.spacing, finest))
    return (
        f"larger than the median's {size_text(finest)}, at which so many voxels as a patch may have would be "
        f"{prod(candidate.patch_size) / per_case:.1%} of a case, too little for a short training to find its way; "
        f"by this grid labels lose no more than {MOST_LOST} Dice, as tried"
    )


def _of_normalization(name: str) -> str:
    if name == "percentile":
        return "CT has units: clipped to 0.5 to 99.5 % of what is labelled, then by its mean and deviation"
    if name == "zscore":
        return "each channel of a case by its own mean and deviation, since its units mean nothing"
    return "as you set it"


def _patch(settled: Settled) -> Line:
    patch, found = settled.experiment.sampling.patch_size, settled.found
    candidate = found.best.candidate
    median = size_text(candidate.space.shape)
    if candidate.space.patch_size is not None:
        return Line("patch", f"{size_text(patch)} voxels", "as you set it")
    if all(side >= whole for side, whole in zip(patch, candidate.space.shape, strict=True)):
        return Line(
            "patch", f"{size_text(patch)} voxels", f"covers a median case ({median}), in sides that can be halved"
        )
    why = f"a median case has {median}; the side that covers most was cut until {_limit(settled)}"
    return Line("patch", f"{size_text(patch)} voxels", why)


def _batch(settled: Settled) -> Line:
    candidate, larger = settled.found.best.candidate, settled.found.larger
    size = str(candidate.batch_size)
    if candidate.space.batch_size is not None:
        return Line("batch", size, "as you set it")
    if larger is None:
        return Line("batch", size, f"no more than {LARGEST_SHARE:.0%} of the data set's voxels at once")
    if larger.batch_size > candidate.batch_size:
        return Line("batch", size, f"{larger.batch_size} would be too large: {_limit(settled)}")
    return Line("batch", size, "the smallest there is; what is left of the budgets goes to the patch")


def _limit(settled: Settled) -> str:
    if settled.found.lacks == "memory":
        return "it fits the memory budget"
    if not settled.found.is_enough:
        return f"nothing smaller is left, though {FEWEST_STEPS} steps, none over {LONGEST_STEP_S:.0f} s, do not fit"
    fewest = fewest_steps(settled.found.larger or settled.found.best.candidate)
    return f"{fewest} steps, none over {LONGEST_STEP_S:.0f} s, fit the time"


def _network(settled: Settled) -> Line:
    network = settled.experiment.network
    if not settled.found.best.candidate.space.has_levels:
        return Line("network", network.name, "as you set it; its own options are as they come, or as you set them")
    channels = network.options["channels"]
    kernels = sum(1 in kernel for kernel in network.options["kernel_sizes"])
    why = [f"{len(channels)} levels: sides are halved while 4 voxels are left"]
    if kernels:
        why.append(f"kernels of the first {kernels} do not reach along long voxels")
    if channels[0] < WIDTHS[0] and settled.found.best.candidate.space.width is None:
        why.append(f"{channels[0]} features to begin with, not {WIDTHS[0]}: {_limit(settled)}")
    return Line("network", f"{network.name}, {channels[0]} to {channels[-1]} features", "; ".join(why))


def _length(settled: Settled) -> Line:
    schedule, training = settled.schedule, settled.experiment.training
    if training.max_time is not None:
        return Line(
            "length", f"{training.max_time}, about {schedule.steps} steps", "the time given, less what validation takes"
        )
    if schedule.is_in_epochs:
        return Line("length", f"{schedule.epochs} x {schedule.steps_per_epoch} steps", "the epochs that you set")
    if schedule.is_given:
        return Line("length", f"{schedule.steps} steps", "as you set it")
    if schedule.steps >= MOST_STEPS:
        return Line("length", f"{schedule.steps} steps", "nnU-Net's 1000 epochs of 250")
    return Line("length", f"{schedule.steps} steps", f"what a day holds; nnU-Net takes {MOST_STEPS}")


def _of_optimizer(settled: Settled) -> str:
    if settled.experiment.network.name in ATTENTIVE:
        return "small steps, which attention needs; a usual start, not tuned"
    if settled.schedule.steps < SHORT:
        return f"fast at first, for fewer than {SHORT} steps"
    return "nnU-Net's, for a long training"


def _length_advice(settled: Settled) -> str:
    schedule, has_time = settled.schedule, settled.experiment.training.max_time is not None
    if schedule.steps < FEWEST_STEPS:
        more = "time" if not schedule.is_given else "epochs" if schedule.is_in_epochs else "steps"
        return f"fewer than {FEWEST_STEPS}, which is little to learn from; give more {more}"
    return "" if schedule.is_given or has_time else "give --max-time for less"
