"""Files of weights: what kind each is, and its tensors by name."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from torchio_seg.errors import DataError, UsageError
from torchio_seg.weights import nnunet, torchscript
from torchio_seg.weights.nesting import find_state_dict
from torchio_seg.weights.unpickling import unpickle

BUNDLED = Path("models") / "model.pt"
"""Where a MONAI bundle keeps its weights; its model.ts is a program, its configs/ name code."""


@dataclass(frozen=True)
class Weights:
    """Tensors by the names under which they were saved."""

    name: str
    """Of the file, for messages."""
    tensors: Mapping[str, torch.Tensor]
    kind: str
    """What the file is, in words."""
    sha256: str = ""
    is_nnunet: bool = False
    """Whether names are nnU-Net's."""
    network: str = ""
    """What network they were made for, where that is known."""


def read(path: Path, *, trust: bool = False) -> Weights:
    """The weights of a file or of a MONAI bundle's folder; those of a TorchScript archive only with trust."""
    file = path / BUNDLED if path.is_dir() else path
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            weights = _read(stream, str(file), trust=trust)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no weights there: {file} does not exist") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error
    return replace(weights, sha256=digest, kind="MONAI bundle" if path.is_dir() else weights.kind)


def _read(stream: IO[bytes], name: str, *, trust: bool) -> Weights:
    if name.endswith(".safetensors"):
        return Weights(name, _read_safetensors(stream, name), "state_dict")
    members = _members(stream, name)
    if torchscript.is_archive(members):
        _require_trust(name, trust=trust)
        return Weights(name, torchscript.read_parameters(stream, name), "TorchScript archive")
    if bundled := [member for member in members if Path(member).parts[-2:] == BUNDLED.parts]:
        with zipfile.ZipFile(stream) as archive:
            content = io.BytesIO(archive.read(bundled[0]))
        return replace(_read(content, f"{name}/{bundled[0]}", trust=trust), kind="MONAI bundle")
    return _interpret(unpickle(stream, name), name)


def _interpret(saved: Any, name: str) -> Weights:
    """A network's tensors in what a trainer saved, those of nnU-Net's as they would be for our axes."""
    tensors = find_state_dict(saved, name)
    if not nnunet.is_checkpoint(saved):
        return Weights(name, tensors, "state_dict")
    if (axes := nnunet.find_axes(saved, name)) is None:
        return Weights(name, tensors, "nnU-Net checkpoint without plans, its axes taken as ours", is_nnunet=True)
    network = nnunet.describe(saved, axes)
    return Weights(name, nnunet.turn(tensors, axes), "nnU-Net checkpoint", is_nnunet=True, network=network)


def _members(stream: IO[bytes], name: str) -> list[str]:
    """What a zip file holds, each member whole by its checksum, which torch does not look at; nothing of others."""
    stream.seek(0)
    if not zipfile.is_zipfile(stream):
        stream.seek(0)
        return []
    try:
        with zipfile.ZipFile(stream) as archive:
            broken, members = archive.testzip(), archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{name}: is damaged: {error}") from error
    if broken is not None:
        raise DataError(f"{name}: is damaged: the checksum of {broken} in it is wrong")
    stream.seek(0)
    return members


def _read_safetensors(stream: IO[bytes], name: str) -> dict[str, torch.Tensor]:
    stream.seek(0)
    try:
        return dict(load(stream.read()))
    except SafetensorError as error:
        raise DataError(f"{name}: cannot be read as safetensors: {error}") from error


def _require_trust(name: str, *, trust: bool) -> None:
    if not trust:
        raise UsageError(
            f"{name} is a TorchScript archive, a program that can run its author's code when it is opened. Save its "
            "state_dict() alone, or add --trust if you trust it; then only its parameters are used"
        )
