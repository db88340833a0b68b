"""Saved tensors and plain values out of a pickle, of which nothing else is accepted."""

from __future__ import annotations

import re
import warnings
from typing import IO, Any

import numpy as np
import torch

from torchio_seg.errors import DataError

_SCALAR: Any = np.float64(0).__reduce__()[0]
_NUMBERS = (np.float16, np.float32, np.float64, np.int32, np.int64, np.bool_)
NUMPY_SCALARS: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),  # as numpy 1 wrote it
    (_SCALAR, "numpy._core.multiarray.scalar"),
    (np.dtype, "numpy.dtype"),
    *(type(np.dtype(number)) for number in _NUMBERS),
]
"""What a single numpy number is made of in a pickle; trainers, nnU-Net's among them, keep their scores so."""


def unpickle(file: IO[bytes], name: str) -> Any:
    """What was saved, if it is tensors, plain values and single numpy numbers; a file that asks for more is refused."""
    try:
        with torch.serialization.safe_globals(NUMPY_SCALARS), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # what it cannot read it refuses
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        if wanted := _WANTED.search(str(error)):
            raise DataError(
                f"{name}: reading it would run code: it asks for {wanted[1]}. Only tensors and plain values are read; "
                "save the network's state_dict() alone, with torch.save or as safetensors"
            ) from error
        raise DataError(f"{name}: cannot be read as saved weights: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Torch's reason without its advice to load the file unsafely."""
    reason = str(error).partition("WeightsUnpickler error: ")[2] or str(error)
    return f"{type(error).__name__} {reason.strip()}".partition("\n")[0]


_WANTED = re.compile(r"GLOBAL (\S+) (?:was not an allowed global|whose module)")
"""How torch names what a pickle wanted."""
