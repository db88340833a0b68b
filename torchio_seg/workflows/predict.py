"""`torchio-seg predict`: from volumes to label maps in the volumes' own space."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from torchio_seg.errors import DataError, TorchioSegError, UsageError
from torchio_seg.predictor.native import Prediction
from torchio_seg.progress import Progress, Silent
from torchio_seg.records import Case
from torchio_seg.subjects import read_channels
from torchio_seg.volumes.nifti import Volume, write_like
from torchio_seg.workflows.inputs import SUFFIXES, find_cases
from torchio_seg.workflows.models import LoadedModel

log = logging.getLogger(__name__)

OTHER_IMAGES = {".png", ".jpg", ".tif", ".tiff", ".nrrd", ".mha", ".mhd", ".mgz", ".img", ".hdr", ".dcm", ".gz", ".npy"}
LOWEST_CT, HIGHEST_AIR = -1100.0, -500.0
"""Hounsfield units: no body part is below the first; a CT that shows air goes below the second."""


@dataclass(frozen=True)
class Output:
    """Where predictions go and what is written of them."""

    place: Path
    """A folder, or for one case the file of its label map."""
    overwrite: bool = False
    probabilities: bool = False
    regions: bool = False


@dataclass(frozen=True)
class Written:
    """One case's prediction."""

    case: Case
    files: tuple[Path, ...]
    voxels: dict[str, int]
    """Of each region."""


def predict(
    model: LoadedModel,
    inputs: Sequence[str],
    output: Output,
    *,
    implicit: bool = False,
    progress: Progress | None = None,
) -> tuple[list[Written], list[str]]:
    """Predict every case; what was written, and a sentence for each case that could not be."""
    progress = progress or Silent()
    cases = find_cases(inputs, model.card.channels)
    targets = [_targets(model, case, output, alone=len(cases) == 1) for case in cases]
    written: list[Written] = []
    failures: list[str] = []
    progress.start("volumes", len(cases))
    try:
        for case, files in zip(cases, targets, strict=True):
            try:
                written.append(_predict_case(model, case, files, output, implicit=implicit, progress=progress))
            except TorchioSegError as error:
                if len(cases) == 1:
                    raise
                failures.append(str(error))
                log.error("%s", error)
            progress.advance()
    except KeyboardInterrupt:
        log.warning("stopped: %d of %d volumes are written, none of them in part", len(written), len(cases))
        raise
    finally:
        progress.finish()
    return written, failures


def _predict_case(
    model: LoadedModel, case: Case, files: dict[str, Path], output: Output, *, implicit: bool, progress: Progress
) -> Written:
    volume = read_channels(case.images, len(model.card.channels), nonfinite=model.predictor.recipe.nonfinite)
    if volume.num_zeroed:
        log.warning("%s: %d voxels that are NaN or infinite are read as 0", volume.path, volume.num_zeroed)
    _require_contrast(model, volume)
    if implicit:
        _require_modality(model, volume)
    prediction = model.predictor(volume.array, volume.affine, progress, probabilities=output.probabilities)
    for file, content in _contents(prediction, files):
        write_like(file, content, volume, overwrite=output.overwrite)
    voxels = {region.name: int(prediction.mask(region).sum()) for region in prediction.labels.regions}
    return Written(case, tuple(files.values()), voxels)


def _contents(prediction: Prediction, files: dict[str, Path]) -> Iterator[tuple[Path, np.ndarray]]:
    """What goes into each file, made when it is its turn."""
    yield files["seg"], prediction.label_map
    if prediction.probabilities is not None:
        yield files["probabilities"], prediction.probabilities
    for region in prediction.labels.regions:
        if file := files.get(f"region {region.name}"):
            yield file, prediction.mask(region)


def _targets(model: LoadedModel, case: Case, output: Output, *, alone: bool) -> dict[str, Path]:
    """The files that a case will get; one that exists already is refused before anything is computed."""
    main = _main_file(case, output, alone=alone)
    suffix = ".nii.gz" if main.name.endswith(".nii.gz") else ".nii"
    base = main.name.removesuffix(suffix).removesuffix("_seg")
    files = {"seg": main}
    if output.regions:
        for region in model.card.labels.regions:
            files[f"region {region.name}"] = main.with_name(f"{base}_{_safe(region.name)}{suffix}")
    if output.probabilities:
        files["probabilities"] = main.with_name(f"{base}_probabilities{suffix}")
    for file in files.values():
        if any(file.resolve() == image.resolve() for image in case.images):
            raise UsageError(f"{file} is the input itself; name another output with -o")
        if file.exists() and not output.overwrite:
            raise UsageError(f"{file} exists; --overwrite replaces it, -o names another place")
    try:
        main.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {main.parent} cannot be made: {error.strerror}; name another with -o") from error
    return files


def _main_file(case: Case, output: Output, *, alone: bool) -> Path:
    """The file of the case's label map."""
    if output.place.name.endswith(SUFFIXES):
        if not alone:
            raise UsageError(f"-o {output.place} names one file, but there are several cases; name a folder")
        return output.place
    if output.place.suffix in OTHER_IMAGES and not output.place.is_dir():
        raise UsageError(f"-o {output.place}: label maps are written as .nii.gz or .nii; or name a folder")
    return output.place / f"{case.id}_seg.nii.gz"


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)


def _require_contrast(model: LoadedModel, volume: Volume) -> None:
    for name, channel in zip(model.card.channels, volume.array, strict=True):
        if channel.min() == channel.max():
            raise DataError(
                f"{volume.path}: channel {name} is {channel.flat[0]:g} everywhere; there is nothing to segment"
            )


def _require_modality(model: LoadedModel, volume: Volume) -> None:
    """A model that the user did not name must at least be of the input's kind."""
    lowest = float(volume.array.min())
    looks_like_ct = LOWEST_CT * 3 < lowest < HIGHEST_AIR
    if model.card.is_ct == looks_like_ct:
        return
    found = "looks like CT (there is air" if looks_like_ct else "does not look like CT (nothing is as dark as air"
    raise DataError(
        f"{volume.path} {found}: lowest value {lowest:g}), but the newest model, {model.folder}, was trained on "
        f"{', '.join(model.card.channels)}. Name the model to use with --model"
    )
