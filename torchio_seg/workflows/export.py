"""`torchio-seg export`: a trained network in the format of another program, held against the original."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import torch

from torchio_seg.errors import DataError, TorchioSegError, UsageError
from torchio_seg.export import monai_bundle, onnx, torch_export, torchscript
from torchio_seg.export.exportable import Exportable
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.workflows.beforehand import EXPORTS, require_word
from torchio_seg.workflows.models import LoadedModel

T = TypeVar("T")

FORMATS: dict[str, ModuleType] = dict(zip(EXPORTS, (torchscript, torch_export, onnx, monai_bundle), strict=True))
MOST_DIFFERENCE = 1e-4
"""Between two logits for the same patch, of which one is exported."""


@dataclass(frozen=True)
class Exported:
    """What was written, and how well it does what the original does."""

    path: Path
    patch_size: tuple[int, int, int]
    difference: float
    """The largest between logits, over a batch of one and of two random patches."""


def export(model: LoadedModel, format_name: str, path: Path, *, overwrite: bool = False) -> Exported:
    """Write the model's network, once what was written has been read back and gives the same logits."""
    require_word("--to", format_name, EXPORTS)
    kind = FORMATS[format_name]
    exportable = _exportable(model)
    path = path.resolve() if path.name in {"", ".."} else path
    _require_free(path, kind.SUFFIX, overwrite=overwrite)
    draft = path.with_name(f".{path.stem}.{os.getpid()}.tmp{kind.SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _attempt(lambda: kind.write(exportable, draft), f"{model.folder} cannot be exported to {format_name}")
        difference = _attempt(
            lambda: _difference(exportable, kind.read(draft)), f"what was exported to {format_name} does not run"
        )
        if not difference <= MOST_DIFFERENCE:
            raise DataError(
                f"{model.folder}: exported to {format_name}, its logits differ by up to {difference:.3g}, more than "
                f"{MOST_DIFFERENCE:g}; nothing was kept. Try another format ({', '.join(FORMATS)})"
            )
        _replace(draft, path)
    except OSError as error:
        raise DataError(f"{path} could not be written: {error.strerror or error}; nothing was kept") from error
    finally:
        _remove(draft)
    i, j, k = exportable.images.shape[2:]
    return Exported(path, (i, j, k), difference)


def _exportable(model: LoadedModel) -> Exportable:
    """The network on the CPU, with a card that names the size of its patches."""
    if not isinstance(model.predictor, Predictor):
        raise UsageError(
            f"{model.folder} is an ensemble; export its members one by one: they are the folders in it that hold a "
            "model.safetensors"
        )
    network, patch_size = model.predictor.network, model.predictor.window.patch_size
    if not isinstance(network, torch.nn.Module) or isinstance(network, torch.jit.ScriptModule):
        raise UsageError(f"{model.folder} was exported already; export from the run or checkpoint that it is of")
    settings = model.card.experiment
    prediction = {**model.experiment.prediction.model_dump(mode="json"), "patch_size": list(patch_size)}
    card = replace(model.card, experiment={**settings, "prediction": prediction})
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, len(card.channels), *patch_size, generator=generator)
    return Exportable(network.cpu().float().eval(), card, images)


def _difference(exportable: Exportable, exported: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """The largest between logits of the network and of what was exported, for batches of two and one."""
    differences = []
    with torch.no_grad():
        for images in (exportable.images, exportable.images[:1]):
            expected, found = exportable.network(images), exported(images)
            if found.shape != expected.shape:
                raise DataError(f"logits of shape {tuple(found.shape)} instead of {tuple(expected.shape)}")
            differences.append((found - expected).abs().max())
    return float(torch.stack(differences).max())  # NaN where any logit is


def _attempt(act: Callable[[], T], failure: str) -> T:
    """What it gives; whatever libraries raise becomes one sentence."""
    try:
        return act()
    except (TorchioSegError, OSError):
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(f"{failure}: {type(error).__name__}: {reason}; nothing was kept") from error


def _require_free(path: Path, suffix: str, *, overwrite: bool) -> None:
    if path.suffix != suffix and suffix:
        raise UsageError(f"-o {path}: this format is written as {suffix}")
    if path.is_dir() and suffix:
        raise UsageError(f"-o {path} is a folder; name a file that ends in {suffix}")
    if path.is_file() and not suffix:
        raise UsageError(f"-o {path} is a file; a bundle is a folder, name another place")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; --overwrite replaces it, -o names another place")
    if path.is_dir() and not monai_bundle.is_bundle(path):
        raise UsageError(f"{path} is a folder that is no bundle, so it is not replaced; name another place with -o")


def _replace(draft: Path, path: Path) -> None:
    """Put the draft in its place; a folder that is there is moved aside first."""
    if draft.is_dir() and path.exists():
        former = draft.with_name(f"{draft.name}.former")
        path.rename(former)
        try:
            draft.rename(path)
        except OSError:
            former.rename(path)
            raise
        shutil.rmtree(former)
    else:
        draft.replace(path)


def _remove(draft: Path) -> None:
    if draft.is_dir():
        shutil.rmtree(draft, ignore_errors=True)
    else:
        draft.unlink(missing_ok=True)
