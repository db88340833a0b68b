"""Networks that were exported, opened again to predict with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from torchio_seg import devices
from torchio_seg.errors import UsageError
from torchio_seg.export import onnx, torch_export, torchscript

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torchio_seg.checkpoint import ModelCard
    from torchio_seg.config.sections import Experiment
    from torchio_seg.export.exportable import Network

PRECISION = "training.precision"


def is_exported(path: Path) -> bool:
    """Whether this is a file of a kind that `torchio-seg export` writes."""
    return path.suffix in {onnx.SUFFIX, torchscript.SUFFIX, torch_export.SUFFIX} and path.is_file()


def open_exported(path: Path, *, trust: bool) -> tuple[Network, ModelCard]:
    """The network and the card inside of the file; TorchScript, which is a program, only with trust."""
    if path.suffix == onnx.SUFFIX:
        return onnx.read_with_card(path)
    if path.suffix == torch_export.SUFFIX:
        raise UsageError(f"{path}: torch.export files are not predicted with; export to onnx or torchscript instead")
    if not trust:
        raise UsageError(
            f"{path} is a TorchScript archive, a program that can run its author's code when it is opened. Use an ONNX "
            "file or the model's own folder, or add --trust if you trust it"
        )
    return torchscript.read_with_card(path)


def exported_size(card: ModelCard) -> tuple[int, int, int]:
    """The size of patches that a network was exported for, as its card has it."""
    i, j, k = card.experiment["prediction"]["patch_size"]
    return i, j, k


def in_fp32(path: Path, changes: Mapping[str, object]) -> dict[str, object]:
    """The changes with the precision that exported networks were compared in."""
    if (wanted := changes.get(PRECISION, "fp32")) != "fp32":
        raise UsageError(f"{path}: exported networks compute in fp32, not {wanted}; leave the precision out")
    return {**changes, PRECISION: "fp32"}


def placed(
    network: Network, experiment: Experiment, path: Path, local_rank: int | None = None
) -> tuple[Network, torch.device]:
    """The network on the device that the settings name; each process of a machine takes a GPU of its own."""
    if isinstance(network, torch.nn.Module):
        device = devices.choose(experiment.device, local_rank)
        return network.to(device), device
    if experiment.device not in {"auto", "cpu"}:
        raise UsageError(
            f"{path}: ONNX files are computed on the CPU here, not on {experiment.device}; use auto or cpu"
        )
    return network, torch.device("cpu")
