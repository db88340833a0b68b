"""What a trained model is on disk: a folder with weights, and all that is needed to use them, in JSON.

    model.safetensors   the weights
    model.json          the card: labels, channels, preprocessing, settings, versions, what it was trained on, and the
                        weights' hash
    trainer.pt          what it takes to go on training (only tensors and plain types)

A folder is written beside its place and renamed into it, so it is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from torchio_seg.errors import DataError
from torchio_seg.records import Labels
from torchio_seg.transforms.recipe import Recipe

WEIGHTS, CARD, TRAINER = "model.safetensors", "model.json", "trainer.pt"
FORMAT = 1
_PREVIOUS = ".previous"


Triple = tuple[float, float, float]
Range = tuple[float, float]


@dataclass(frozen=True)
class ChannelSeen:
    """One channel over the training cases: of each percentile of a case's voxels that are not 0, lowest and highest."""

    percentile_1: Range
    median: Range
    percentile_99: Range


@dataclass(frozen=True)
class Seen:
    """What the training cases were like, their axes turned to right, front, up: each the lowest and the highest."""

    num_cases: int
    spacing_mm: tuple[Triple, Triple]
    """Of their files, before resampling."""
    shape: tuple[Triple, Triple]
    """Voxels of their files."""
    extent_mm: tuple[Triple, Triple]
    """Shape times voxel size."""
    channels: tuple[ChannelSeen, ...]


@dataclass(frozen=True)
class ModelCard:
    """Everything about a model but its weights."""

    experiment: dict[str, Any]
    """The complete settings it was trained with."""
    dataset: str
    channels: tuple[str, ...]
    is_ct: bool
    labels: Labels
    recipe: Recipe
    patch_size: tuple[int, int, int]
    progress: dict[str, float | int | None] = field(default_factory=dict)
    """Epoch, step and validation Dice when it was saved."""
    versions: dict[str, str] = field(default_factory=dict)
    initial: dict[str, Any] | None = None
    """Where the weights that its training began with are from, unless they were random."""
    seen: Seen | None = None
    """What its training cases were like; None for cards from before that was kept."""
    sha256: str = ""
    """Of the weights file."""
    format: int = FORMAT


_CARD = TypeAdapter(ModelCard)


def save(folder: Path, network: torch.nn.Module, card: ModelCard, trainer_state: Mapping[str, Any]) -> None:
    """Write a checkpoint; one that lies there already stays until the new one is whole."""
    for left in folder.parent.glob(f".{folder.name}.*.tmp"):  # by a process that was killed: a run has one writer
        shutil.rmtree(left, ignore_errors=True)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        draft.mkdir(parents=True)
        save_file(_owned(network.state_dict()), draft / WEIGHTS)
        card = replace(card, sha256=sha256_of(draft / WEIGHTS))
        (draft / CARD).write_text(card_text(card), encoding="utf-8")
        torch.save(dict(trainer_state), draft / TRAINER)
        for file in (*draft.iterdir(), draft):
            _sync(file)
        _swap(draft, folder)
    except (OSError, SafetensorError, RuntimeError) as error:  # the latter two from writers of weights, on a full disk
        raise DataError(
            f"the checkpoint {folder} could not be written: {_first_line(error)}; make room and --resume: an earlier "
            "one is kept"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read_card(folder: Path) -> ModelCard:
    """The card of a checkpoint."""
    path = _present(folder) / CARD
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"{folder} is not a model folder: {CARD} cannot be used ({error})") from error
    return parse_card(text, str(folder))


def card_text(card: ModelCard) -> str:
    """A card as JSON."""
    return _CARD.dump_json(card, indent=2).decode()


def parse_card(text: str | bytes, name: str) -> ModelCard:
    """A card from JSON that was found in what has this name."""
    try:
        card = _CARD.validate_json(text)
    except ValidationError as error:
        raise DataError(f"{name} is not a model folder or file: {CARD} cannot be used ({error})") from error
    if card.format != FORMAT:
        raise DataError(f"{name}: written in format {card.format}, this version reads {FORMAT}")
    return card


def read_weights(folder: Path, card: ModelCard) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint, if they are those that its card was written for."""
    path = _present(folder) / WEIGHTS
    try:
        found = sha256_of(path)
        if found != card.sha256:
            raise DataError(f"{path}: sha256 is {found[:12]}..., the card says {card.sha256[:12]}...; it is damaged")
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(
            f"{path}: cannot be read: {reason}; give another checkpoint with --model, or train again"
        ) from error


def read_trainer_state(folder: Path) -> dict[str, Any]:
    """What a training left to be continued; only tensors and plain types are accepted."""
    path = _present(folder) / TRAINER
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DataError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error
    return state


def exists(folder: Path) -> bool:
    """Whether a checkpoint lies here."""
    return (_present(folder) / CARD).is_file()


def files_of(folder: Path) -> tuple[Path, Path]:
    """What prediction needs of a checkpoint: weights and card."""
    return _present(folder) / WEIGHTS, _present(folder) / CARD


def saved_at(folder: Path) -> float:
    """When a checkpoint was saved, in seconds since 1970."""
    return (_present(folder) / CARD).stat().st_mtime


def _present(folder: Path) -> Path:
    """The folder itself, or the one before it, should a kill have come between the two renames of a save."""
    previous = folder.with_name(folder.name + _PREVIOUS)
    return previous if not folder.exists() and previous.exists() else folder


def _swap(draft: Path, folder: Path) -> None:
    previous = folder.with_name(folder.name + _PREVIOUS)
    if folder.exists():
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    draft.rename(folder)
    _sync(folder.parent)
    shutil.rmtree(previous, ignore_errors=True)


def _owned(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each tensor in memory of its own: some networks hold one twice, some are not contiguous."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}


def sha256_of(path: Path) -> str:
    """The digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
