"""Every case predicted by the model that was not trained on it, and scored."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from torchio_seg import checkpoint
from torchio_seg.errors import DataError
from torchio_seg.files import write_json
from torchio_seg.metrics import score_label_maps
from torchio_seg.progress import Progress
from torchio_seg.records import Case, Dataset, RegionScore
from torchio_seg.subjects import read_case_label
from torchio_seg.volumes.nifti import read_label, write_like
from torchio_seg.workflows.choosing import Compared
from torchio_seg.workflows.dicom_inputs import open_images
from torchio_seg.workflows.opening import load_model
from torchio_seg.workflows.predict_case import use
from torchio_seg.workflows.runs import run_of

log = logging.getLogger(__name__)

FOLDER, RECORD = "out_of_fold", "predicted_by.json"


@dataclass(frozen=True)
class OutOfFold:
    """The label maps in a folder, one for each case that a fold holds out."""

    folder: Path
    cases: tuple[Case, ...]
    dataset: Dataset
    progress: Progress

    def __iter__(self) -> Iterator[Compared]:
        """Each prediction beside its truth, read when it is its turn."""
        self.progress.start("comparing", len(self.cases))
        try:
            for case in self.cases:
                yield self._compare(case)
                self.progress.advance()
        finally:
            self.progress.finish()

    def _compare(self, case: Case) -> Compared:
        values = sorted(self.dataset.labels.names)
        truth = read_case_label(case, values)
        predicted = read_label(_file(self.folder, case), values)
        if predicted.shape != truth.shape:
            raise DataError(f"{predicted.path} is not on the grid of case {case.id}; delete it, then run this again")
        voxel_mm3 = float(abs(np.linalg.det(truth.affine[:3, :3])))
        return Compared(case.id, predicted.array[0], truth.array[0], voxel_mm3)

    def scores(self) -> list[RegionScore]:
        """Each region of each case."""
        scores: list[RegionScore] = []
        for each in self:
            scores += score_label_maps(each.case, each.predicted, each.truth, self.dataset.labels)
        return scores


def predict_out_of_fold(
    folder: Path, held_out: Mapping[Path, Sequence[str]], dataset: Dataset, *, device: str, progress: Progress
) -> OutOfFold:
    """Predict the cases that each model was not trained on, but for those that it has predicted already."""
    folder.mkdir(exist_ok=True)
    done = _read_record(folder)
    cases: list[Case] = []
    for model, ids in held_out.items():
        sha256 = checkpoint.read_card(model).sha256
        own = dataset.choose(ids)
        cases += own
        left = [case for case in own if done.get(case.id) != sha256 or not _file(folder, case).is_file()]
        if left:
            log.info("%s predicts %d cases that it was not trained on", run_of(model).name, len(left))
            for case in _predict(model, left, folder, device=device, progress=progress):
                done[case.id] = sha256
                write_json(folder / RECORD, done)
    return OutOfFold(folder, tuple(sorted(cases, key=lambda case: case.id)), dataset, progress)


def _predict(model: Path, cases: Sequence[Case], folder: Path, *, device: str, progress: Progress) -> Iterator[Case]:
    """Write the label map of each case in its own space, as predicted; each case once it is written."""
    loaded = load_model(model, changes={"device": device}, trust=True)  # its code has just been trained with
    progress.start("cases", len(cases))
    try:
        for case in cases:
            nonfinite = loaded.predictor.recipe.nonfinite
            with open_images(case.images, len(loaded.card.channels), nonfinite=nonfinite) as scan:
                prediction = use(loaded, scan, progress, probabilities=False)
                write_like(_file(folder, case), prediction.label_map, scan, overwrite=True)
            yield case
            progress.advance()
    finally:
        progress.finish()


def _file(folder: Path, case: Case) -> Path:
    return folder / f"{case.id}.nii.gz"


def _read_record(folder: Path) -> dict[str, str]:
    """Which model predicted each case, by its hash."""
    try:
        return dict(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{folder / RECORD} cannot be read ({error}); delete it, and the cases are predicted anew"
        ) from error
