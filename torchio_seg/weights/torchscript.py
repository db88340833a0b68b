"""Parameters of a TorchScript archive, which is a program: opening it can run what its author wrote."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import IO

import torch

from torchio_seg.errors import DataError


def is_archive(members: Iterable[str]) -> bool:
    """Whether a zip file of these members is one; torch.save writes no constants."""
    return any(PurePosixPath(member).name == "constants.pkl" for member in members)


def read_parameters(file: IO[bytes], name: str) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, of an archive that the user trusts."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit as a whole; the archives are there
            module = torch.jit.load(file, map_location="cpu")
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{name}: cannot be read as TorchScript: {reason}") from error
    parameters = {key: tensor.detach() for key, tensor in module.state_dict().items()}
    if not parameters:
        raise DataError(f"{name}: the archive has no parameters (it was frozen); save one that was not")
    return parameters
