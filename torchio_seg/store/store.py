"""A folder of prepared cases, each under a key of all that it was made from."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from torchio_seg import lock
from torchio_seg.errors import DataError
from torchio_seg.files import write_bytes
from torchio_seg.store.sources import Sources
from torchio_seg.store.voxels import Record, Voxels

if TYPE_CHECKING:
    from torchio_seg.records import Case
    from torchio_seg.store.laying import Layout

log = logging.getLogger(__name__)

FORMAT = 1
"""Raised whenever the same files and settings would be kept differently than before."""
PAGE = "case.json"
_ARRAYS = ("image", "label", "foreground", "sample", "weights")


@dataclass(frozen=True)
class Stored:
    """A case that is kept: small, so that it can be handed to worker processes, which map its arrays."""

    folder: Path
    record: Record

    def open(self) -> Voxels:
        """Its arrays, mapped: what is not touched is not read."""
        try:
            arrays = {name: _map(self.folder / f"{name}.npy") for name in _ARRAYS if self._has(name)}
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"case {self.record.case}: what the store holds of it is gone or damaged, {self.folder}; go on with "
                "torchio-seg train --resume RUN, which makes it anew"
            ) from error
        return Voxels(self.record, **arrays)

    def _has(self, name: str) -> bool:
        return name != "weights" or bool(self.record.slice_weights)


@dataclass(frozen=True)
class Page:
    """What lies beside a case's arrays, in JSON."""

    format: int
    key: str
    dataset: str
    layout: Mapping[str, Any]
    """What decided how the case is kept."""
    sources: Mapping[str, str]
    """The digest of each file that it was made from."""
    files: Mapping[str, int]
    """The bytes of each array's file."""
    record: Record


@dataclass(frozen=True)
class Wanted:
    """A case to be found or made."""

    case: Case
    layout: Layout
    key: str
    sources: Mapping[str, str]
    """The digest of each file that it is made from."""


class Store:
    """Keeps and finds cases."""

    def __init__(self, folder: Path, *, verify: bool = False) -> None:
        self.folder = folder
        self.sources = Sources(folder / "sources", verify)

    @property
    def cases(self) -> Path:
        """Where the cases' folders are."""
        return self.folder / "cases"

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Nothing is taken away from the store meanwhile."""
        self._make_folder()
        with lock.together(self.folder / "in-use"):
            yield

    def want(self, case: Case, layout: Layout) -> Wanted:
        """The case under the key of its files' bytes and its layout: other content, another key."""
        label, sampling_map = case.label, layout.map_of(case)
        if sampling_map is not None and not sampling_map.is_file():
            raise DataError(f"case {case.id} has no sampling map: sampling.map names {sampling_map}; put it there")
        files = [*case.images, *(path for path in (label, sampling_map) if path is not None)]
        digests = {str(path.resolve()): self.sources.digest(path) for path in files}
        content = [FORMAT, describe(layout), len(case.images), *(digests[str(path.resolve())] for path in files)]
        return Wanted(case, layout, hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest(), digests)

    def find(self, wanted: Wanted) -> Stored | None:
        """The case, if it is there and whole."""
        folder = self.cases / wanted.key
        page = read_page(folder)
        if page is None or page.key != wanted.key or not _is_whole(folder, page.files):
            return None
        with suppress(OSError):  # of a store that belongs to somebody else
            os.utime(folder / PAGE)  # when it was last wanted
        return Stored(folder, replace(page.record, case=wanted.case.id))

    def take_away(self, wanted: Wanted) -> None:
        """Make room for a case whose entry is damaged, where there is one; that is said."""
        folder = self.cases / wanted.key
        if folder.exists():
            log.warning("what the store holds of case %s is damaged; it is made again", wanted.case.id)
            shutil.rmtree(folder)

    def keep(self, wanted: Wanted, voxels: Voxels) -> Stored:
        """Write a case beside its place and move it there in one step."""
        folder, draft = self.cases / wanted.key, self.cases / f".{wanted.key}.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            draft.mkdir(parents=True)
            files = {}
            for name in _ARRAYS:
                if (array := getattr(voxels, name)) is not None:
                    files[f"{name}.npy"] = _save(draft / f"{name}.npy", array)
            settings = describe(wanted.layout)
            page = Page(FORMAT, wanted.key, wanted.layout.dataset, settings, wanted.sources, files, voxels.record)
            write_bytes(draft / PAGE, _pages().dump_json(page))
            draft.rename(folder)
        except OSError as error:
            raise DataError(
                f"{self.folder}: a prepared case cannot be kept there: {error.strerror or error}; make room or name "
                "another folder with --set sampling.store=FOLDER"
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return Stored(folder, voxels.record)

    def _make_folder(self) -> None:
        try:
            self.cases.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"{self.folder} cannot be made ({error.strerror}); name a folder for prepared cases with "
                "--set sampling.store=FOLDER or TORCHIO_SEG_STORE"
            ) from error


def describe(layout: Layout) -> dict[str, Any]:
    """Those settings of a layout that change what is kept."""
    recipe = layout.recipe
    return {
        "spacing": recipe.spacing,
        "resize": recipe.resize,
        "crop_or_pad": recipe.crop_or_pad,
        "nonfinite": recipe.nonfinite,
        "dtype": layout.dtype,
        "channels": layout.num_channels,
        "values": layout.values,
        "ignore": layout.ignore,
        "has_map": layout.map is not None,
        **({"antialias": True} if recipe.antialias else {}),  # absent, as before there was such a thing
    }


def read_page(folder: Path) -> Page | None:
    """What lies beside a case's arrays; None where it cannot be used."""
    try:
        page: Page = _pages().validate_json((folder / PAGE).read_bytes())
    except (OSError, ValidationError):
        return None
    return page if page.format == FORMAT else None


@cache
def _pages() -> TypeAdapter[Any]:
    """Made once: pydantic builds a validator for it."""
    return TypeAdapter(Page)


def _is_whole(folder: Path, files: Mapping[str, int]) -> bool:
    try:
        return all((folder / name).stat().st_size == size for name, size in files.items())
    except OSError:
        return False


def _map(path: Path) -> Any:
    """An array whose pages are read when they are touched."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:  # an empty array cannot be mapped
        return np.load(path, allow_pickle=False)


def _save(path: Path, array: Any) -> int:
    """The size of the file."""
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()
