"""A trained model, or an ensemble of several, that is ready to predict, and what it can be asked to do otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from torchio_seg import components, ensemble
from torchio_seg.checkpoint import ModelCard
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import UsageError
from torchio_seg.postprocessing import Step, told
from torchio_seg.predictor.ensemble import Ensemble
from torchio_seg.predictor.mirroring import Mirrored
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.predictor.skipping import Skipping, without_skipping
from torchio_seg.predictor.uncertainty import MEASURES
from torchio_seg.workflows.beforehand import require_word
from torchio_seg.workflows.budgets import Budgets, Fitting

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
    """Of several that were opened together, the first one's."""
    card: ModelCard
    """Of an ensemble, its first member's."""
    experiment: Experiment
    """Its settings, with what the user changed of those that prediction follows."""
    predictor: Predictor | Ensemble
    budgets: Budgets = field(default_factory=Budgets)
    """Of memory, to which each volume's prediction is fitted."""
    others: tuple[Path, ...] = ()
    """Where those lie that were opened together with the first."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """Of all models that were opened."""
        return (self.folder, *self.others)

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
        mending = [f"post-processing: {told(self.steps)}"] if self.steps else []
        return [*combined, *mirrored, *skipping, *mending]

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


def _axes(axes: Sequence[int]) -> str:
    return " and ".join(AXES[axis] for axis in axes)
