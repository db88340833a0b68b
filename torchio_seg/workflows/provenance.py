"""Where the numbers of a run come from: versions of packages, commits of code, the data it was made from."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from torchio_seg.facts import read_facts

if TYPE_CHECKING:
    from torchio_seg.records import Dataset, Split

PACKAGES = ("torchio-seg", "torch", "torchio", "monai", "nibabel", "numpy")
_GIT_S = 10


def versions() -> dict[str, str]:
    """What the numbers of a run depend on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()}


def commits() -> dict[str, str]:
    """The git commit of this package where it runs from a checkout, and that of the current folder, as far as known."""
    checkout = Path(__file__).resolve().parents[2]
    folders = {"torchio-seg": checkout} if (checkout / ".git").exists() else {}
    folders["current_folder"] = Path.cwd()
    return {name: commit for name, folder in folders.items() if (commit := commit_of(folder)) is not None}


def commit_of(folder: Path) -> str | None:
    """The commit that a folder's files are of, `+changes` where they differ from it; None outside of git."""
    git = shutil.which("git")
    if git is None or not (head := _ask(git, folder, "rev-parse", "HEAD")):
        return None
    changes = _ask(git, folder, "status", "--porcelain", "--untracked-files=no")
    return f"{head}{'+changes' if changes else ''}"


def _ask(git: str, folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 (the path of git, and words of ours)
            [git, "-C", str(folder), *words], capture_output=True, text=True, timeout=_GIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def fingerprint(dataset: Dataset, split: Split) -> str:
    """Of the voxels, labels and division that a training sees: the same for the same data wherever it lies."""
    cases = dataset.choose([*split.training, *split.validation, *split.test])
    images = read_facts([path for case in cases for path in case.images], "image")
    labels = read_facts([case.label for case in cases if case.label is not None], "label")
    digests = {
        case.id: [
            *(images[path].digest for path in case.images),
            *([labels[case.label].digest] if case.label is not None else []),
        ]
        for case in cases
    }
    parts = [split.training, split.validation, split.test]
    return hashlib.sha256(json.dumps([digests, parts], sort_keys=True).encode()).hexdigest()[:16]
