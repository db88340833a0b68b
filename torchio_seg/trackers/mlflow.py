"""MLflow: parameters, metrics and the best model in a local folder (docs/tracking.md says how to look at it)."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from torchio_seg.files import write_json
from torchio_seg.tracking.environment import environment, is_installed
from torchio_seg.tracking.figures import figures, outcome
from torchio_seg.tracking.interface import NoRows, Nothing, Run, Shown, Tracker

log = logging.getLogger(__name__)

RECORD = "mlflow.json"
"""In the run's tracking folder: which run of MLflow it is."""
_LOCAL = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
_PARAMETERS_A_CALL, _LONGEST = 100, 500
_FORBIDDEN = re.compile(r"[^\w\-. /:]")


def build(run: Run, folder: Path | None = None) -> Tracker:
    """A run in a local folder of MLflow's, null being one of the run's own; without MLflow nothing, in one line."""
    if not is_installed("mlflow"):
        log.info("MLflow is not installed (pip install mlflow-skinny): metrics.jsonl is the only record")
        return Nothing()
    return MlflowTracker(run, (folder or run.place / "mlflow").resolve())


class MlflowTracker:
    """Logs to a run in a folder; nothing leaves the machine."""

    shown: Shown | None = None

    def __init__(self, run: Run, folder: Path) -> None:
        self._best = run.config.get("training", {}).get("best", "mean_dice")
        self._open = ExitStack()
        self._open.enter_context(environment(**_LOCAL))
        try:
            from mlflow import MlflowClient

            run.place.mkdir(parents=True, exist_ok=True)
            self._client: Any = MlflowClient(tracking_uri=folder.as_uri())
            self._run = self._recall(run) or self._create(run)
            self._client.log_dict(self._run, json.loads(json.dumps(run.facts)), "run.json")
        except BaseException:
            self._open.close()
            raise

    def log(self, record: Mapping[str, Any]) -> None:
        """Its numbers at its step."""
        from mlflow.entities import Metric, RunTag

        moment = round(1000 * record.get("time", time.time()))
        step, found = record.get("step", 0), {**figures(record), **outcome(record, self._best)}
        numbers = {_name(name): value for name, value in found.items() if not isinstance(value, str)}
        metrics = [Metric(name, float(value), moment, step) for name, value in numbers.items()]
        tags = [RunTag(_name(name), value) for name, value in found.items() if isinstance(value, str)]
        self._client.log_batch(self._run, metrics=metrics, tags=tags)

    def table(self, key: str, columns: Sequence[str]) -> NoRows:  # noqa: ARG002 (the contract of trackers)
        """Pictures stay in the run's own report."""
        return NoRows()

    def checkpoint(self, folder: Path, record: Mapping[str, Any], *, is_best: bool) -> None:
        """Where the best model lies, with its score; its files are not copied."""
        if is_best:
            self._client.set_tag(self._run, "best_model", str(folder.resolve()))
            self._client.set_tag(self._run, "best_model_epoch", f"{record['epoch']:g}")

    def used(self, checkpoint: Path) -> None:
        """The model that this run is about."""
        self._client.set_tag(self._run, "model", str(checkpoint.resolve()))

    def finish(self, *, failed: bool = False) -> None:
        """Close the run."""
        try:
            self._client.set_terminated(self._run, "FAILED" if failed else "FINISHED")
        finally:
            self._open.close()

    def _recall(self, run: Run) -> str | None:
        """The run that an earlier part of this training was."""
        path = run.place / RECORD
        if run.job != "train" or not path.is_file():
            return None
        identity = str(json.loads(path.read_text(encoding="utf-8"))["id"])
        self._client.update_run(identity, "RUNNING")
        return identity

    def _create(self, run: Run) -> str:
        from mlflow.entities import Param

        known = self._client.get_experiment_by_name(run.experiment)
        experiment = known.experiment_id if known else self._client.create_experiment(run.experiment)
        tags = {"job_type": run.job, "folder": str(run.folder.resolve())}
        tags |= {"group": run.group} if run.group else {}
        identity = str(self._client.create_run(experiment, run_name=run.name, tags=tags).info.run_id)
        parameters = [Param(_name(key), value[:_LONGEST]) for key, value in _flat(run.config)]
        for first in range(0, len(parameters), _PARAMETERS_A_CALL):
            self._client.log_batch(identity, params=parameters[first : first + _PARAMETERS_A_CALL])
        if run.job == "train":
            write_json(run.place / RECORD, {"id": identity})
        return identity


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for key, value in settings.items():
        flat += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, str(value))]
    return flat


def _name(name: str) -> str:
    """A name that MLflow takes."""
    return _FORBIDDEN.sub("_", name)
