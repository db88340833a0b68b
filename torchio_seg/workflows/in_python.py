"""A trained model in a Python program: images that are in memory, or files, to label maps of the same kind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchio as tio

from torchio_seg.config.typed import parse_bytes, parse_size
from torchio_seg.errors import UsageError
from torchio_seg.progress import Silent
from torchio_seg.records import Case
from torchio_seg.subjects import join_scans
from torchio_seg.volumes.images import from_array, from_image, image_like, is_image
from torchio_seg.volumes.scan import Scan
from torchio_seg.workflows import models, opening
from torchio_seg.workflows.budgets import Budgets
from torchio_seg.workflows.dicom_inputs import by_row, is_dicom, open_image
from torchio_seg.workflows.guards import inspect
from torchio_seg.workflows.parameters import in_parameters
from torchio_seg.workflows.predict_case import use

if TYPE_CHECKING:
    from torchio_seg.transforms.recipe import Nonfinite
    from torchio_seg.workflows.models import LoadedModel

log = logging.getLogger(__name__)

KINDS = "a path, a nibabel image, a torchio.ScalarImage, or an array with affine="


@dataclass(frozen=True)
class Taken:
    """An image that was given, and how results are handed back in its kind."""

    scan: Scan
    as_labels: Callable[[np.ndarray], Any]
    as_values: Callable[[np.ndarray], Any]
    """Of what has a value for each voxel and no label: probabilities C I J K, uncertainty I J K."""


@dataclass(frozen=True)
class Reading:
    """How images that are files are read."""

    nonfinite: Nonfinite
    series: str | None
    num_images: int


@in_parameters()
def load_model(  # noqa: PLR0913 - the settings of prediction, as the command line has them
    model: str | Path | Sequence[str | Path],
    *,
    device: str = "auto",
    patch_size: int | str | Sequence[int] | None = None,
    overlap: float | str | None = None,
    blending: str | None = None,
    batch_size: int | None = None,
    precision: str | None = None,
    nonfinite: str | None = None,
    tta: bool = False,
    skip_empty: bool = False,
    keep_largest: str | Sequence[str] = (),
    ram_budget: int | str | None = None,
    vram_budget: int | str | None = None,
    trust: bool = False,
) -> LoadedModel:
    """Open a run, a checkpoint or an ensemble, or several to be averaged; what is None is as the model's settings say.

    `patch_size`: voxels. `overlap`: share of a patch that neighbours cover too, or voxels, as "32vox". `blending`:
    crop, average, hann or gaussian. `precision`: fp32, bf16 or fp16. `nonfinite`: refuse or zero. `tta`: average over
    mirror images. `skip_empty`: ask only once about patches that are the same everywhere. `keep_largest`: regions of
    which only the largest piece is kept, or "all". `ram_budget`, `vram_budget`: the most that the process may hold in
    memory, and tensors on the GPU, in bytes or as "4GiB"; else what is free. `trust`: run code that the model names.
    """
    budgets = Budgets(_bytes(ram_budget, "ram_budget"), _bytes(vram_budget, "vram_budget"))
    given = {
        "device": device,
        "prediction.patch_size": _size(patch_size),
        "prediction.overlap": overlap,
        "prediction.blending": blending,
        "prediction.batch_size": batch_size,
        "training.precision": precision,
        "preprocessing.nonfinite": nonfinite,
    }
    changes: dict[str, object] = {key: value for key, value in given.items() if value is not None}
    places = [Path(each) for each in ([model] if isinstance(model, str | Path) else model)]
    if not places:
        raise UsageError(
            "an empty list of models predicts nothing; give a run, a checkpoint or an ensemble, or several"
        )
    loaded = opening.load_models(places, changes=changes, trust=trust, mirror=tta)
    if skip_empty:
        loaded = models.skip_empty(loaded)
    loaded = models.keep_largest(loaded, [keep_largest] if isinstance(keep_largest, str) else keep_largest)
    return replace(loaded, budgets=budgets)


def _size(given: int | str | Sequence[int] | None) -> list[int] | None:
    """A size as a number of voxels along all axes, three of them, or as the command line takes it."""
    if isinstance(given, int | str):
        return parse_size(str(given), "patch_size")
    return None if given is None else list(given)


def _bytes(given: int | str | None, name: str) -> int | None:
    """A budget as bytes, or as the command line takes it."""
    if isinstance(given, str):
        return parse_bytes(given, name)
    if given is not None and given <= 0:
        raise UsageError(f'{name}={given}: give a number of bytes above 0, as 4 * 2**30 or "4GiB", or leave it out')
    return given


@in_parameters()
def predict(
    model: LoadedModel, image: Any, affine: Any, *, series: str | None, probabilities: bool, uncertainty: str | None
) -> Any:
    """What `LoadedModel.predict` tells."""
    channels = model.card.channels
    model = model if uncertainty is None else model.telling(uncertainty)
    with ExitStack() as files:
        taken = [files.enter_context(each) for each in _opening(model, image, affine, series)]
        scan = join_scans([each.scan for each in taken], len(channels))
        for warning in inspect(model, scan, Case("image", _paths(image, channels)), implicit=False):
            log.warning("%s", warning)
        prediction = use(model, scan, Silent(), probabilities=probabilities)
    values = [each for each in (prediction.probabilities, prediction.uncertainty) if each is not None]
    labels = taken[0].as_labels(prediction.label_map)
    return (labels, *(taken[0].as_values(each) for each in values)) if values else labels


def _opening(
    model: LoadedModel, image: Any, affine: Any, series: str | None
) -> Iterator[AbstractContextManager[Taken]]:
    """The images that were given, each open for the time of a block."""
    images = _numbered(image, model.card.channels)
    dicom = [Path(each) for _, each in images if isinstance(each, str | Path) and is_dicom(Path(each))]
    if series is not None and not dicom:
        raise UsageError(f"series={series!r} belongs to DICOM, of which there is none among the images; leave it out")
    wanted = by_row(dicom[0], series) if len(images) == len(dicom) == 1 else series
    reading = Reading(model.predictor.recipe.nonfinite, wanted, len(images))
    for number, each in images:
        yield _take(each, affine, f"image {number}" if number else "the image", reading)


def _numbered(image: Any, channels: Sequence[str]) -> list[tuple[int, Any]]:
    """The images that were given, in the order of the model's channels; one alone has number 0."""
    if isinstance(image, Mapping) and not isinstance(image, tio.Image):
        if set(image) != set(channels):
            raise UsageError(_other_images(image, channels))
        image = [image[channel] for channel in channels]
    if not isinstance(image, list | tuple):
        return [(0, image)]
    if not image:
        raise UsageError(f"an empty list is no image; give {KINDS}")
    return list(enumerate(image, start=1))


def _other_images(image: Mapping[str, Any], channels: Sequence[str]) -> str:
    found = f"images of {', '.join(map(str, image))}; the model's channels are {', '.join(channels)}"
    if not isinstance(image, tio.Subject):
        return found
    give = f"subject[{next(iter(image), '...')!r}]"
    if len(channels) > 1:
        give = "{" + ", ".join(f"{channel!r}: subject[...]" for channel in channels) + "}"
    return f"a torchio.Subject with {found}: say which of its images these are, as model.predict({give})"


def _paths(image: Any, channels: Sequence[str]) -> tuple[Path, ...]:
    """The files that were given, whose names may say what is in them; none where images were in memory."""
    images = [each for _, each in _numbered(image, channels)]
    return tuple(Path(each) for each in images) if all(isinstance(each, str | Path) for each in images) else ()


@contextmanager
def _take(image: Any, affine: Any, name: str, reading: Reading) -> Iterator[Taken]:
    if affine is not None and (isinstance(image, str | Path | tio.Image) or is_image(image)):
        raise UsageError(f"affine= belongs to an array; {name} is {type(image).__name__}, which has its own")
    if isinstance(image, str | Path):
        with open_image(
            Path(image), wanted=reading.series, nonfinite=reading.nonfinite, num_images=reading.num_images
        ) as scan:
            yield _in_nifti(scan)
    else:
        yield _in_memory(image, affine, name, reading.nonfinite)


def _in_memory(image: Any, affine: Any, name: str, nonfinite: Nonfinite) -> Taken:
    if isinstance(image, np.ma.MaskedArray):
        raise UsageError(
            f"{name} is a masked array, and a network sees every voxel: give image.filled(value) with what is to stand "
            "where it is masked, or image.data"
        )
    if isinstance(image, torch.Tensor):
        raise UsageError(f"{name} is a torch tensor; give image.numpy(force=True), (C) I J K, with affine=")
    if isinstance(image, np.ndarray):
        return _take_array(image, affine, name, nonfinite)
    if is_image(image):
        return _in_nifti(Scan.of(from_image(image, image.get_filename() or name, nonfinite=nonfinite)))
    if isinstance(image, tio.Image):
        return _take_torchio(image, name, nonfinite)
    raise UsageError(f"{name} is {type(image).__name__}; give {KINDS}, or a list or dict of these")


def _take_array(array: np.ndarray, affine: Any, name: str, nonfinite: Nonfinite) -> Taken:
    if affine is None:
        raise UsageError(f"{name} is an array, which does not say where its voxels are; give affine= too, 4 x 4, in mm")
    channels_first = array[None] if array.ndim == 3 else array
    return Taken(Scan.of(from_array(channels_first, affine, name, nonfinite=nonfinite)), _unchanged, _unchanged)


def _take_torchio(image: tio.Image, name: str, nonfinite: Nonfinite) -> Taken:
    scan = Scan.of(from_array(image.numpy(), image.affine, name, nonfinite=nonfinite))
    return Taken(
        scan,
        lambda array: tio.LabelMap(tensor=torch.from_numpy(array)[None], affine=scan.affine),
        lambda array: tio.ScalarImage(
            tensor=torch.from_numpy(array if array.ndim == 4 else array[None]), affine=scan.affine
        ),
    )


def _in_nifti(scan: Scan) -> Taken:
    give = partial(image_like, like=scan)
    return Taken(scan, give, give)


def _unchanged(array: np.ndarray) -> np.ndarray:
    return array
