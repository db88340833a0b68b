"""What an ensemble is on disk: a folder that holds its members, and in JSON which they are and what follows them.

    ensemble.json        the members with their hashes, post-processing, and the scores that it was chosen by
    fold_0-1a2b3c4d/     a member: model.safetensors and model.json, named by run and weights

It needs nothing outside of itself, so it may be copied anywhere. Members are never changed: a new ensemble brings its
own, and becomes the ensemble once its JSON has taken the place of the former.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from torchio_seg import checkpoint
from torchio_seg.errors import DataError
from torchio_seg.files import write_json
from torchio_seg.postprocessing import Step

RECORD = "ensemble.json"
FORMAT = 1
MEAN = "mean of the members' probabilities"


@dataclass(frozen=True)
class Member:
    """One model of an ensemble."""

    folder: str
    """Its name, in the ensemble's folder."""
    weights: str
    """sha256 of model.safetensors."""
    card: str
    """sha256 of model.json."""


@dataclass(frozen=True)
class Record:
    """What is said of an ensemble in its JSON."""

    members: tuple[Member, ...]
    postprocessing: tuple[Step, ...] = ()
    scores: dict[str, Any] = field(default_factory=dict)
    """Of the members' predictions of cases that they were not trained on."""
    combination: str = MEAN
    format: int = FORMAT


_RECORD = TypeAdapter(Record)


def exists(folder: Path) -> bool:
    """Whether an ensemble lies here."""
    return (folder / RECORD).is_file()


def write(folder: Path, models: Mapping[str, Path], steps: Sequence[Step], scores: Mapping[str, Any]) -> Record:
    """Make the folder, or bring it up to date: copies of these models, by name, and how they are used."""
    try:
        folder.mkdir(exist_ok=True)
        members = tuple(_add(folder, name, model) for name, model in models.items())
        record = Record(members, tuple(steps), dict(scores))
        write_json(folder / RECORD, asdict(record))
        for other in {path for path in folder.iterdir() if path.is_dir()} - {folder / each.folder for each in members}:
            shutil.rmtree(other)
    except OSError as error:
        raise DataError(f"the ensemble {folder} could not be written: {error}; an earlier one is kept") from error
    return record


def read(folder: Path) -> Record:
    """The record of an ensemble, every card in which is what it was when the record was written."""
    path = folder / RECORD
    try:
        record = _RECORD.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{folder} is not an ensemble: {RECORD} cannot be used ({error})") from error
    if record.format != FORMAT or record.combination != MEAN:
        raise DataError(f"{path}: format {record.format}, {record.combination}; this version has {FORMAT}, {MEAN}")
    if not record.members:
        raise DataError(f"{path} names no members")
    for member in record.members:
        _require_whole(folder, member)
    return record


def _require_whole(folder: Path, member: Member) -> None:
    """The member lies in the folder and is the one that is meant."""
    if Path(member.folder).name != member.folder or member.folder in {"", ".."}:
        raise DataError(f"{folder / RECORD}: member {member.folder!r} is not the name of a folder beside it")
    _, card = checkpoint.files_of(folder / member.folder)
    if not card.is_file():
        raise DataError(f"{folder}: its member {member.folder} is missing; copy the whole folder, or make it again")
    if checkpoint.sha256_of(card) != member.card or checkpoint.read_card(folder / member.folder).sha256 != (
        member.weights
    ):
        raise DataError(f"{folder}: its member {member.folder} is not the one that {RECORD} names; it is damaged")


def _add(folder: Path, name: str, model: Path) -> Member:
    """A member of this name from a checkpoint; one that lies there whole already is kept."""
    files = checkpoint.files_of(model)
    weights, card = (checkpoint.sha256_of(file) for file in files)
    if checkpoint.read_card(model).sha256 != weights:
        raise DataError(f"{files[0]} is damaged: its sha256 is not the one in its card, so it joins no ensemble")
    member = Member(f"{name}-{weights[:8]}", weights, card)
    place = folder / member.folder
    if place.is_dir() and _is_whole(place, member):
        return member
    shutil.rmtree(place, ignore_errors=True)
    draft = folder / f".{member.folder}.{secrets.token_hex(4)}"
    draft.mkdir()
    for file in files:
        _link_or_copy(file, draft / file.name)
    draft.rename(place)
    return member


def _is_whole(place: Path, member: Member) -> bool:
    files = checkpoint.files_of(place)
    return all(file.is_file() for file in files) and [*map(checkpoint.sha256_of, files)] == [
        member.weights,
        member.card,
    ]


def _link_or_copy(source: Path, target: Path) -> None:
    """The same file under a second name, which outlives the first; a copy where the file system has no such names.

    Checkpoints are replaced and never written to, so what is shared does not change.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
