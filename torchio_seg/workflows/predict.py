"""`torchio-seg predict`: from volumes to label maps in the volumes' own space."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from torchio_seg import devices
from torchio_seg.distributed import ALONE, Peers
from torchio_seg.errors import DataError, TorchioSegError, UsageError
from torchio_seg.memory import peak_bytes, reset_peak
from torchio_seg.predictor.native import Prediction
from torchio_seg.predictor.uncertainty import MEASURES
from torchio_seg.progress import Progress, Silent
from torchio_seg.records import Case
from torchio_seg.subjects import read_channels
from torchio_seg.volumes.nifti import Volume, write_like
from torchio_seg.workflows.guards import inspect
from torchio_seg.workflows.inputs import SUFFIXES, find_cases
from torchio_seg.workflows.models import LoadedModel, Patches
from torchio_seg.workflows.predictions import Effort, Failed, Predictions, Skipped, Written

log = logging.getLogger(__name__)

OTHER_IMAGES = {".png", ".jpg", ".tif", ".tiff", ".nrrd", ".mha", ".mhd", ".mgz", ".img", ".hdr", ".dcm", ".gz", ".npy"}


@dataclass(frozen=True)
class Output:
    """Where predictions go and what is written of them."""

    place: Path
    """A folder, or for one case the file of its label map."""
    overwrite: bool = False
    probabilities: bool = False
    regions: bool = False
    uncertainty: tuple[str, ...] = ()
    """What the model tells of it (predictor/uncertainty.py)."""
    on_stop: Callable[[Predictions], None] | None = None
    """Takes what was done where the user stops; of several processes, that of the first."""


@dataclass(frozen=True)
class _Planned:
    """A case and the files that it is to have."""

    case: Case
    files: dict[str, Path]
    is_there: bool
    """Whether all of them are, so that nothing is to be done."""


def predict(
    model: LoadedModel,
    inputs: Sequence[str],
    output: Output,
    *,
    implicit: bool = False,
    progress: Progress | None = None,
    peers: Peers = ALONE,
) -> Predictions:
    """Predict every case, peers each their share, and tell what became of it; files of an earlier call are kept."""
    begun = time.monotonic()
    plan = peers.from_main(lambda: _plan(model, inputs, output))
    own = peers.part([each for each in plan if not each.is_there])
    mine: list[Written | Failed] = []
    try:
        _predict_all(model, own, output, mine, implicit=implicit, progress=progress or Silent())
    except (KeyboardInterrupt, SystemExit):
        if output.on_stop is not None and peers.is_main:
            output.on_stop(_so_far(plan, mine, time.monotonic() - begun))
        raise
    made = peers.whole(mine)
    for outcome in (outcome for number, outcome in enumerate(made) if number % peers.num_ranks != peers.rank):
        for warning in outcome.warnings if isinstance(outcome, Written) else ():
            log.warning("%s", warning)
    left = iter(made)
    outcomes = [Skipped(each.case, tuple(each.files.values())) if each.is_there else next(left) for each in plan]
    return Predictions(tuple(outcomes), time.monotonic() - begun)


def _so_far(plan: Sequence[_Planned], made: Sequence[Written | Failed], seconds: float) -> Predictions:
    """What became of the cases that were come to the end of, in the order of the cases."""
    done: dict[str, Written | Failed | Skipped] = {outcome.case.id: outcome for outcome in made}
    done |= {each.case.id: Skipped(each.case, tuple(each.files.values())) for each in plan if each.is_there}
    outcomes = tuple(done[each.case.id] for each in plan if each.case.id in done)
    return Predictions(outcomes, seconds, num_left=len(plan) - len(outcomes))


def _plan(model: LoadedModel, inputs: Sequence[str], output: Output) -> list[_Planned]:
    """What each case will get; what cannot be is refused before anything is computed."""
    cases = _without_outputs(model, find_cases(inputs, model.card.channels), output)
    plan = []
    for case in cases:
        files = _targets(model, case, output, alone=len(cases) == 1)
        plan.append(_Planned(case, files, _are_there(files, output, alone=len(cases) == 1)))
    return plan


def _predict_all(
    model: LoadedModel,
    plan: Sequence[_Planned],
    output: Output,
    outcomes: list[Written | Failed],
    *,
    implicit: bool,
    progress: Progress,
) -> None:
    """Predict one after another, and add what became of each to the outcomes."""
    progress.start("volumes", len(plan))
    try:
        for each in plan:
            try:
                outcomes.append(_predict_case(model, each, output, implicit=implicit, progress=progress))
            except TorchioSegError as error:
                outcomes.append(Failed(each.case, error))
                if len(plan) > 1:
                    log.warning("%s", error)
            progress.advance()
    except (KeyboardInterrupt, SystemExit):
        whole = [all(file.exists() for file in each.files.values()) for each in plan]
        log.warning(
            "stopped: %d of %d volumes are written, none of them in part; the same command goes on with the others",
            sum(isinstance(outcome, Written) for outcome in outcomes) if output.overwrite else sum(whole),
            len(plan),
        )
        raise
    finally:
        progress.finish()


def _predict_case(
    model: LoadedModel, planned: _Planned, output: Output, *, implicit: bool, progress: Progress
) -> Written:
    case, device = planned.case, model.members[0].device
    _count_anew(device)
    begun = time.monotonic()
    volume = read_channels(case.images, len(model.card.channels), nonfinite=model.predictor.recipe.nonfinite)
    warnings = inspect(model, volume, case, implicit=implicit)
    for warning in warnings:
        log.warning("%s", warning)
    read, before = time.monotonic(), model.patches
    prediction = _use(model, volume, output, progress)
    computed = time.monotonic()
    _write(_contents(prediction, planned.files), volume, output)
    effort = Effort(read - begun, computed - read, time.monotonic() - computed, peak_bytes(), _gpu_peak(device))
    voxels = {region.name: int(prediction.mask(region).sum()) for region in prediction.labels.regions}
    voxel_mm3 = float(abs(np.linalg.det(volume.affine[:3, :3])))
    skipped = _skipped(volume, before, model.patches)
    return Written(case, tuple(planned.files.values()), voxels, voxel_mm3, effort, tuple(warnings), skipped)


def _skipped(volume: Volume, before: Patches | None, after: Patches | None) -> int | None:
    """How many patches of this volume were skipped, which is said; None where none may be."""
    if before is None or after is None:
        return None
    skipped = after.skipped - before.skipped
    log.info(
        "%s: %d of %d patches skipped, there is nothing in them", volume.path, skipped, after.number - before.number
    )
    return skipped


def _use(model: LoadedModel, volume: Volume, output: Output, progress: Progress) -> Prediction:
    try:
        predictor = model.fitting.predictor_for(volume, probabilities=output.probabilities)
        return predictor(volume.array, volume.affine, progress, probabilities=output.probabilities)
    except (RuntimeError, MemoryError) as error:
        if not devices.is_out_of_memory(error):
            raise
        shape = " x ".join(map(str, volume.shape))
        raise DataError(
            f"{volume.path}: memory ran out on {model.members[0].device} with its {shape} voxels; use --batch-size 1 "
            "or a smaller --patch-size, --device cpu, or a computer with more"
        ) from error


def _write(contents: Iterable[tuple[Path, np.ndarray]], volume: Volume, output: Output) -> None:
    """All files of a case, or none."""
    done: list[Path] = []
    try:
        for file, content in contents:
            if is_new := not file.exists():
                done.append(file)  # before, should the signal come between its writing and the next line
            write_like(file, content, volume, overwrite=output.overwrite)
            if not is_new:
                done.append(file)
    except BaseException:
        for file in done:
            file.unlink(missing_ok=True)
        raise


def _count_anew(device: torch.device) -> None:
    """Peaks of memory are those from here on."""
    reset_peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _gpu_peak(device: torch.device) -> int | None:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def _contents(prediction: Prediction, files: Mapping[str, Path]) -> Iterator[tuple[Path, np.ndarray]]:
    """What goes into each file, made when it is its turn."""
    yield files["seg"], prediction.label_map
    if prediction.probabilities is not None:
        yield files["probabilities"], prediction.probabilities
    if prediction.uncertainty is not None:
        yield next(files[kind] for kind in MEASURES if kind in files), prediction.uncertainty
    for region in prediction.labels.regions:
        if file := files.get(f"region {region.name}"):
            yield file, prediction.mask(region)


def _targets(model: LoadedModel, case: Case, output: Output, *, alone: bool) -> dict[str, Path]:
    """The files that a case will get, in a folder that is there."""
    files = _names(model, main := _main_file(case, output, alone=alone), output)
    for file in files.values():
        if any(file.resolve() == image.resolve() for image in case.images):
            raise UsageError(f"{file} is the input itself; name another output with -o")
    try:
        main.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {main.parent} cannot be made: {error.strerror}; name another with -o") from error
    return files


def _names(model: LoadedModel, main: Path, output: Output) -> dict[str, Path]:
    """The files of a case whose label map has this one."""
    suffix = ".nii.gz" if main.name.endswith(".nii.gz") else ".nii"
    base = main.name.removesuffix(suffix).removesuffix("_seg")
    files = {"seg": main}
    if output.regions:
        for region in model.card.labels.regions:
            files[f"region {region.name}"] = main.with_name(f"{base}_{_safe(region.name)}{suffix}")
    if output.probabilities:
        files["probabilities"] = main.with_name(f"{base}_probabilities{suffix}")
    files |= {kind: main.with_name(f"{base}_{kind}{suffix}") for kind in output.uncertainty}
    return files


def _without_outputs(model: LoadedModel, cases: list[Case], output: Output) -> list[Case]:
    """The cases but for those that are predictions of others, as where a folder is both input and output."""
    if len(cases) == 1 or output.place.name.endswith(SUFFIXES):
        return cases
    everything = replace(output, probabilities=True, regions=True, uncertainty=tuple(MEASURES))
    makers = {
        file.resolve(): case.id
        for case in cases
        for file in _names(model, _main_file(case, output, alone=False), everything).values()
    }
    own = [case for case in cases if not any(image.resolve() in makers for image in case.images)]
    if len(own) < len(cases):
        log.info("%d files are left out: by their names they are predictions of others", len(cases) - len(own))
    return own


def _are_there(files: Mapping[str, Path], output: Output, *, alone: bool) -> bool:
    """Whether a case has all its files and is to keep them; half of them are refused, and any for a single case."""
    there = [file for file in files.values() if file.exists()]
    if not there or output.overwrite:
        return False
    if alone:
        raise UsageError(f"{there[0]} exists; --overwrite replaces it, -o names another place")
    if missing := [file for file in files.values() if not file.exists()]:
        raise UsageError(
            f"{there[0]} exists, {missing[0]} does not, and one model must write both: --overwrite makes all files "
            "anew, -o names another place"
        )
    return True


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
