"""`torchio-seg demo`: generated scans, a trained network, a prediction of a scan that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torchio_seg.config.resolve import load, shipped
from torchio_seg.progress import Progress
from torchio_seg.workflows.cases import load_dataset
from torchio_seg.workflows.opening import load_model
from torchio_seg.workflows.predict import predict
from torchio_seg.workflows.predict_case import Output
from torchio_seg.workflows.runs import read_split
from torchio_seg.workflows.train import Trained, start

EXPERIMENT = "phantom"


@dataclass(frozen=True)
class Shown:
    """What the demonstration made."""

    trained: Trained
    volume: Path
    """A test case's scan."""
    prediction: Path | None
    """Its label map; None where training was stopped."""


def run_demo(runs: Path, *, seed: int, progress: Progress) -> Shown:
    """Train the shipped phantom experiment, phantoms and weights both from this seed, and use the model once."""
    changes = {
        "seed": seed,
        "dataset.seed": seed,
        "dataset.root": str(Path("data") / (EXPERIMENT if seed == 0 else f"{EXPERIMENT}-{seed}")),
    }
    experiment = load(shipped()[EXPERIMENT], changes)
    trained = start(experiment, runs, progress=progress)
    volume = load_dataset(experiment).choose(read_split(trained.folder).test[:1])[0].images[0]
    if trained.evaluation is None:
        return Shown(trained, volume, None)
    model = load_model(trained.folder)
    predictions = predict(model, [str(volume)], Output(trained.folder / "predictions"), progress=progress)
    for failed in predictions.failed:
        raise failed.error
    return Shown(trained, volume, predictions.written[0].files[0])
