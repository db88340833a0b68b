"""What a command refuses at once: it needs no model, no data and none of the heavy packages to be told."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from torchio_seg.components import suggestion
from torchio_seg.errors import UsageError
from torchio_seg.tracking.wandb_models import PREFIX
from torchio_seg.volumes.names import READ, not_read, suffix

KINDS = ("nifti", "dicom-seg", "rtstruct")
"""Of files for a label map."""
EXPORTS = ("torchscript", "torch-export", "onnx", "monai-bundle")
"""Of exported networks."""
UNCERTAINTIES = ("entropy", "disagreement")
PARTS = ("training", "validation", "test")
"""Of a split."""
ENSEMBLE = "ensemble"
"""In a cross-validation's folder."""
ARCHIVE = ".zip"
"""Of DICOM."""


def require_word(option: str, given: str | None, allowed: Sequence[str]) -> None:
    """Hold that an option's word, where it is given, is one of these."""
    if given is not None and given not in allowed:
        raise UsageError(f"{option}: got '{given}'{suggestion(given, tuple(allowed))}")


def parse_kinds(words: Sequence[str]) -> tuple[str, ...]:
    """The kinds that are named, one a word or several with commas between them, each once."""
    kinds = [kind.strip().lower() for word in words for kind in word.split(",")]
    for kind in kinds:
        require_word("--to", kind, KINDS)
    return tuple(dict.fromkeys(kinds))


def require_inputs(inputs: Sequence[str]) -> None:
    """Hold that every file, folder or pattern is there, CHANNEL=FILE too, and that a single file can be read."""
    for text in inputs:
        _, equals, file = text.partition("=")
        if not _is_there(text) and not (equals and Path(file).exists()):
            raise no_input(text)
    if len(inputs) == 1 and (path := Path(inputs[0])).is_file() and suffix(path, (*READ, ARCHIVE)) is None:
        raise UsageError(not_read(path))


def no_input(text: str) -> UsageError:
    """What is said where nothing is found that an input could mean."""
    channel, equals, file = text.partition("=")
    if equals:
        return UsageError(f"no file for channel {channel}: {file} does not exist")
    return UsageError(f"no file or folder {text}" + (" matches" if glob.has_magic(text) else ""))


def require_model(model: Path | None) -> None:
    """Hold that a model, where one is named, is there."""
    if model is not None and not str(model).startswith(PREFIX) and not model.exists():
        raise no_model(model)


def no_model(model: Path) -> UsageError:
    """What is said of a model that does not exist."""
    return UsageError(f"no model at {model}: there is no such folder or file; 'torchio-seg runs' lists trainings")


def require_run(runs: Path) -> None:
    """Hold that there is something like a trained run to be the newest."""
    if not any(path for folder in ("checkpoints", ENSEMBLE) for path in runs.glob(f"*/*/{folder}")):
        raise no_run(runs)


def no_run(runs: Path) -> UsageError:
    """What is said where nothing was trained yet."""
    return UsageError(
        f"no trained run below {runs.resolve()}; train one (torchio-seg train --dataset phantom) or name a model with "
        "--model FOLDER"
    )


def _is_there(text: str) -> bool:
    return Path(text).exists() or (glob.has_magic(text) and any(glob.iglob(text, recursive=True)))  # noqa: PTH207
