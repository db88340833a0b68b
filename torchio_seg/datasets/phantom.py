"""Made-up patients, written to disk in the Decathlon's layout the first time they are asked for."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torchio_seg.errors import ConfigError, DataError
from torchio_seg.phantoms.catalogue import KINDS
from torchio_seg.phantoms.scanner import SMALLEST_AXIS
from torchio_seg.records import Case, Dataset, Labels

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

RECORD = "phantom.json"
"""Lies in the folder beside dataset.json and tells with which options it was made."""
MOST_CHANNELS = max(len(kind.channels) for kind in KINDS.values())
"""Of any kind."""
GENERATION = 1
"""Counts changes of the drawn anatomy, so that a folder made by an older version is not taken for a new one."""


@dataclass(frozen=True)
class Options:
    """What decides every byte of the data."""

    kind: str
    cases: int
    shape: tuple[int, int, int]
    channels: int
    seed: int

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(f"phantom_{index:03d}" for index in range(self.cases))

    @property
    def channel_names(self) -> tuple[str, ...]:
        return KINDS[self.kind].channels[: self.channels]

    @property
    def record(self) -> dict[str, Any]:
        return {"generation": GENERATION, **asdict(self), "shape": list(self.shape)}


def build(
    root: Path,
    *,
    kind: Literal["brain", "abdomen", "thorax"] = "brain",
    cases: int = 24,
    shape: tuple[int, int, int] = (64, 64, 48),
    channels: int = MOST_CHANNELS,
    seed: int = 0,
) -> Dataset:
    """The cases below `root`, made first where it is absent or empty, with at most so many channels."""
    options = choose(kind, cases=cases, shape=shape, channels=channels, seed=seed)
    root = Path(root)
    if not _holds_anything(root):
        _log.info("drawing %d %s phantoms into %s", cases, kind, root)
        write(root, options)
    _require_same(root, options)
    return _dataset(root, options)


def choose(
    kind: str, *, cases: int, shape: tuple[int, int, int], channels: int = MOST_CHANNELS, seed: int = 0
) -> Options:
    """Options that can be followed, or an error saying which cannot."""
    if kind not in KINDS:
        raise ConfigError(f"phantom kind '{kind}' is unknown (allowed: {', '.join(KINDS)})")
    if not 1 <= channels <= MOST_CHANNELS:
        raise ConfigError(f"channels={channels}; give 1 to {MOST_CHANNELS}, or leave it out for all that a kind has")
    if not 1 <= cases <= 1000:
        raise ConfigError(f"cases={cases}; a phantom has 1 to 1000")
    if len(shape) != 3 or min(shape) < SMALLEST_AXIS:
        raise ConfigError(f"shape={list(shape)}; give three sizes of at least {SMALLEST_AXIS} voxels, say [64, 64, 48]")
    if seed < 0:
        raise ConfigError(f"seed={seed}; give 0 or more")
    kept = min(channels, len(KINDS[kind].channels))
    return Options(kind, cases, (shape[0], shape[1], shape[2]), kept, seed)


def write(root: Path, options: Options, *, progress: Callable[[int, int], None] = lambda _done, _all: None) -> None:
    """Make the whole folder beside `root` and rename it into place; an interrupted run leaves no `root`."""
    root = Path(root).resolve()
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{root.name}.", dir=root.parent) as scratch:
            folder = Path(scratch) / root.name
            for name in ("imagesTr", "labelsTr"):
                (folder / name).mkdir(parents=True)
            for index in range(options.cases):
                _write_case(folder, options, index)
                progress(index + 1, options.cases)
            _write_json(folder / "dataset.json", _description(options))
            _write_json(folder / RECORD, options.record)
            _move(folder, root, options)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{root}: the phantom cannot be written ({reason}); free space or give another root") from error


def _write_case(folder: Path, options: Options, index: int) -> None:
    from torchio_seg.volumes.nifti import create

    phantom = KINDS[options.kind].draw(options.shape, options.seed, index, options.channels)
    name = f"{options.ids[index]}.nii.gz"
    create(folder / "imagesTr" / name, phantom.image if options.channels > 1 else phantom.image[0], phantom.affine)
    create(folder / "labelsTr" / name, phantom.label, phantom.affine)


def _description(options: Options) -> dict[str, Any]:
    names = [f"{case}.nii.gz" for case in options.ids]
    return {
        "name": f"phantom_{options.kind}",
        "description": "made-up patients; no person was scanned",
        "tensorImageSize": "4D" if options.channels > 1 else "3D",
        "modality": {str(number): name for number, name in enumerate(options.channel_names)},
        "labels": {str(value): name for value, name in KINDS[options.kind].labels.items()},
        "numTraining": options.cases,
        "numTest": 0,
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "test": [],
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _move(folder: Path, root: Path, options: Options) -> None:
    """Rename; where another process was faster with the same options, its folder stays."""
    try:
        if root.exists():
            root.rmdir()
        folder.rename(root)
    except OSError:
        if not _holds_anything(root):
            raise
        _require_same(root, options)


def _holds_anything(root: Path) -> bool:
    if root.exists() and not root.is_dir():
        raise DataError(f"{root} is a file; the root of a phantom is a folder. Give another root")
    return root.is_dir() and any(root.iterdir())


def _require_same(root: Path, options: Options) -> None:
    """Refuse a folder that holds something else, or another phantom, or only a part of one."""
    record = root / RECORD
    if not record.is_file():
        raise DataError(f"{root} holds files but no phantom ({RECORD} is missing); give an empty folder or a new one")
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{record} cannot be read ({error}); remove the folder and it is made anew") from error
    wanted = options.record
    if not isinstance(found, dict) or found != wanted:
        made_with = found if isinstance(found, dict) else {}
        differing = [
            f"{key} {made_with.get(key)}, not {wanted[key]}" for key in wanted if made_with.get(key) != wanted[key]
        ]
        raise DataError(
            f"{root} holds a phantom made with {'; '.join(differing) or 'options of another version'}. "
            "Give another root, or remove the folder and it is made anew"
        )


def _dataset(root: Path, options: Options) -> Dataset:
    kind = KINDS[options.kind]
    cases = tuple(
        Case(case, (root / "imagesTr" / f"{case}.nii.gz",), root / "labelsTr" / f"{case}.nii.gz")
        for case in options.ids
    )
    files = [path for case in cases for path in (*case.images, case.label) if path is not None]
    if missing := [str(path.relative_to(root)) for path in files if not path.is_file()]:
        raise DataError(f"{root} lacks {', '.join(missing)}; remove the folder and it is made anew")
    labels = Labels.of_regions(kind.labels, kind.regions) if kind.regions else Labels.of_classes(kind.labels)
    return Dataset(f"phantom_{options.kind}", options.channel_names, labels, cases, listing=options.ids)
