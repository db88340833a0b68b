"""From an experiment's words to the parts of a training: cases, split, preprocessing, patch size, network."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from math import prod
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from torchio_seg import components
from torchio_seg.checkpoint import ModelCard
from torchio_seg.config.values import voxels
from torchio_seg.distributed import ALONE, Peers
from torchio_seg.errors import ConfigError, DataError
from torchio_seg.network_sizes import Sizes, check_patch_size, sizes_of
from torchio_seg.predictor.window import Window
from torchio_seg.splits import divide
from torchio_seg.targets import leave_out_ignored, leave_out_ignored_of_all
from torchio_seg.transforms.normalization import learn_landmarks, learn_statistics
from torchio_seg.transforms.preprocessing import Grids, find_grids
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.volumes.nifti import read_geometry
from torchio_seg.workflows.best import parse_best
from torchio_seg.workflows.cases import find_classes, load_dataset, load_known
from torchio_seg.workflows.check import check_dataset, require_sound
from torchio_seg.workflows.fine_tuning import Beginner, begin_with, read_pretrained
from torchio_seg.workflows.network import build_network, fit_network
from torchio_seg.workflows.patches import make_augmentation, make_choice, require_device
from torchio_seg.workflows.storing import prepare_cases

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torchio_seg.config.sections import Experiment
    from torchio_seg.progress import Progress
    from torchio_seg.records import Case, Dataset, Split
    from torchio_seg.step import Loss
    from torchio_seg.store.store import Stored
    from torchio_seg.store.voxels import Voxels

log = logging.getLogger(__name__)

MOST_BYTES = 8 * 2**30
"""Of one resampled volume."""


@dataclass(frozen=True)
class Plan:
    """Everything about a training that follows from the settings and the files, before the first step."""

    dataset: Dataset
    split: Split
    recipe: Recipe
    patch_size: tuple[int, int, int]
    network: torch.nn.Module
    stored: tuple[Stored, ...] = ()
    """The training cases, prepared."""
    initial: dict[str, Any] | None = None
    """Where the network's first weights are from, unless they are random."""


def make_plan(experiment: Experiment, *, progress: Progress | None = None, trust: bool = False) -> Plan:
    """Find the cases, divide and check them, resolve preprocessing, and build a network that fits the patches."""
    pretrained = read_pretrained(experiment, trust=trust)
    dataset = load_dataset(experiment, progress=progress)
    _require_parts(experiment, dataset)
    split = divide(dataset, experiment.split, find_classes(dataset, progress=progress))
    _require_validation(experiment, split)
    require_sound(check_dataset(experiment, dataset, split, progress=progress), experiment)
    training = dataset.choose(split.training)
    recipe, grids = resolve_grids(experiment, dataset, training)
    network, patch_size = fit_network(experiment, dataset, [grid.model_shape for grid in grids])
    beginner = Beginner(experiment, dataset, recipe, network, patch_size)
    initial = None if pretrained is None else begin_with(pretrained, beginner)
    stored = prepare_cases(experiment, dataset, training, recipe, progress=progress)
    recipe = learn(recipe, experiment, (each.open() for each in stored))
    return Plan(dataset, split, recipe, patch_size, network, stored, initial)


def recall_plan(experiment: Experiment, card: ModelCard, split: Split, *, progress: Progress | None = None) -> Plan:
    """The plan that an earlier training followed: what it learnt from its files is taken from its records."""
    dataset = load_known(experiment, card, progress=progress)
    for ids in (split.training, split.validation, split.test):
        dataset.choose(ids)
    _require_validation(experiment, split)
    require_sound(check_dataset(experiment, dataset, split, progress=progress), experiment)
    require_device(experiment, make_augmentation(experiment))
    network = build_network(experiment, dataset, card.patch_size)
    training = dataset.choose(split.training)
    stored = prepare_cases(experiment, dataset, training, card.recipe, progress=progress)
    return Plan(dataset, split, card.recipe, card.patch_size, network, stored, card.initial)


def resolve_grids(experiment: Experiment, dataset: Dataset, training: Sequence[Case]) -> tuple[Recipe, list[Grids]]:
    """The recipe as far as headers decide it, and each training case's grids under it."""
    settings = experiment.preprocessing
    normalization = settings.normalization
    if normalization == "auto":
        normalization = "percentile" if dataset.is_ct else "zscore"
    recipe = Recipe(
        None,
        settings.resize,
        normalization,
        settings.window,
        crop_or_pad=settings.crop_or_pad,
        nonfinite=settings.nonfinite,
        antialias=settings.antialias,
    )
    if settings.spacing == "median":
        recipe = replace(recipe, spacing=(spacing := median_spacing(training)))
        log.info("voxel size %.3g x %.3g x %.3g mm, the median of the training cases", *spacing)
    elif settings.spacing != "native":
        recipe = replace(recipe, spacing=settings.spacing)
    return recipe, [require_size(case, recipe, len(dataset.channels)) for case in training]


def median_spacing(cases: Sequence[Case]) -> tuple[float, float, float]:
    """The median voxel size of the cases in mm, axis by axis, after turning."""
    geometries = [read_geometry(case.images[0]) for case in cases]
    turned = [find_grids(geometry.shape, geometry.affine, Recipe(None, None, "none")) for geometry in geometries]
    spacings = [np.linalg.norm(grid.affine[:3, :3], axis=0).tolist() for grid in turned]
    i, j, k = (round(median(axis), 6) for axis in zip(*spacings, strict=True))
    return i, j, k


def require_size(case: Case, recipe: Recipe, num_channels: int) -> Grids:
    """The grids of a case; refuse one that resampling would blow up, as one whose header counts in metres."""
    geometry = read_geometry(case.images[0])
    grids = find_grids(geometry.shape, geometry.affine, recipe)
    shape = grids.resampled_shape
    if (needed := 4 * num_channels * prod(shape)) > MOST_BYTES:
        raise DataError(
            f"case {case.id}: at the voxel size of the experiment it has {' x '.join(map(str, shape))} voxels, "
            f"{needed / 2**30:.0f} GiB; its header may be wrong (torchio-seg check tells), or set a larger "
            "preprocessing.spacing"
        )
    return grids


def learn(recipe: Recipe, experiment: Experiment, cases: Iterable[Voxels]) -> Recipe:
    """The recipe with what normalisation takes from the voxels of the training cases, each with the same weight."""
    if recipe.normalization == "percentile":
        samples = [case.sample for case in cases]
        if not sum(sample.shape[1] for sample in samples):
            raise DataError(
                "no training case has foreground, so preprocessing.normalization=percentile has nothing to use"
            )
        return replace(recipe, statistics=learn_statistics(samples, experiment.preprocessing.percentiles))
    if recipe.normalization == "histogram":
        return replace(recipe, landmarks=learn_landmarks([case.record.measures for case in cases]))
    return recipe


def make_window(experiment: Experiment, patch_size: tuple[int, int, int], sizes: Sizes) -> Window:
    """How volumes are predicted: as the settings say, with the training's patch where they say nothing."""
    settings = experiment.prediction
    chosen = settings.patch_size or patch_size
    check_patch_size(chosen, sizes, experiment.network.name, setting="prediction.patch_size")
    return Window(chosen, _overlap(settings.overlap, chosen), settings.batch_size, settings.blending)


def _overlap(overlap: float | str, patch_size: tuple[int, int, int]) -> float | tuple[int, int, int]:
    """A share, or voxels that are fewer than a patch has."""
    if not isinstance(overlap, str):
        return overlap
    given = voxels(overlap)
    if all(length < side for length, side in zip(given, patch_size, strict=True)):
        return given
    most = ",".join(str((side - 1) // 2 * 2) for side in patch_size)
    raise ConfigError(
        f"prediction.overlap is {overlap}, the patch {' x '.join(map(str, patch_size))} voxels; neighbours must be "
        f"apart: at most {most}vox"
    )


def build_loss(experiment: Experiment, dataset: Dataset, peers: Peers = ALONE) -> Loss:
    """The loss, blind to the voxels that the data set leaves open; of a batch of which peers have other parts."""
    pooled = experiment.loss.section.get("batch") is True
    if peers.num_ranks > 1 and pooled:
        _require_pooling(experiment, peers)
    section, exclusive = experiment.loss.section, dataset.labels.exclusive
    loss: Loss = components.assemble("losses", section, exclusive, pool=peers.pool)
    if dataset.labels.ignore is None:
        return loss
    blind = leave_out_ignored_of_all if pooled else leave_out_ignored
    return blind(loss, pool=peers.pool if peers.num_ranks > 1 else None)


def _require_pooling(experiment: Experiment, peers: Peers) -> None:
    """Refuse a loss over a whole batch that cannot see the samples of other processes."""
    name = experiment.loss.name
    if not components.accepts("losses", name, "pool"):
        raise ConfigError(
            f"loss '{name}' with batch: true sees the {experiment.training.batch_size} samples of its own process, not "
            f"those of the {peers.num_ranks} that learn together: set loss.batch=false, or give its build() an "
            "argument pool, as losses/dice.py has"
        )


def _require_validation(experiment: Experiment, split: Split) -> None:
    """Refuse a patience that nothing would ever try."""
    if (patience := experiment.training.patience) is not None and not split.validation:
        raise ConfigError(
            f"training.patience is {patience} validations, but no case is kept to validate on ({split.origin}): set "
            "training.patience=null, or keep some with split.validation"
        )


def _require_parts(experiment: Experiment, dataset: Dataset) -> None:
    """Build everything once, so that what cannot be built or does not fit stops before volumes are read."""
    if experiment.sampling.mode != "whole":  # whose patch the headers decide
        network = build_network(experiment, dataset, experiment.sampling.patch_size)
        make_window(experiment, experiment.sampling.patch_size, sizes_of(network))
    make_choice(experiment, dataset.labels)
    require_device(experiment, make_augmentation(experiment))
    build_loss(experiment, dataset)
    parse_best(experiment.training.best, [region.name for region in dataset.labels.regions])
