"""A trained model in a Python program: images that are in memory, or files, to label maps of the same kind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchio as tio

from torchio_seg.errors import UsageError
from torchio_seg.records import Case
from torchio_seg.subjects import join_channels
from torchio_seg.volumes.images import from_array, from_image, image_like, is_image
from torchio_seg.volumes.nifti import Volume, read
from torchio_seg.workflows import models
from torchio_seg.workflows.dicom_inputs import is_dicom, read_dicom
from torchio_seg.workflows.guards import inspect

if TYPE_CHECKING:
    from torchio_seg.transforms.recipe import Nonfinite
    from torchio_seg.workflows.models import LoadedModel

log = logging.getLogger(__name__)

KINDS = "a path, a nibabel image, a torchio.ScalarImage, or an array with affine="


@dataclass(frozen=True)
class Taken:
    """An image that was given, and how results are handed back in its kind."""

    volume: Volume
    as_labels: Callable[[np.ndarray], Any]
    as_probabilities: Callable[[np.ndarray], Any]


def load_model(  # noqa: PLR0913 - the settings of prediction, as the command line has them
    model: str | Path,
    *,
    device: str = "auto",
    patch_size: Sequence[int] | None = None,
    overlap: float | str | None = None,
    blending: str | None = None,
    batch_size: int | None = None,
    precision: str | None = None,
    nonfinite: str | None = None,
    tta: bool = False,
    skip_empty: bool = False,
    keep_largest: str | Sequence[str] = (),
    trust: bool = False,
) -> LoadedModel:
    """Open a run, a checkpoint or an ensemble. What is None is as the model's own settings say.

    `patch_size`: voxels. `overlap`: share of a patch that neighbours cover too, or voxels, as "32vox". `blending`:
    crop, average, hann or gaussian. `precision`: fp32, bf16 or fp16. `nonfinite`: refuse or zero. `tta`: average over
    mirror images. `skip_empty`: ask only once about patches that are the same everywhere. `keep_largest`: regions of
    which only the largest piece is kept, or "all". `trust`: run code that the model names.
    """
    given = {
        "device": device,
        "prediction.patch_size": None if patch_size is None else list(patch_size),
        "prediction.overlap": overlap,
        "prediction.blending": blending,
        "prediction.batch_size": batch_size,
        "training.precision": precision,
        "preprocessing.nonfinite": nonfinite,
    }
    changes: dict[str, object] = {key: value for key, value in given.items() if value is not None}
    loaded = models.load_model(Path(model), changes=changes, trust=trust, mirror=tta)
    if skip_empty:
        loaded = models.skip_empty(loaded)
    return models.keep_largest(loaded, [keep_largest] if isinstance(keep_largest, str) else keep_largest)


def predict(model: LoadedModel, image: Any, affine: Any, *, probabilities: bool) -> Any:
    """What `LoadedModel.predict` tells."""
    channels, nonfinite = model.card.channels, model.predictor.recipe.nonfinite
    taken = [
        _take(each, affine, f"image {number}" if number else "the image", nonfinite)
        for number, each in _numbered(image, channels)
    ]
    volume = join_channels([each.volume for each in taken], len(channels))
    for warning in inspect(model, volume, Case("image", _paths(image, channels)), implicit=False):
        log.warning("%s", warning)
    prediction = model.predictor(volume.array, volume.affine, probabilities=probabilities)
    labels = taken[0].as_labels(prediction.label_map)
    if prediction.probabilities is None:
        return labels
    return labels, taken[0].as_probabilities(prediction.probabilities)


def _numbered(image: Any, channels: Sequence[str]) -> list[tuple[int, Any]]:
    """The images that were given, in the order of the model's channels; one alone has number 0."""
    if isinstance(image, Mapping) and not isinstance(image, tio.Image):
        if set(image) != set(channels):
            raise UsageError(f"images of {', '.join(map(str, image))}; the model's channels are {', '.join(channels)}")
        image = [image[channel] for channel in channels]
    if not isinstance(image, list | tuple):
        return [(0, image)]
    if not image:
        raise UsageError(f"an empty list is no image; give {KINDS}")
    return list(enumerate(image, start=1))


def _paths(image: Any, channels: Sequence[str]) -> tuple[Path, ...]:
    """The files that were given, whose names may say what is in them; none where images were in memory."""
    images = [each for _, each in _numbered(image, channels)]
    return tuple(Path(each) for each in images) if all(isinstance(each, str | Path) for each in images) else ()


def _take(image: Any, affine: Any, name: str, nonfinite: Nonfinite) -> Taken:
    if isinstance(image, np.ndarray):
        return _take_array(image, affine, name, nonfinite)
    if affine is not None:
        raise UsageError(f"affine= belongs to an array; {name} is {type(image).__name__}, which has its own")
    if isinstance(image, str | Path):
        path = Path(image)
        return _in_nifti(read_dicom(path) if is_dicom(path) else read(path, nonfinite=nonfinite))
    if is_image(image):
        return _in_nifti(from_image(image, image.get_filename() or name, nonfinite=nonfinite))
    if isinstance(image, tio.Image):
        return _take_torchio(image, name, nonfinite)
    raise UsageError(f"{name} is {type(image).__name__}; give {KINDS}, or a list or dict of these")


def _take_array(array: np.ndarray, affine: Any, name: str, nonfinite: Nonfinite) -> Taken:
    if affine is None:
        raise UsageError(f"{name} is an array, which does not say where its voxels are; give affine= too, 4 x 4, in mm")
    channels_first = array[None] if array.ndim == 3 else array
    return Taken(from_array(channels_first, affine, name, nonfinite=nonfinite), _unchanged, _unchanged)


def _take_torchio(image: tio.Image, name: str, nonfinite: Nonfinite) -> Taken:
    volume = from_array(image.numpy(), image.affine, name, nonfinite=nonfinite)
    return Taken(
        volume,
        lambda array: tio.LabelMap(tensor=torch.from_numpy(array)[None], affine=volume.affine),
        lambda array: tio.ScalarImage(tensor=torch.from_numpy(array), affine=volume.affine),
    )


def _in_nifti(volume: Volume) -> Taken:
    def give(array: np.ndarray) -> Any:
        return image_like(array, volume)

    return Taken(volume, give, give)


def _unchanged(array: np.ndarray) -> np.ndarray:
    return array
