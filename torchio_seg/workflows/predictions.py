"""What became of the cases that were to be predicted, for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchio_seg import devices
from torchio_seg.predictor.uncertainty import MEASURES

if TYPE_CHECKING:
    from torchio_seg.errors import TorchioSegError
    from torchio_seg.records import Case
    from torchio_seg.workflows.models import LoadedModel


@dataclass(frozen=True)
class Effort:
    """What a case took."""

    read_s: float
    network_s: float
    """With preprocessing, and the way back to the case's own grid."""
    write_s: float
    peak_bytes: int
    """The most that this process had in memory from the network's beginning until the files were written: the program
    itself included, and what other cases took meanwhile."""
    gpu_peak_bytes: int | None = None
    """The most that its tensors took on the GPU, where it computed on one."""


@dataclass(frozen=True)
class Written:
    """One case's prediction."""

    case: Case
    files: tuple[Path, ...]
    voxels: dict[str, int]
    """Of each region."""
    voxel_mm3: float
    effort: Effort
    warnings: tuple[str, ...] = ()
    """What is odd about the case, or unlike those that the model was trained on."""
    skipped_patches: int | None = None
    """How many the networks were not asked about, there being nothing in them; None where all are asked about."""
    series: str | None = None
    """The UID of the series that the first channel was read from, where it was DICOM."""

    def to_json(self) -> dict[str, Any]:
        """As it stands in the summary."""
        effort = asdict(self.effort)
        regions = {name: {"voxels": count, "mm3": count * self.voxel_mm3} for name, count in self.voxels.items()}
        return {
            **_named(self.case, "written"),
            "series": self.series,
            "files": [str(file) for file in self.files],
            "regions": regions,
            "seconds": {name.removesuffix("_s"): effort[name] for name in ("read_s", "network_s", "write_s")},
            "peak_bytes": self.effort.peak_bytes,
            "gpu_peak_bytes": self.effort.gpu_peak_bytes,
            "skipped_patches": self.skipped_patches,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Skipped:
    """A case whose files were there before, and are as they were."""

    case: Case
    files: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """As it stands in the summary."""
        return {**_named(self.case, "skipped"), "files": [str(file) for file in self.files]}


@dataclass(frozen=True)
class Failed:
    """A case that could not be predicted."""

    case: Case
    error: TorchioSegError

    def to_json(self) -> dict[str, Any]:
        """As it stands in the summary."""
        return {**_named(self.case, "failed"), "error": str(self.error)}


Outcome = Written | Skipped | Failed


@dataclass(frozen=True)
class Predictions:
    """What became of every case, in the order of the cases."""

    outcomes: tuple[Outcome, ...]
    seconds: float
    """For all of them together."""
    num_left: int | None = None
    """Where the command was stopped, how many cases it had not come to the end of."""

    @property
    def written(self) -> list[Written]:
        return [outcome for outcome in self.outcomes if isinstance(outcome, Written)]

    @property
    def skipped(self) -> list[Skipped]:
        return [outcome for outcome in self.outcomes if isinstance(outcome, Skipped)]

    @property
    def failed(self) -> list[Failed]:
        return [outcome for outcome in self.outcomes if isinstance(outcome, Failed)]

    def to_json(self, model: LoadedModel) -> dict[str, Any]:
        """The summary: which model, how it was used, each case, and totals."""
        totals = {
            "cases": len(self.outcomes),
            "written": len(self.written),
            "skipped": len(self.skipped),
            "failed": len(self.failed),
            "seconds": self.seconds,
        }
        return {
            "model": _about(model),
            "settings": _settings(model),
            "cases": [outcome.to_json() for outcome in self.outcomes],
            "totals": totals,
            "stopped": self.num_left is not None,
            "left": self.num_left or 0,
        }


def _named(case: Case, status: str) -> dict[str, Any]:
    return {"id": case.id, "status": status, "inputs": [str(image) for image in case.images]}


def _about(model: LoadedModel) -> dict[str, Any]:
    card = model.card
    return {
        "folder": str(model.folder),
        "others": [str(folder) for folder in model.others],
        "dataset": card.dataset,
        "channels": list(card.channels),
        "regions": [asdict(region) for region in card.labels.regions],
        "members": len(model.members),
        "sha256": card.sha256,
        "progress": card.progress,
        "versions": card.versions,
    }


def _settings(model: LoadedModel) -> dict[str, Any]:
    """How it was used; budgets in bytes, None: what is free."""
    first = model.members[0]
    return {
        **asdict(first.window),
        "precision": devices.usable(first.device, first.precision),
        "nonfinite": first.recipe.nonfinite,
        "device": devices.describe(first.device),
        "mirrored_axes": list(model.mirrored),
        "skip_empty": model.patches is not None,
        "uncertainty": next((kind for kind, measure in MEASURES.items() if measure is first.measure), None),
        "budgets": {"ram": model.budgets.ram, "vram": model.budgets.vram},
        "postprocessing": [str(step) for step in model.steps],
    }
