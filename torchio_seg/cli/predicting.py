"""What torchio-seg predict is asked for: judged before anything heavy is imported, then carried out and shown."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import gather, require_experiment
from torchio_seg.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torchio_seg.distributed import Peers
    from torchio_seg.workflows.models import LoadedModel
    from torchio_seg.workflows.predict_case import Output
    from torchio_seg.workflows.predictions import Predictions

PRINTED = "-"
"""In place of the summary's file."""
STOPPED = (
    "stopped with no volume under way: none is written in part, those of earlier calls are as they were; the same "
    "command begins with those that are left"
)
AGAIN = "Volumes that were written are whole; the same command goes on with the others"


@dataclass(frozen=True)
class Source:
    """Which model predicts, or which several together."""

    models: tuple[Path, ...]
    weights: Path | None
    dataset: str | None
    config: Path | None
    root: Path | None
    runs: Path
    trust: bool
    mirror: bool

    @property
    def is_newest(self) -> bool:
        """Whether nothing is said, so that it is the newest run."""
        return not self.models and self.weights is None

    def require_one(self) -> None:
        """Hold that it is said once, and wholly."""
        from torchio_seg.workflows.beforehand import require_model, require_run

        require_experiment(self.weights, self.dataset, self.config)
        if self.weights is not None and self.models:
            raise UsageError(
                f"--model {self.models[0]} and --weights {self.weights} each name a model; give one of them"
            )
        if self.root is not None and self.weights is None:
            raise UsageError(f"--root {self.root}: a model of ours needs no data to predict; give it with --weights")
        for model in self.models:
            require_model(model)
        if self.is_newest:
            require_run(self.runs)


@dataclass(frozen=True)
class Files:
    """What is written, and where."""

    place: Path
    overwrite: bool
    probabilities: bool
    regions: bool
    uncertainty: str | None
    to: tuple[str, ...]
    codes: Path | None
    summary: str | None
    """A file of JSON, or that it is printed."""

    def require_sound(self, *, mirror: bool) -> None:
        """Hold that each is something that can be written."""
        from torchio_seg.workflows.beforehand import UNCERTAINTIES, parse_kinds, require_word

        parse_kinds(self.to)
        require_word("--uncertainty", self.uncertainty, UNCERTAINTIES)
        if self.uncertainty == "disagreement" and not mirror:
            raise UsageError("--uncertainty disagreement is that between mirror images: add --tta, or take entropy")
        if self.summary not in {None, PRINTED}:
            path = Path(str(self.summary))
            if path.suffix != ".json" or path.is_dir():
                raise UsageError(f"--json {path}: name a file that ends in .json, or - to print it")

    def make_room(self) -> None:
        """Make the folder of the summary."""
        if self.summary not in {None, PRINTED}:
            folder = Path(str(self.summary)).parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(
                    f"--json {self.summary}: the folder {folder} cannot be made: {error.strerror}"
                ) from error


@dataclass(frozen=True)
class Asked:
    """All of it."""

    inputs: tuple[str, ...]
    series: str | None
    source: Source
    files: Files
    settings: Mapping[str, Any]
    """By dotted key."""
    skip_empty: bool
    keep_largest: tuple[str, ...]
    ram: int | None
    vram: int | None
    """Bytes."""
    is_tracked: bool

    def require_sound(self) -> None:
        """Refuse at once what is wrong whatever the model."""
        from torchio_seg.workflows.beforehand import require_inputs

        self.source.require_one()
        self.files.require_sound(mirror=self.source.mirror)
        require_inputs(self.inputs)
        gather(self.settings, None)


def carry_out(asked: Asked) -> None:
    """Predict, alone or as one of several processes; whenever it is stopped, what is kept is said."""
    try:
        _carry_out(asked)
    except (KeyboardInterrupt, SystemExit) as stop:
        if not hasattr(stop, "__notes__"):
            stop.add_note(STOPPED)
        raise


def _carry_out(asked: Asked) -> None:
    from torchio_seg.distributed import joined

    with joined("prediction", AGAIN) as peers:
        screen = Screen.shared()
        if not peers.is_main:
            screen.say_only_failures()
        is_stdout_taken = peers.is_main and asked.files.summary == PRINTED
        with screen.results_beside_messages() if is_stdout_taken else nullcontext():
            predictions = _predict(asked, peers)
    if predictions.failed:
        raise typer.Exit(1)


def _predict(asked: Asked, peers: Peers) -> Predictions:
    from torchio_seg.workflows.predict import predict
    from torchio_seg.workflows.predict_tracked import track_predictions

    screen, files = Screen.shared(), asked.files
    peers.from_main(files.make_room)
    loaded = _open(asked, peers)
    places = ", ".join(map(str, loaded.folders))
    screen.say(f"model {places}: {loaded.card.dataset}, channels {', '.join(loaded.card.channels)}")
    for note in loaded.notes:
        screen.say(note)
    predictions = predict(
        loaded,
        asked.inputs,
        _output(files, loaded),
        series=asked.series,
        implicit=asked.source.is_newest,
        progress=screen,
        peers=peers,
    )
    if files.summary is not None and peers.is_main:
        _summarize(predictions.to_json(loaded), files.summary)
    _report(predictions)
    if asked.is_tracked and peers.is_main:
        track_predictions(loaded, predictions, files.place, progress=screen)
    return predictions


def _open(asked: Asked, peers: Peers) -> LoadedModel:
    """The model as it is to be used."""
    from torchio_seg.workflows.beforehand import parse_kinds
    from torchio_seg.workflows.budgets import Budgets
    from torchio_seg.workflows.dicom_outputs import read_codes
    from torchio_seg.workflows.models import keep_largest, skip_empty, with_uncertainty

    files = asked.files
    codes = {"codes": read_codes(files.codes, parse_kinds(files.to))} if files.codes else {}
    loaded = keep_largest(_load(asked.source, gather({**asked.settings, **codes}, None), peers), asked.keep_largest)
    if files.uncertainty is not None:
        loaded = with_uncertainty(loaded, files.uncertainty)
    loaded = skip_empty(loaded) if asked.skip_empty else loaded
    return replace(loaded, budgets=Budgets(asked.ram, asked.vram))


def _load(source: Source, changes: dict[str, Any], peers: Peers) -> LoadedModel:
    """The model that was named, or the newest run."""
    if source.weights is not None:
        from torchio_seg.config.resolve import choose
        from torchio_seg.workflows.from_elsewhere import Foreign, open_weights

        experiment = choose(source.dataset, source.config, changes)
        foreign = Foreign(source.weights, experiment, source.trust, source.mirror, peers.local_rank)
        return peers.in_turn(lambda: open_weights(foreign, progress=Screen.shared()))
    from torchio_seg.workflows.opening import load_models
    from torchio_seg.workflows.runs import newest_trained

    places = peers.from_main(lambda: source.models or (newest_trained(source.runs),))
    return load_models(places, changes=changes, trust=source.trust, mirror=source.mirror, local_rank=peers.local_rank)


def _output(files: Files, loaded: LoadedModel) -> Output:
    from torchio_seg.workflows.beforehand import parse_kinds
    from torchio_seg.workflows.predict_case import Output

    summary = files.summary
    return Output(
        files.place,
        overwrite=files.overwrite,
        probabilities=files.probabilities,
        regions=files.regions,
        to=parse_kinds(files.to),
        uncertainty=() if files.uncertainty is None else (files.uncertainty,),
        on_stop=None if summary is None else lambda done: _summarize(done.to_json(loaded), summary),
    )


def _summarize(document: dict[str, Any], summary: str) -> None:
    from torchio_seg.files import write_json

    if summary == PRINTED:
        sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
    else:
        write_json(Path(summary), document)


def _report(predictions: Predictions) -> None:
    """Show what was written, what was there, and what could not be; a single case that could not is an error."""
    screen = Screen.shared()
    for item in predictions.written:
        found = ", ".join(f"{name} {voxels}" for name, voxels in item.voxels.items())
        screen.say(f"{item.files[0]}: voxels of {found}")
        for file in item.files[1:]:
            screen.say(f"{file}")
    num_cases = len(predictions.outcomes)
    if predictions.skipped:
        num = len(predictions.skipped)
        screen.say(f"{num} of {num_cases} were there already and are as they were; --overwrite predicts them again")
    if predictions.failed and num_cases == 1:
        raise predictions.failed[0].error
    if predictions.failed:
        screen.say(f"{len(predictions.failed)} of {num_cases} could not be predicted, for the reasons above:")
        for failed in predictions.failed:
            screen.say(f"  {', '.join(map(str, failed.case.images))}")
