"""A trained model from its folder, or an ensemble of several, ready to predict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from torchio_seg import checkpoint, components, devices, ensemble, speedups
from torchio_seg.checkpoint import ModelCard
from torchio_seg.config.resolve import named_code, resolve
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import DataError, UsageError
from torchio_seg.facts.memory import cache_folder
from torchio_seg.network_sizes import Sizes, sizes_of
from torchio_seg.postprocessing import Step
from torchio_seg.predictor.ensemble import Ensemble
from torchio_seg.predictor.mirroring import Mirrored
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.predictor.skipping import Skipping, without_skipping
from torchio_seg.predictor.uncertainty import MEASURES
from torchio_seg.tracking.wandb_models import PREFIX, download
from torchio_seg.workflows.assembly import make_window
from torchio_seg.workflows.beforehand import require_word
from torchio_seg.workflows.budgets import Budgets, Fitting
from torchio_seg.workflows.exported import exported_size, in_fp32, is_exported, open_exported, placed
from torchio_seg.workflows.runs import find_checkpoint, find_ensemble

TORCHIO_FLIP = "torchio.RandomFlip"
"""What may stand beside our own steps and mirrors too."""
ALL = "all"
"""In place of the names of all regions."""
AXES = ("left-right", "back-front", "down-up")


@dataclass(frozen=True)
class Patches:
    """How many there were, for each network, and how many of them were skipped, there being nothing in them."""

    number: int
    skipped: int


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint or an ensemble that was opened, and what it can do."""

    folder: Path
    card: ModelCard
    """Of an ensemble, its first member's."""
    experiment: Experiment
    """Its settings, with what the user changed of those that prediction follows."""
    predictor: Predictor | Ensemble
    budgets: Budgets = field(default_factory=Budgets)
    """Of memory, to which each volume's prediction is fitted."""

    @cached_property
    def fitting(self) -> Fitting:
        """What fits its predictor to volumes; it measures the network once."""
        return Fitting(self.predictor, len(self.card.channels), self.budgets)

    @cached_property
    def _unsure(self) -> dict[str, LoadedModel]:
        """Those that were asked for, by the kind of uncertainty that they tell."""
        return {}

    def telling(self, kind: str) -> LoadedModel:
        """`with_uncertainty`, the same one at every call, so that it too measures its network once."""
        if kind not in self._unsure:
            self._unsure[kind] = with_uncertainty(self, kind)
        return self._unsure[kind]

    @property
    def members(self) -> tuple[Predictor, ...]:
        """The predictors of one network each, of which an ensemble has several."""
        return (self.predictor,) if isinstance(self.predictor, Predictor) else self.predictor.members

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is mended of its label maps."""
        return () if isinstance(self.predictor, Predictor) else self.predictor.steps

    @property
    def mirrored(self) -> tuple[int, ...]:
        """The axes along which its networks see mirror images too."""
        networks = [without_skipping(each.network) for each in self.members]
        return tuple(sorted({axis for each in networks if isinstance(each, Mirrored) for axis in each.axes}))

    @property
    def patches(self) -> Patches | None:
        """What its networks were asked about so far; None where nothing is skipped."""
        skipping = [each.network for each in self.members if isinstance(each.network, Skipping)]
        if not skipping:
            return None
        return Patches(sum(each.num_patches for each in skipping), sum(each.num_skipped for each in skipping))

    @property
    def notes(self) -> list[str]:
        """What is said of it before it predicts."""
        combined = [f"{len(self.members)} models, {ensemble.MEAN}"] if len(self.members) > 1 else []
        mirrored = [f"mirrored along {_axes(self.mirrored)}"] if self.mirrored else []
        skipping = ["of patches that are the same everywhere, one is predicted"] if self.patches is not None else []
        return [*combined, *mirrored, *skipping, *(f"post-processing: {step}" for step in self.steps)]

    def predict(
        self,
        image: Any,
        *,
        affine: Any = None,
        series: str | None = None,
        probabilities: bool = False,
        uncertainty: str | None = None,
    ) -> Any:
        """The label map of an image, of the image's own kind, on its own grid (docs/python.md).

        `image`: a path, a nibabel image, a `tio.ScalarImage`, or an array (C) I J K with `affine`; of several channels
        also a list of these in the model's order, or a dict by the model's names. `series`: of DICOM with several.
        `probabilities`, and `uncertainty` as entropy or disagreement: hand back a tuple of the label map and these.
        """
        from torchio_seg.workflows.in_python import predict

        return predict(self, image, affine, series=series, probabilities=probabilities, uncertainty=uncertainty)


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


def with_uncertainty(model: LoadedModel, kind: str) -> LoadedModel:
    """The model, which tells too how unsure it is of each voxel; its networks must be mirrored to disagree."""
    require_word("--uncertainty", kind, tuple(MEASURES))
    members = tuple(replace(each, measure=MEASURES[kind]) for each in model.members)
    if kind == "disagreement":
        if not model.mirrored:
            raise UsageError("--uncertainty disagreement is that between mirror images: add --tta, or take entropy")
        members = tuple(replace(each, network=_disagreeing(each.network)) for each in members)
    return _with_members(model, members)


def _disagreeing(network: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    if isinstance(network, Skipping):
        return Skipping(_disagreeing(network.network))
    return replace(network, tells_disagreement=True) if isinstance(network, Mirrored) else network


def _with_members(model: LoadedModel, members: tuple[Predictor, ...]) -> LoadedModel:
    if isinstance(model.predictor, Ensemble):
        return replace(model, predictor=replace(model.predictor, members=members))
    return replace(model, predictor=members[0])


def skip_empty(model: LoadedModel) -> LoadedModel:
    """The model, whose networks are asked only once about patches that are the same everywhere."""
    return _with_members(model, tuple(replace(each, network=Skipping(each.network)) for each in model.members))


def keep_largest(model: LoadedModel, regions: Sequence[str]) -> LoadedModel:
    """The model, of whose regions of these names only the largest piece is kept; `all`: of every region."""
    known = tuple(region.name for region in model.card.labels.regions)
    chosen = known if list(regions) == [ALL] and ALL not in known else tuple(dict.fromkeys(regions))
    for name in chosen:
        if name not in known:
            raise UsageError(f"--keep-largest {name}: no such region{components.suggestion(name, (*known, ALL))}")
    steps = (*model.steps, *(Step(name, "keep_largest") for name in chosen))
    return replace(model, predictor=Ensemble(model.members, steps)) if chosen else model


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


def _axes(axes: Sequence[int]) -> str:
    return " and ".join(AXES[axis] for axis in axes)


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
