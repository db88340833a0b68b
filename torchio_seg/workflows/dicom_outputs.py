"""Predictions of DICOM series as DICOM: which kinds there are, and what a model's classes are called in them."""

from __future__ import annotations

import importlib.metadata
import logging
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torchio_seg import components
from torchio_seg.config.reading import read_mapping
from torchio_seg.errors import UsageError
from torchio_seg.volumes import names
from torchio_seg.volumes.coding import CATEGORIES, SIDES, Code, Coding, coding_of
from torchio_seg.volumes.dicom import Grid
from torchio_seg.volumes.dicom_output import Algorithm, Findings, Segment, require_referable
from torchio_seg.volumes.dicom_seg import import_highdicom, write_seg
from torchio_seg.volumes.names import suffix
from torchio_seg.volumes.rtstruct_writing import write_structures
from torchio_seg.workflows.beforehand import KINDS
from torchio_seg.workflows.dicom_inputs import is_dicom, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torchio_seg.predictor.predictor import Prediction
    from torchio_seg.records import Case
    from torchio_seg.volumes.nifti import Volume
    from torchio_seg.volumes.scan import Scan
    from torchio_seg.volumes.together import Naming
    from torchio_seg.workflows.models import LoadedModel

log = logging.getLogger(__name__)

NIFTI, SEG, RTSTRUCT = KINDS
ENDINGS = {SEG: "_seg.dcm", RTSTRUCT: "_rtstruct.dcm"}
"""What follows the case in the names of DICOM files."""
_WRITERS = {SEG: write_seg, RTSTRUCT: write_structures}


def has_volume(kinds: Sequence[str]) -> bool:
    """Whether the label map is written as a volume, DICOM aside."""
    return not kinds or NIFTI in kinds


def names_one(place: Path, kinds: Sequence[str]) -> bool:
    """Whether an output's name is that of the only file, one of DICOM."""
    return place.suffix == ".dcm" and not place.is_dir() and len(kinds) == 1 and not has_volume(kinds)


def require_volume_name(place: Path, kinds: Sequence[str]) -> None:
    """Refuse the name of a volume where none, or one of another format, is asked for."""
    if not has_volume(kinds):
        raise UsageError(f"-o {place} is no name for --to {','.join(kinds)}; end it in .dcm, or name a folder")
    if kinds and not suffix(place, names.NIFTI):
        raise UsageError(f"-o {place} is no name for --to {NIFTI}; end it in .nii.gz, or leave --to out")


def read_codes(file: Path, kinds: Sequence[str]) -> dict[str, object]:
    """Terms for classes from a YAML file, as they stand under `codes` in settings."""
    if not set(kinds) & set(_WRITERS):
        raise UsageError(f"--codes {file}: terms are for DICOM; ask for it with --to {SEG} or --to {RTSTRUCT}")
    content = read_mapping(file)
    return content["codes"] if set(content) == {"codes"} and isinstance(content["codes"], dict) else content


def require_dicom(cases: Sequence[Case], kinds: Sequence[str]) -> None:
    """Refuse before anything is computed what can never be written as these kinds."""
    dicom = [kind for kind in kinds if kind in _WRITERS]
    if SEG in dicom:
        import_highdicom()
    for case in cases if dicom else ():
        if not is_dicom(case.images[0]):
            raise UsageError(
                f"--to {dicom[0]}: {case.images[0]} is not DICOM, and what is found in it has no patient, study or "
                f"slices to refer to; give the folder or zip archive of the series, or --to {NIFTI}"
            )


def tell_codes(model: LoadedModel) -> None:
    """Say what each class will be called, and which have no term of their own."""
    segments = _segments(model)
    log.info("DICOM terms: %s", "; ".join(f"{each.region.name} = {each.coding}" for each in segments))
    if unknown := [each.region.name for each in segments if not each.coding.is_known]:
        log.warning(
            "no term is known for %s, which DICOM will hold under that name as '%s' and no more; --codes FILE gives "
            "terms (docs/dicom.md)",
            ", ".join(unknown),
            coding_of("").type.meaning,
        )


def require_referable_series(volume: Volume | Scan) -> None:
    """Hold that DICOM can refer to what a volume was read from."""
    if isinstance(volume.header, Grid):
        require_referable(volume.header)


@contextmanager
def writers(
    model: LoadedModel, case: Case, wanted: str | None, prediction: Prediction, *, overwrite: bool, naming: Naming
) -> Iterator[dict[str, Callable[[Path], None]]]:
    """What writes a prediction to a file, by kind, while the case's series can be read."""
    with opened(case.images[0], wanted) as grid:
        findings = Findings(grid, prediction.label_map, _segments(model), _algorithm(model))
        if absent := [each.label for each in findings.segments if each not in findings.present]:
            log.info("%s: nothing was found of %s, which is not in the DICOM files", case.id, ", ".join(absent))
        yield {
            kind: partial(write, findings=findings, overwrite=overwrite, naming=naming)
            for kind, write in _WRITERS.items()
        }


def _segments(model: LoadedModel) -> tuple[Segment, ...]:
    own = {
        name: Coding(CATEGORIES[given.category], Code(*given.type), SIDES[given.side] if given.side else None)
        for name, given in model.experiment.codes.items()
    }
    regions = model.card.labels.regions
    if unknown := [name for name in own if name not in {region.name for region in regions}]:
        hint = components.suggestion(unknown[0], tuple(region.name for region in regions))
        raise UsageError(f"codes.{unknown[0]}: the model has no class or region of this name{hint}")
    return tuple(Segment(region, coding_of(region.name, own), place) for place, region in enumerate(regions))


def _algorithm(model: LoadedModel) -> Algorithm:
    count = f" (mean of {len(model.members)} models)" if len(model.members) > 1 else ""
    name = f"{model.experiment.name}{count}"
    return Algorithm(importlib.metadata.version("torchio-seg"), name, model.card.sha256)
