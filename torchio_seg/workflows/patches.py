"""From an experiment's words to how patches are chosen and changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torchio as tio

from torchio_seg import components, devices
from torchio_seg.errors import ConfigError
from torchio_seg.sampling.choices import Balanced, Choice, Foreground, Uniform, Weighted
from torchio_seg.sampling.finishing import require_ours
from torchio_seg.sampling.patches import PatchRecipe
from torchio_seg.transforms.random import fused
from torchio_seg.transforms.resampling import Interpolation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchio_seg.config.sections import Experiment
    from torchio_seg.records import Labels
    from torchio_seg.workflows.assembly import Plan


def make_patch_recipe(experiment: Experiment, plan: Plan) -> PatchRecipe:
    """How training cases become patches."""
    choice = make_choice(experiment, plan.dataset.labels)
    augmentation = make_augmentation(experiment)
    return PatchRecipe(plan.recipe, plan.patch_size, experiment.sampling.patches_per_case, choice, augmentation)


def make_choice(experiment: Experiment, labels: Labels) -> Choice:
    """Around which voxels patches are cut."""
    sampling = experiment.sampling
    classes = None if sampling.classes is None else _values_of(sampling.classes, labels)
    if sampling.mode == "foreground":
        if classes == (0,):
            raise ConfigError("sampling.classes names background alone, and mode foreground cuts no patch around it")
        return Foreground(sampling.foreground_fraction, classes)
    if sampling.mode == "balanced":
        return Balanced(classes)
    return Weighted() if sampling.mode == "weighted" else Uniform()


def _values_of(names: Sequence[str], labels: Labels) -> tuple[int, ...]:
    """The label values of labels or regions."""
    known = {region.name: region.labels for region in labels.regions}
    known |= {name: (value,) for value, name in labels.names.items() if value != labels.ignore}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(
            f"sampling.classes: the data set has no {', '.join(unknown)}; it has {', '.join(sorted(known))}"
        )
    return tuple(sorted({value for name in names for value in known[name]}))


def make_augmentation(experiment: Experiment) -> tio.Compose:
    """The random changes of a patch, spatial ones first."""
    steps = [
        components.assemble(f"transforms.{part}", step.section)
        for part, section in (
            ("spatial", experiment.augmentation.spatial),
            ("intensity", experiment.augmentation.intensity),
        )
        for step in section
    ]
    return fuse(experiment, steps)


def require_device(experiment: Experiment, augmentation: tio.Compose) -> None:
    """Refuse to augment on a GPU that does not train, or steps that cannot run there."""
    if experiment.augmentation.device != "cuda":
        return
    training = devices.choose(experiment.device).type
    if training != "cuda":
        raise ConfigError(
            f"augmentation.device is cuda, but training runs on {training}; use augmentation.device=cpu, or train on a "
            "GPU with --device cuda"
        )
    require_ours(augmentation)


def fuse(experiment: Experiment, steps: Sequence[tio.Transform]) -> tio.Compose:
    """These steps in order, neighbouring ones of ours as one, interpolated as the experiment says."""
    chosen = experiment.augmentation
    return tio.Compose(fused(steps, Interpolation(chosen.image_interpolation, chosen.label_interpolation)), copy=False)
