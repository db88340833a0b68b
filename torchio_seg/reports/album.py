"""Tables of pictures in a run's own folder: a page to look at, and what it takes to tell a tracker of them later.

pictures/train/predictions/index.html    the page
                           table.json    columns and rows, their pictures by name
                           1f0a....png   a slice, or a mask in its colour
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from torchio_seg.errors import DataError
from torchio_seg.files import write_json, write_text
from torchio_seg.reports.album_page import page
from torchio_seg.reports.slices import color_of
from torchio_seg.tracking.interface import Nothing, Overlay, Picture, Run, Shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from torchio_seg.reports.slices import Color
    from torchio_seg.tracking.interface import Cell

FOLDER = "pictures"
TABLE, PAGE = "table.json", "index.html"
FORMAT = 1


def folder_of(run: Run) -> Path:
    """Where the tables of a run are kept."""
    return run.folder / FOLDER / run.label


class Album(Nothing):
    """Keeps the latest table of each key."""

    def __init__(self, run: Run, shown: Shown) -> None:
        self.shown = shown
        self.run = run

    def table(self, key: str, columns: Sequence[str]) -> Pages:
        """Begin a table that takes the place of the former once it is whole."""
        return Pages(folder_of(self.run) / key.rpartition("/")[2], key, columns, self.run.name)


class Pages:
    """A table that grows, picture by picture, in a folder beside its own."""

    def __init__(self, folder: Path, key: str, columns: Sequence[str], title: str) -> None:
        self._folder = folder
        self._draft = folder.with_name(f".{folder.name}.tmp")
        self._content: dict[str, Any] = {"format": FORMAT, "title": title, "key": key, "columns": list(columns)}
        self._rows: list[list[Any]] = []
        self._colors: dict[str, Color] = {}
        """By the name of an overlay; those of one region, truth and prediction, share one."""
        self._labels: dict[str, Color] = {}
        shutil.rmtree(self._draft, ignore_errors=True)

    def add(self, *cells: Cell) -> None:
        """One row more, its pictures written at once."""
        self._draft.mkdir(parents=True, exist_ok=True)
        self._rows.append([self._keep(cell) if isinstance(cell, Picture) else cell for cell in cells])

    def finish(self) -> None:
        """The table is whole, and takes its place."""
        self._draft.mkdir(parents=True, exist_ok=True)
        content = self._content | {"rows": self._rows}
        write_json(self._draft / TABLE, content)
        write_text(self._draft / PAGE, page(content, self._colors))
        shutil.rmtree(self._folder, ignore_errors=True)
        self._draft.replace(self._folder)

    def _keep(self, picture: Picture) -> dict[str, Any]:
        overlays = []
        for each in picture.overlays:
            color = self._colors[each.name] = self._labels.setdefault(each.label, color_of(len(self._labels)))
            name = self._write(each.mask.astype(np.uint8), color)
            overlays.append({"name": each.name, "file": name, "value": each.value, "label": each.label})
        return {"file": self._write(picture.pixels), "overlays": overlays}

    def _write(self, pixels: NDArray[np.uint8], color: Color | None = None) -> str:
        """The picture's name; the same picture is written once. A mask is its colour on nothing."""
        told = f"{pixels.shape} {color}".encode() + np.ascontiguousarray(pixels).tobytes()
        name = f"{hashlib.blake2b(told, digest_size=8).hexdigest()}.png"
        if not (path := self._draft / name).exists():
            image = Image.fromarray(pixels)
            if color is not None:
                image.putpalette([0, 0, 0, *color])
                image.info["transparency"] = 0
            image.save(path)
        return name


@dataclass(frozen=True)
class Kept:
    """A table that was kept."""

    folder: Path
    key: str
    columns: tuple[str, ...]
    rows: tuple[Sequence[Any], ...]

    def __iter__(self) -> Iterator[tuple[Cell, ...]]:
        """Its rows, with their pictures read when it is their turn."""
        for row in self.rows:
            yield tuple(self._read(cell) if isinstance(cell, dict) else cell for cell in row)

    def _read(self, cell: Mapping[str, Any]) -> Picture:
        overlays = (
            Overlay(each["name"], self._pixels(each["file"]) > 0, each["value"], each["label"])
            for each in cell["overlays"]
        )
        return Picture(self._pixels(cell["file"]), tuple(overlays))

    def _pixels(self, name: str) -> NDArray[np.uint8]:
        with Image.open(self.folder / name) as image:
            return np.asarray(image)


def read_album(run: Run) -> list[Kept]:
    """The tables of a run that were kept, the data first."""
    found = []
    for path in sorted(folder_of(run).glob(f"*/{TABLE}")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found.append(Kept(path.parent, content["key"], tuple(content["columns"]), tuple(content["rows"])))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} cannot be read ({error}); take its folder away to go on without it") from error
    return found
