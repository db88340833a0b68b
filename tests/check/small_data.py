"""Data sets of a few tiny cases in the Decathlon's layout, in which anything can be made wrong."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from torchio_seg.config.resolve import choose
from torchio_seg.config.sections import Experiment

sys.path.append(str(Path(__file__).resolve().parents[1] / "volumes"))
from nifti_bytes import AFFINE, SHAPE, changed, content, pixdim, write

__all__ = ["AFFINE", "SHAPE", "changed", "content", "experiment_of", "image", "label", "make", "pixdim", "plain"]
__all__ += ["SETTINGS", "write"]

SETTINGS = {"split.validation": 1, "split.test": 0, "preprocessing.spacing": "native"}


def image(seed: int = 0) -> np.ndarray:
    """An image like no other."""
    return np.random.default_rng(seed).integers(-500, 500, SHAPE).astype(np.int16)


def label(value: int = 1) -> np.ndarray:
    """A label map with a small structure."""
    return changed(np.zeros(SHAPE, np.uint8), (slice(2, 5), slice(3, 6), slice(1, 4)), value)


def make(
    root: Path,
    *,
    names: tuple[str, ...] = ("a", "b", "c", "d"),
    images: Mapping[str, bytes] | None = None,
    labels: Mapping[str, bytes] | None = None,
    description: Mapping[str, Any] | None = None,
) -> Path:
    """Sound cases, but for the files whose plain bytes are given; each is compressed into a .nii.gz file."""
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    for number, name in enumerate(names):
        write(root / "imagesTr", bytes((images or {}).get(name, content(image(number)))), f"{name}.nii.gz")
        write(root / "labelsTr", bytes((labels or {}).get(name, content(label()))), f"{name}.nii.gz")
    pairs = [{"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"} for name in names]
    settings = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "lesion"}, "training": pairs}
    (root / "dataset.json").write_text(json.dumps(settings | dict(description or {})))
    return root


def plain(path: Path) -> bytes:
    """The content of a .nii.gz file."""
    return gzip.decompress(path.read_bytes())


def experiment_of(root: Path, **changes: Any) -> Experiment:
    """The experiment that trains on it; dots in names are written as two underscores."""
    given = {key.replace("__", "."): value for key, value in changes.items()}
    return choose("decathlon", None, {"dataset.root": str(root)} | SETTINGS | given)
