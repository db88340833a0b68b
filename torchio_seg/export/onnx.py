"""ONNX: the network's graph for any runtime that reads it."""

from __future__ import annotations

import importlib
import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from torchio_seg import checkpoint
from torchio_seg.errors import DataError, UsageError
from torchio_seg.export.exportable import CARD, IMAGES, LOGITS, Exportable
from torchio_seg.export.torch_export import graph

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torchio_seg.checkpoint import ModelCard
    from torchio_seg.export.exportable import Network

SUFFIX = ".onnx"
_NEEDED = ("onnx", "onnxscript", "onnxruntime")


def write(exportable: Exportable, path: Path) -> None:
    """The network with its card among the metadata."""
    require_packages(*_NEEDED)
    with warnings.catch_warnings(), _nothing_of_torchvision():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's and onnxscript's, of themselves
        warnings.simplefilter("ignore", FutureWarning)
        program: Any = torch.onnx.export(
            graph(exportable), input_names=[IMAGES], output_names=[LOGITS], dynamo=True, verbose=False
        )
    program.model.metadata_props[CARD] = checkpoint.card_text(exportable.card)
    program.save(path, external_data=False)


def read(path: Path) -> Network:
    """The network, on the CPU."""
    return _network(_session(path))


def read_with_card(path: Path) -> tuple[Network, ModelCard]:
    """The network, on the CPU, and the card beside it."""
    session = _session(path)
    text = session.get_modelmeta().custom_metadata_map.get(CARD)
    if text is None:
        raise DataError(f"{path}: no {CARD} in it, so how to use it is not known; export it with torchio-seg export")
    return _network(session), checkpoint.parse_card(text, str(path))


def require_packages(*names: str) -> None:
    """Hold that these are installed."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UsageError(f"ONNX needs {name}, which is not installed; pip install 'torchio-seg[onnx]'") from error


@contextmanager
def _nothing_of_torchvision() -> Iterator[None]:
    """Without the lines in which torch tells that operations of torchvision, which no network here has, are skipped."""

    def is_of_use(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("torchvision is not installed")

    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    registration.addFilter(is_of_use)
    try:
        yield
    finally:
        registration.removeFilter(is_of_use)


def _session(path: Path) -> Any:
    require_packages("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise DataError(f"{path}: cannot be read as ONNX: {str(error).splitlines()[0]}") from error


def _network(session: Any) -> Network:
    def run(images: torch.Tensor) -> torch.Tensor:
        [logits] = session.run([LOGITS], {IMAGES: images.numpy(force=True)})
        return torch.from_numpy(logits)

    return run
