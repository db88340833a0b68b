"""`torchio-seg predict --wandb`: what was predicted as a run of its own, with the model in its lineage."""

from __future__ import annotations

import logging
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from torchio_seg.errors import DataError, TorchioSegError
from torchio_seg.metrics import METRICS
from torchio_seg.reports.pictures import Drawn, found_columns, found_rows
from torchio_seg.reports.slices import find_window
from torchio_seg.tracking.figures import PREDICTIONS
from torchio_seg.tracking.interface import Run
from torchio_seg.volumes.alignment import difference, on_one_grid
from torchio_seg.volumes.geometry import Orientation
from torchio_seg.volumes.nifti import read_label
from torchio_seg.volumes.source import Turned
from torchio_seg.workflows.dicom_inputs import open_images
from torchio_seg.workflows.ledger import tracked
from torchio_seg.workflows.predictions import Written
from torchio_seg.workflows.preview_steps import GREY_PERCENTILES
from torchio_seg.workflows.provenance import commits, versions

if TYPE_CHECKING:
    from pathlib import Path

    from torchio_seg.progress import Progress
    from torchio_seg.tracking.interface import Rows, Slices
    from torchio_seg.workflows.models import LoadedModel
    from torchio_seg.workflows.predictions import Predictions

log = logging.getLogger(__name__)


def track_predictions(model: LoadedModel, predictions: Predictions, output: Path, *, progress: Progress) -> None:
    """A table of the first cases that were written, read back from their files."""
    place = output if output.is_dir() else output.parent
    written = [outcome for outcome in predictions.outcomes if isinstance(outcome, Written)]
    regions = [region.name for region in model.card.labels.regions]
    with tracked(model.experiment.tracker, _about(model, place)) as tracker:
        for folder in model.folders:
            tracker.used(folder)
        if (shown := tracker.shown) is None:
            return
        chosen = written[: shown.cases] if shown.cases else written
        rows = tracker.table(PREDICTIONS, found_columns(len(model.card.channels), regions))
        progress.start("drawing cases", len(chosen))
        try:
            for each in chosen:
                tracker.attempt(partial(_show, rows, model, each, shown.slices), None)
                progress.advance()
        finally:
            progress.finish()
        rows.finish()


def _about(model: LoadedModel, place: Path) -> Run:
    facts = {
        "model": ", ".join(map(str, model.folders)),
        "sha256": model.card.sha256,
        "trained": model.card.progress,
        "regions": [asdict(region) for region in model.card.labels.regions],
        "versions": versions(),
        "commits": commits(),
    }
    config, metrics = model.experiment.model_dump(mode="json"), tuple(METRICS)
    return Run(place.resolve(), model.experiment.name, job="inference", config=config, facts=facts, metrics=metrics)


def _show(rows: Rows, model: LoadedModel, written: Written, slices: Slices) -> None:
    try:
        _add(rows, model, written, slices)
    except TorchioSegError as error:  # as of label maps that are DICOM alone
        log.warning("%s is not drawn: %s", written.case.id, error)


def _add(rows: Rows, model: LoadedModel, written: Written, slices: Slices) -> None:
    regions = {region.name: region.labels for region in model.card.labels.regions}
    label_map = read_label(written.files[0], [0, *(region.value for region in model.card.labels.regions)])
    nonfinite, num_channels = model.predictor.recipe.nonfinite, len(model.card.channels)
    series = written.series if len(written.case.images) == 1 else None  # it is that of the first channel
    with open_images(written.case.images, num_channels, wanted=series, nonfinite=nonfinite) as image:
        if not on_one_grid(label_map, image):
            raise DataError(f"{label_map.path} is not on its grid: {difference(label_map, image)}")
        orientation = Orientation.to_ras(image.affine)
        drawn = Drawn(
            written.case.id,
            ("", 0),
            Turned(image.source, orientation),
            windows=[find_window(sample[sample != 0], GREY_PERCENTILES) for sample in image.samples],
            label_map=None,
            regions=regions,
            predicted=orientation.view(label_map.array)[0],
        )
        for row in found_rows(drawn, slices):
            rows.add(*row)
