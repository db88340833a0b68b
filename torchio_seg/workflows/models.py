"""A trained model from its folder, ready to predict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from torchio_seg import checkpoint, components, devices
from torchio_seg.checkpoint import ModelCard
from torchio_seg.config.resolve import named_code, resolve
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import DataError, UsageError
from torchio_seg.network_sizes import sizes_of
from torchio_seg.predictor.native import Predictor
from torchio_seg.workflows.assembly import make_window
from torchio_seg.workflows.runs import find_checkpoint


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint that was opened, and what it can do."""

    folder: Path
    card: ModelCard
    experiment: Experiment
    """Its settings, with what the user changed of those that prediction follows."""
    predictor: Predictor


def load_model(model: Path, *, changes: dict[str, object] | None = None, trust: bool = False) -> LoadedModel:
    """Open a run or checkpoint folder; changes are settings that prediction follows, not those it was trained by."""
    folder = find_checkpoint(model)
    card = checkpoint.read_card(folder)
    if (names := named_code(card.experiment)) and not trust:
        raise UsageError(
            f"{folder} names {', '.join(names)}, code from outside this package, which using the model would run. If "
            "you trust that code, add --trust"
        )
    experiment = resolve(card.experiment, changes or {}, f"the model {folder} with these options")
    device = devices.choose(experiment.device)
    network = components.assemble(
        "networks", experiment.network.section, len(card.channels), card.labels.num_channels, card.patch_size
    )
    _load_weights(network, folder, card)
    window = make_window(experiment, card.patch_size, sizes_of(network))
    recipe = replace(card.recipe, nonfinite=experiment.preprocessing.nonfinite)
    predictor = Predictor(network.to(device).eval(), card.labels, recipe, window, device, experiment.training.precision)
    return LoadedModel(folder, card, experiment, predictor)


def _load_weights(network: torch.nn.Module, folder: Path, card: ModelCard) -> None:
    try:
        network.load_state_dict(checkpoint.read_weights(folder, card))
    except RuntimeError as error:
        raise DataError(f"the weights in {folder} do not fit the network that its card describes: {error}") from error
