"""The files that a case of a prediction gets: their names, and what becomes of a case that has some already."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torchio_seg.errors import UsageError
from torchio_seg.predictor.uncertainty import MEASURES
from torchio_seg.records import Case
from torchio_seg.volumes.names import NIFTI, WHOLE, listed, same_format, stem, suffix
from torchio_seg.workflows import dicom_outputs
from torchio_seg.workflows.models import LoadedModel
from torchio_seg.workflows.predict_case import Output
from torchio_seg.workflows.predictions import Failed, Skipped

log = logging.getLogger(__name__)

OTHER_IMAGES = {".png", ".jpg", ".tif", ".tiff", ".nhdr", ".mhd", ".mgz", ".img", ".hdr", ".dcm", ".gz", ".npy", ".zip"}


def targets_of(model: LoadedModel, case: Case, output: Output, *, alone: bool) -> dict[str, Path]:
    """The files that a case will get, in a folder that is there."""
    files = _names(model, main := _main_file(case, output, alone=alone), output)
    for file in files.values():
        if any(file.resolve() == image.resolve() for image in case.images):
            raise UsageError(f"{file} is the input itself; name another output with -o")
    is_writing = output.overwrite or not all(file.exists() for file in files.values())
    try:
        main.parent.mkdir(parents=True, exist_ok=True)
        if is_writing:
            tempfile.TemporaryFile(dir=main.parent, prefix=".torchio-seg-").close()
    except OSError as error:
        what = f"{main.parent} cannot be {'written to' if main.parent.is_dir() else 'made'}"
        raise UsageError(f"the folder {what}: {error.strerror}; name another with -o") from error
    return files


def _names(model: LoadedModel, main: Path, output: Output) -> dict[str, Path]:
    """The files of a case whose label map has this one."""
    base = stem(main).removesuffix("_seg")
    ending = main.name[len(stem(main)) :]
    files = {"seg": main} if dicom_outputs.has_volume(output.to) else {}
    for kind, dicom in dicom_outputs.ENDINGS.items():
        if kind in output.to:
            files[kind] = (
                output.place if dicom_outputs.names_one(output.place, output.to) else main.with_name(f"{base}{dicom}")
            )
    if output.regions:
        for region in model.card.labels.regions:
            files[f"region {region.name}"] = main.with_name(f"{base}_{_safe(region.name)}{ending}")
    if output.probabilities:
        files["probabilities"] = main.with_name(f"{base}_probabilities{ending}")
    files |= {kind: main.with_name(f"{base}_{kind}{ending}") for kind in output.uncertainty}
    return files


def without_outputs(model: LoadedModel, cases: list[Case], output: Output) -> list[Case]:
    """The cases but for those that are predictions of others, as where a folder is both input and output."""
    if len(cases) == 1 or suffix(output.place, WHOLE):
        return cases
    everything = replace(output, probabilities=True, regions=True, uncertainty=tuple(MEASURES))
    makers = {
        file.resolve().with_name(stem(file)): case.id
        for case in cases
        for file in _names(model, _main_file(case, output, alone=False), everything).values()
    }
    own = [case for case in cases if not any(image.resolve().with_name(stem(image)) in makers for image in case.images)]
    if len(own) < len(cases):
        log.info("%d files are left out: by their names they are predictions of others", len(cases) - len(own))
    return own


def settled_before(case: Case, files: Mapping[str, Path], output: Output, *, alone: bool) -> Skipped | Failed | None:
    """What becomes of a case that has files already: with all it keeps them, with half it fails, alone with any."""
    there = [file for file in files.values() if file.exists()]
    if not there or output.overwrite:
        return None
    if alone:
        raise UsageError(f"{there[0]} exists; --overwrite replaces it, -o names another place")
    if missing := [file for file in files.values() if not file.exists()]:
        return Failed(
            case,
            UsageError(
                f"{there[0]} exists, {missing[0]} does not, and one model must write both: remove "
                f"{', '.join(map(str, there))} to predict the case again, or --overwrite makes the files of all cases "
                "anew, -o names another place"
            ),
        )
    return Skipped(case, tuple(files.values()))


def _main_file(case: Case, output: Output, *, alone: bool) -> Path:
    """The file of the case's label map as a volume, whether it is written or not: the others are named after it."""
    is_dicom = dicom_outputs.names_one(output.place, output.to)
    if suffix(output.place, WHOLE) or is_dicom:
        if not alone:
            raise UsageError(f"-o {output.place} names one file, but there are several cases; name a folder")
        if is_dicom:
            return output.place.with_name(f"{output.place.stem}{NIFTI[0]}")
        dicom_outputs.require_volume_name(output.place, output.to)
        return output.place
    if output.place.suffix in OTHER_IMAGES and not output.place.is_dir():
        dicom = "; a name in .dcm needs one of --to dicom-seg and --to rtstruct" * (output.place.suffix == ".dcm")
        raise UsageError(
            f"-o {output.place}: label maps are written as {listed(WHOLE, last='or')}{dicom}; or name a folder"
        )
    ending = NIFTI[0] if dicom_outputs.NIFTI in output.to else same_format(case.images[0])
    return output.place / f"{case.id}_seg{ending}"


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
