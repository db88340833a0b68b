"""One case of a prediction: read as far as that is done beforehand, computed, written."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from torchio_seg import machine
from torchio_seg.errors import DataError
from torchio_seg.memory import Peak
from torchio_seg.predictor.uncertainty import MEASURES
from torchio_seg.volumes.nifti import write_like
from torchio_seg.volumes.reading import counted
from torchio_seg.volumes.together import Together
from torchio_seg.volumes.writing import slabs_of, write_slabs_like
from torchio_seg.workflows import dicom_outputs
from torchio_seg.workflows.dicom_inputs import open_images, uid_of_series
from torchio_seg.workflows.guards import about, inspect
from torchio_seg.workflows.predictions import Effort, Failed, Predictions, Skipped, Written

if TYPE_CHECKING:
    from torchio_seg.predictor.predictor import Prediction
    from torchio_seg.progress import Progress
    from torchio_seg.records import Case
    from torchio_seg.volumes.scan import Scan
    from torchio_seg.volumes.together import Naming
    from torchio_seg.workflows.models import LoadedModel, Patches

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Output:
    """Where predictions go and what is written of them."""

    place: Path
    """A folder, or for one case the file of its label map."""
    overwrite: bool = False
    probabilities: bool = False
    regions: bool = False
    to: tuple[str, ...] = ()
    """Kinds of files for the label map (`dicom_outputs.KINDS`); none named: a volume in the format of the input."""
    uncertainty: tuple[str, ...] = ()
    """What the model tells of it (predictor/uncertainty.py)."""
    on_stop: Callable[[Predictions], None] | None = None
    """Takes what was done where the user stops; of several processes, that of the first."""


@dataclass(frozen=True)
class Planned:
    """A case and the files that it is to have."""

    case: Case
    files: dict[str, Path]
    settled: Skipped | Failed | None = None
    """What became of it already, so that nothing is to be done."""
    series: str | None = None
    """Which series is meant where its images are DICOM."""


@dataclass(frozen=True)
class Opened:
    """A case whose scan can be read."""

    planned: Planned
    scan: Scan
    warnings: tuple[str, ...]
    read_s: float
    files: ExitStack
    """What is open of it."""

    def close(self) -> None:
        """Without having been used."""
        self.files.close()


@dataclass(frozen=True)
class Computed:
    """A case that is to be written."""

    opened: Opened
    prediction: Prediction
    network_s: float
    peak: Peak
    gpu_peak: int | None
    skipped: int | None
    """Patches that were not computed; None where none may be skipped."""


def open_case(model: LoadedModel, planned: Planned, *, implicit: bool) -> Opened:
    """Read a case's files as far as that is done before it is computed, and look for what is odd."""
    begun = time.monotonic()
    case = planned.case
    with ExitStack() as files:
        nonfinite = model.predictor.recipe.nonfinite
        scan = files.enter_context(
            open_images(case.images, len(model.card.channels), wanted=planned.series, nonfinite=nonfinite)
        )
        if set(planned.files) & set(dicom_outputs.ENDINGS):
            dicom_outputs.require_referable_series(scan)
        warnings = tuple(inspect(model, scan, case, implicit=implicit))
        return Opened(planned, scan, warnings, time.monotonic() - begun, files.pop_all())


def nothing(_: Scan) -> int:
    """Goes on beside a case."""
    return 0


def compute_case(
    model: LoadedModel,
    opened: Opened,
    output: Output,
    progress: Progress,
    *,
    beside: Callable[[Scan], int] = nothing,
) -> Computed:
    """Predict it; `beside` begins what goes on meanwhile, and tells how many bytes that may take."""
    device = model.members[0].device
    for warning in opened.warnings:
        log.warning("%s", warning)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    peak = Peak()
    begun, before = time.monotonic(), model.patches
    with opened.files:
        probabilities = output.probabilities
        prediction = use(model, opened.scan, progress, probabilities=probabilities, beside=beside)
    seconds, skipped = time.monotonic() - begun, _skipped(opened.scan.path, before, model.patches)
    return Computed(opened, prediction, seconds, peak, _gpu_peak(device), skipped)


def _skipped(path: Path, before: Patches | None, after: Patches | None) -> int | None:
    """How many patches of a volume were skipped, which is said; None where none may be."""
    if before is None or after is None:
        return None
    skipped = after.skipped - before.skipped
    reason = ", there is nothing in them" * (skipped > 1) + ", there is nothing in it" * (skipped == 1)
    log.info("%s: %d of %d patches skipped%s", path, skipped, after.number - before.number, reason)
    return skipped


def use(
    model: LoadedModel,
    scan: Scan,
    progress: Progress,
    *,
    probabilities: bool,
    beside: Callable[[Scan], int] = nothing,
) -> Prediction:
    """The prediction within the model's budgets; memory that runs out all the same is told as an error of ours."""
    try:
        with about(scan.path):
            predictor = model.fitting.predictor_for(scan, probabilities=probabilities, beside=beside(scan))
            return predictor(scan.source, scan.affine, progress, probabilities=probabilities)
    except (RuntimeError, MemoryError) as error:
        if not machine.is_out_of_memory(error):
            raise
        shape = " x ".join(map(str, scan.shape))
        raise DataError(
            f"{scan.path}: memory ran out on {model.members[0].device} with its {shape} voxels; use --batch-size 1 "
            "or a smaller --patch-size, --device cpu, or a computer with more"
        ) from error


def write_case(model: LoadedModel, computed: Computed, output: Output) -> Written:
    begun = time.monotonic()
    opened, prediction = computed.opened, computed.prediction
    counts = _count(prediction.label_map)
    with Together() as drafts:
        for file, write in _contents(model, prediction, opened, output, naming=drafts.add):
            write(file)
        drafts.name()
    effort = Effort(opened.read_s, computed.network_s, time.monotonic() - begun, computed.peak.bytes, computed.gpu_peak)
    regions = prediction.labels.regions
    voxels = {region.name: sum(counts.get(value, 0) for value in region.labels) for region in regions}
    voxel_mm3 = float(abs(np.linalg.det(opened.scan.affine[:3, :3])))
    files = tuple(opened.planned.files.values())
    more = (opened.warnings, computed.skipped, uid_of_series(opened.scan))
    return Written(opened.planned.case, files, voxels, voxel_mm3, effort, *more)


def _count(label_map: np.ndarray) -> Counter[int]:
    """How many voxels have each value."""
    counts: Counter[int] = Counter()
    for planes in slabs_of(label_map):
        counts.update(dict(counted(planes.ravel(order="K"))))
    return counts


def _contents(
    model: LoadedModel, prediction: Prediction, opened: Opened, output: Output, *, naming: Naming
) -> Iterator[tuple[Path, Callable[[Path], None]]]:
    """Each file and what writes it, whose content is made when it is its turn."""
    planned, files = opened.planned, opened.planned.files
    place: dict[str, Any] = {"like": opened.scan, "overwrite": output.overwrite, "naming": naming}
    if file := files.get("seg"):
        yield file, partial(write_slabs_like, label_map=prediction.label_map, pick=_as_it_is, **place)
    if prediction.probabilities is not None:
        yield files["probabilities"], partial(write_like, array=prediction.probabilities, **place)
    if prediction.uncertainty is not None:
        file = next(files[kind] for kind in MEASURES if kind in files)
        yield file, partial(write_like, array=prediction.uncertainty, **place)
    for region in prediction.labels.regions:
        if file := files.get(f"region {region.name}"):
            pick = partial(_mask, region.labels)
            yield file, partial(write_slabs_like, label_map=prediction.label_map, pick=pick, **place)
    if dicom := [kind for kind in dicom_outputs.ENDINGS if kind in files]:
        with dicom_outputs.writers(
            model, planned.case, planned.series, prediction, overwrite=output.overwrite, naming=naming
        ) as writers:
            for kind in dicom:
                yield files[kind], writers[kind]


def _as_it_is(planes: np.ndarray) -> np.ndarray:
    return planes


def _mask(values: tuple[int, ...], planes: np.ndarray) -> np.ndarray:
    return np.isin(planes, values).view(np.uint8)


def _gpu_peak(device: torch.device) -> int | None:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
