"""Opening a trained model: a run, a checkpoint, an ensemble, what was exported, or an artifact."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from torchio_seg import checkpoint, components, devices, ensemble, speedups
from torchio_seg.checkpoint import ModelCard
from torchio_seg.config.resolve import named_code, resolve
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import DataError, UsageError
from torchio_seg.export.monai_bundle import is_bundle
from torchio_seg.facts.memory import cache_folder
from torchio_seg.network_sizes import Sizes, sizes_of
from torchio_seg.predictor.ensemble import Ensemble
from torchio_seg.predictor.mirroring import Mirrored
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.tracking.wandb_models import PREFIX, download
from torchio_seg.workflows.assembly import make_window
from torchio_seg.workflows.exported import exported_size, in_fp32, is_exported, open_exported, placed
from torchio_seg.workflows.models import LoadedModel
from torchio_seg.workflows.runs import find_checkpoint, find_ensemble

log = logging.getLogger(__name__)

TORCHIO_FLIP = "torchio.RandomFlip"
"""What may stand beside our own steps and mirrors too."""


def load_model(
    model: Path,
    *,
    changes: dict[str, object] | None = None,
    trust: bool = False,
    mirror: bool = False,
    local_rank: int | None = None,
) -> LoadedModel:
    """Open a run, a checkpoint, an ensemble, what was exported, or wandb:ENTITY/PROJECT/NAME:VERSION.

    `changes`: settings that prediction follows. `mirror`: networks also see mirror images, along the axes of their
    training. `local_rank`: this is one of several processes on the machine, each of which takes a GPU of its own.
    """
    if str(model).startswith(PREFIX):
        model = download(str(model), cache_folder() / "models")
    if is_exported(model):
        return _load_exported(model, changes or {}, trust=trust, mirror=mirror, local_rank=local_rank)
    folder = find_ensemble(model)
    load = partial(_load, changes=changes or {}, trust=trust, mirror=mirror, local_rank=local_rank)
    if folder is None:
        _require_no_bundle(model)
        return load(find_checkpoint(model))
    record = ensemble.read(folder)
    members = {member.folder: load(folder / member.folder) for member in record.members}
    require_alike({name: member.card for name, member in members.items()})
    first, *_ = members.values()
    if unknown := {step.region for step in record.postprocessing} - {
        region.name for region in first.card.labels.regions
    }:
        raise DataError(f"{folder} mends regions that its members do not know: {', '.join(sorted(unknown))}")
    predictors = tuple(member.predictor for member in members.values() if isinstance(member.predictor, Predictor))
    return LoadedModel(folder, first.card, first.experiment, Ensemble(predictors, record.postprocessing))


def _require_no_bundle(model: Path) -> None:
    if is_bundle(model):
        raise UsageError(
            f"{model} is a MONAI bundle, which does not say all that a prediction needs; name the run that it was "
            f"exported from, or give its weights beside an experiment: --config FILE.yaml --weights {model}"
        )


def load_models(
    models: Sequence[Path],
    *,
    changes: dict[str, object] | None = None,
    trust: bool = False,
    mirror: bool = False,
    local_rank: int | None = None,
) -> LoadedModel:
    """Open each as `load_model` does; of several, the members of all are one ensemble."""
    load = partial(load_model, changes=changes, trust=trust, mirror=mirror, local_rank=local_rank)
    loaded = [load(model) for model in models]
    return loaded[0] if len(loaded) == 1 else _together(loaded)


def _together(loaded: Sequence[LoadedModel]) -> LoadedModel:
    require_alike({str(each.folder): each.card for each in loaded})
    first, *others = loaded
    owners: dict[str, Path] = {}
    for each in loaded:
        _require_new(each, owners)
        if each.members[0].device != first.members[0].device:
            raise UsageError(
                f"{first.folder} is computed on {first.members[0].device}, {each.folder} on {each.members[0].device}; "
                "models are predicted with together on one device, all on --device cpu for one"
            )
        if each.steps:
            log.warning(
                "%s: what it mends of label maps was chosen for its own, and is left out beside other models: %s",
                each.folder,
                ", ".join(map(str, each.steps)),
            )
    members = tuple(chain.from_iterable(each.members for each in loaded))
    return replace(first, predictor=Ensemble(members), others=tuple(each.folder for each in others))


def _require_new(loaded: LoadedModel, owners: dict[str, Path]) -> None:
    """Refuse weights that are there already; take note of whose the others are."""
    folder = loaded.folder
    records = ensemble.read(folder).members if ensemble.exists(folder) else ()
    own = {member.weights for member in records} or {loaded.card.sha256 or str(folder.resolve())}
    if owner := next((owners[weights] for weights in own if weights in owners), None):
        twice = "it is named twice" if owner.resolve() == folder.resolve() else f"{owner} has the same weights"
        raise UsageError(f"{folder} would count twice: {twice}; name one of the two")
    owners.update(dict.fromkeys(own, folder))


def require_alike(cards: Mapping[str, ModelCard]) -> None:
    """Refuse models whose probabilities have no mean, those of other channels or labels than the first.

    Each brings volumes to a grid of its own, and normalises for itself.
    """
    (first_name, first), *others = cards.items()
    for name, card in others:
        for what in ("channels", "labels"):
            if getattr(card, what) != getattr(first, what):
                raise DataError(
                    f"{name} has other {what} than {first_name}, so that there is no mean of what they predict; an "
                    "ensemble is made of models for the same channels and labels"
                )


def _load(
    folder: Path, *, changes: dict[str, object], trust: bool, mirror: bool, local_rank: int | None
) -> LoadedModel:
    card = checkpoint.read_card(folder)
    _require_trust(card, folder, trust=trust)
    experiment = resolve(card.experiment, changes, f"the model {folder} with these options")
    device = devices.choose(experiment.device, local_rank)
    network = components.assemble(
        "networks", experiment.network.section, len(card.channels), card.labels.num_channels, card.patch_size
    )
    _load_weights(network, folder, card)
    window = make_window(experiment, card.patch_size, sizes_of(network))
    recipe = replace(card.recipe, nonfinite=experiment.preprocessing.nonfinite)
    answer: Callable[[torch.Tensor], torch.Tensor] = ready(network, experiment, device)
    if mirror:
        answer = Mirrored(answer, trained_axes(folder, experiment), card.labels.exclusive)
    predictor = Predictor(answer, card.labels, recipe, window, device, experiment.training.precision)
    return LoadedModel(folder, card, experiment, predictor)


def ready(network: torch.nn.Module, experiment: Experiment, device: torch.device) -> torch.nn.Module:
    """The network to predict with; channels last where it was trained so, and on every GPU by NVIDIA."""
    if experiment.training.channels_last or device.type == "cuda":
        speedups.use_channels_last(network)
    return network.to(device).eval()


def trained_axes(folder: Path, experiment: Experiment) -> tuple[int, ...]:
    """The axes that the model saw mirrored in its training."""
    axes = mirrored_axes([step.section for step in experiment.augmentation.spatial])
    if not axes:
        raise UsageError(
            f"{folder} was trained without flips, so that left and right, front and back may mean something to it, and "
            "mirror images would mislead it: leave --tta out, or use a model with flip in augmentation.spatial"
        )
    return axes


def mirrored_axes(steps: Iterable[Mapping[str, Any]]) -> tuple[int, ...]:
    """The axes that steps of augmentation mirror, those inside one_of too."""
    found: set[int] = set()
    for step in steps:
        section = components.complete("transforms.spatial", step)
        if section["name"] == "flip" and section["probability"] > 0:
            found |= set(section["axes"])
        elif section["name"] == "one_of" and section["probability"] > 0:
            found |= set(mirrored_axes(section["steps"]))
        elif section["name"] == TORCHIO_FLIP and section["p"] * section["flip_probability"] > 0:
            found |= {section["axes"]} if isinstance(section["axes"], int) else set(section["axes"])
    return tuple(sorted(found))


def _load_exported(
    path: Path, changes: dict[str, object], *, trust: bool, mirror: bool, local_rank: int | None
) -> LoadedModel:
    network, card = open_exported(path, trust=trust)
    _require_trust(card, path, trust=trust)
    experiment = resolve(card.experiment, in_fp32(path, changes), f"the model {path} with these options")
    window = make_window(experiment, exported_size(card), Sizes(fixed_size=exported_size(card)))
    network, device = placed(network, experiment, path, local_rank)
    recipe = replace(card.recipe, nonfinite=experiment.preprocessing.nonfinite)
    if mirror:
        network = Mirrored(network, trained_axes(path, experiment), card.labels.exclusive)
    return LoadedModel(path, card, experiment, Predictor(network, card.labels, recipe, window, device, "fp32"))


def _require_trust(card: ModelCard, model: Path, *, trust: bool) -> None:
    if (names := named_code(card.experiment)) and not trust:
        raise UsageError(
            f"{model} names {', '.join(names)}, code from outside this package, which using the model would run. If "
            "you trust that code, add --trust"
        )


def _load_weights(network: torch.nn.Module, folder: Path, card: ModelCard) -> None:
    try:
        network.load_state_dict(checkpoint.read_weights(folder, card))
    except RuntimeError as error:
        raise DataError(f"the weights in {folder} do not fit the network that its card describes: {error}") from error
