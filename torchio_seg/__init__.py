"""From 3-D medical scans to a trained segmentation model and predictions in the scan's own space.

from torchio_seg import load_experiment, load_model, train

trained = train(load_experiment(Path("mine.yaml")), Path("runs"))
model = load_model(trained.folder)
label_map = model.predict("scan.nii.gz")        # an image in the scan's own space; docs/python.md has the rest
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchio_seg.config.resolve import load as load_experiment
    from torchio_seg.config.sections import Experiment
    from torchio_seg.errors import TorchioSegError
    from torchio_seg.workflows.in_python import load_model
    from torchio_seg.workflows.train import start as train

__all__ = ["Experiment", "TorchioSegError", "load_experiment", "load_model", "train"]

_HOMES = {
    "Experiment": ("torchio_seg.config.sections", "Experiment"),
    "TorchioSegError": ("torchio_seg.errors", "TorchioSegError"),
    "load_experiment": ("torchio_seg.config.resolve", "load"),
    "load_model": ("torchio_seg.workflows.in_python", "load_model"),
    "train": ("torchio_seg.workflows.train", "start"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that importing the package costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'torchio_seg' has no attribute '{name}'; it has {', '.join(__all__)}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)
