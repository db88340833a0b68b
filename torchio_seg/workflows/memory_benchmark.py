"""`torchio-seg benchmark memory`: patches against the whole volume, point by point, kept as they are made."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from torchio_seg import machine
from torchio_seg.errors import ConfigError, DataError, UsageError
from torchio_seg.files import write_json
from torchio_seg.machine import in_units
from torchio_seg.planning.growth import Line, fit
from torchio_seg.planning.telling import size_text, time_text
from torchio_seg.progress import Progress, Silent
from torchio_seg.workflows.memory_points import PACKAGES, Aggregation, Bench, Measured, Point
from torchio_seg.workflows.memory_work import FULL_MODES

if TYPE_CHECKING:
    from torchio_seg.workflows.memory_answers import Answer

log = logging.getLogger(__name__)

POINTS = "points.json"
BLENDINGS = ("gaussian", "hann", "average", "crop")
_OTHERS: tuple[tuple[str, Aggregation], ...] = (
    *((blending, "streaming") for blending in BLENDINGS[1:]),
    *((blending, "full") for blending in FULL_MODES),
)
_NUM_COMPARED = 2
"""Patches, the smallest first, at which all ways of prediction are compared."""
_QUESTION = ("network", "precision", "checkpointing", "budget_bytes", "of")
"""What an answer answers."""


@dataclass(frozen=True)
class Selection:
    """Which points a benchmark has."""

    networks: tuple[str, ...]
    patches: tuple[int, ...]
    precisions: tuple[str, ...]
    checkpointing: tuple[bool, ...] = (False, True)
    training: bool = True
    prediction: bool = True
    whole: bool = True

    def points(self) -> Iterator[Point]:
        """All networks' trainings come first, then a prediction of each, then other ways of blending at two patches.

        Small patches come first.
        """
        edges: tuple[int | None, ...] = (*self.patches, None) if self.whole else self.patches
        ways = [(network, precision) for network in self.networks for precision in self.precisions]
        if self.training:
            for (network, precision), checkpointing in product(ways, self.checkpointing):
                yield from (Point(network, "training", edge, precision, checkpointing) for edge in edges)
        if self.prediction:
            for (network, precision), edge in product(ways, edges):
                yield Point(network, "prediction", edge, precision, False, BLENDINGS[0], "streaming")
            for way, edge, others in product(ways, self.patches[:_NUM_COMPARED], _OTHERS):
                yield Point(way[0], "prediction", edge, way[1], False, *others)


@dataclass
class Results:
    """The file of a benchmark, written anew after every point."""

    path: Path
    bench: Bench
    measured: dict[Point, Measured] = field(default_factory=dict)
    """As it was found, under whatever limit."""
    accuracy: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    """The largest patches that this run named."""
    named_before: list[dict[str, Any]] = field(default_factory=list)
    """Those that earlier runs named, as the file has them."""

    @classmethod
    def open(cls, path: Path, bench: Bench, *, overwrite: bool = False) -> Results:
        """Go on where the file is of the same benchmark; refuse one of another."""
        results = cls(path, bench)
        if overwrite or not path.exists():
            return results
        found = read(path)
        if differing := _differences(found["about"], bench.identity()):
            raise UsageError(
                f"{path} was measured with other {'; '.join(differing)}: name another folder with -o, or add "
                "--overwrite"
            )
        results.measured = {each.point: each for each in found["points"]}
        results.accuracy, results.named_before = found["accuracy"], found["answers"]
        return results

    @property
    def points(self) -> dict[Point, Measured]:
        """What was measured, as this run's limit has it: what takes more does not fit."""
        return {point: self._judged(found) for point, found in self.measured.items()}

    @property
    def is_gpu(self) -> bool:
        """Whether a GPU was measured."""
        return any(found.reserved is not None for found in self.measured.values())

    def known(self, point: Point) -> Measured | None:
        """What an earlier run found, if it tells what happens under the limits of this one."""
        found = self.measured.get(point)
        if found is None or found.crashed:
            return None
        if found.fits is None or found.why == "time":
            return found if found.most_seconds >= self.bench.most_seconds else None
        return found if found.fits or found.limit >= self.bench.limit else None

    def _judged(self, found: Measured) -> Measured:
        limit = self.bench.limit
        if not found.fits or found.taken <= limit:
            return found
        return replace(found, fits=False, why="memory", limit=limit, asked=found.taken)

    def take(self, point: Point, reason: str | None = None) -> Measured:
        """The point, measured unless it is there already, by another patch of that size too, or a reason not to."""
        found = self.known(point) or self._known_by_size(point)
        if found is None:
            found = self.bench.measure(point, reason)
            log.info("%s: %s", told(point), outcome(found))
        if found != self.measured.get(point):
            self.measured[point] = found
            self.save()
        return self._judged(found)

    def _known_by_size(self, point: Point) -> Measured | None:
        """Of the same work on as many voxels: patches are padded to what the network takes, and cut to the volume."""
        alike = [(other, each.size) for other, each in self.measured.items() if other.series == point.series]
        try:
            size = self.bench.size_of(point) if alike else None
        except ConfigError:
            return None
        found = (self.known(other) for other, known_size in alike if known_size == size)
        return next((replace(each, point=point) for each in found if each is not None and each.fits is not None), None)

    def save(self) -> None:
        """Whole or not at all."""
        about = self.bench.identity() | {"commit": machine.commit(), "machine": machine.describe(PACKAGES)}
        content = {"about": about, "points": [asdict(each) for each in self.measured.values()]}
        answers = {_question(each): each for each in (*self.named_before, *(each.to_json() for each in self.answers))}
        write_json(self.path, content | {"accuracy": self.accuracy, "answers": list(answers.values())})


def distinct(points: Mapping[Point, Measured]) -> list[Point]:
    """Of those that came to one size by the same work the last, which is the whole volume where that is among them."""
    return list({(point.series, found.size): point for point, found in points.items()}.values())


def _differences(found: Any, own: Mapping[str, Any], above: str = "") -> list[str]:
    """What is there in words, and what is wanted."""
    told: list[str] = []
    for key, value in own.items():
        there = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            told += _differences(there, value, f"{above}{key}.")
        elif there != value:
            told.append(f"{above}{key} ({there}, now {value})")
    return told


def _question(answer: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(answer[key] for key in _QUESTION)


def read(path: Path) -> dict[str, Any]:
    """The results of a file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        points = TypeAdapter(list[Measured]).validate_python(found["points"])
        answers = {_question(each): each for each in found.get("answers", ())}
        about, accuracy = dict(found["about"]), list(found["accuracy"])
        return {"about": about, "points": points, "accuracy": accuracy, "answers": list(answers.values())}
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise DataError(f"{path} is no result of this benchmark ({error}); name another folder with -o") from error


def run(results: Results, selection: Selection, progress: Progress | None = None) -> None:
    """Every point; one that does not fit keeps no other from being measured, one that lasts too long slower ones."""
    progress = progress or Silent()
    points = list(selection.points())
    log.info("%d points, each for %s at most", len(points), time_text(results.bench.most_seconds))
    too_slow: dict[Point, Measured] = {}
    progress.start("points", len(points))
    try:
        for point in points:
            slow = too_slow.get(_no_faster(point))
            reason = None if slow is None else f"{size_text(slow.size)} took too long already"
            found = results.take(point, reason)
            if found.why == "time":
                too_slow.setdefault(_no_faster(point), found)
            progress.advance()
    finally:
        progress.finish()


def _no_faster(point: Point) -> Point:
    """The same for points of which a later one takes no less time: larger steps, other blendings of a prediction."""
    return point.series if point.work == "training" else replace(point, blending=None, aggregation=None)


def lines(points: Mapping[Point, Measured], amount: Callable[[Measured], int]) -> dict[Point, Line]:
    """For each series with two sizes of patches or more, an amount of memory as a line over voxels."""
    groups: dict[Point, list[tuple[float, float]]] = {}
    for point, found in points.items():
        if found.fits and point.patch is not None:
            groups.setdefault(point.series, []).append((found.voxels, amount(found)))
    fitted = {series: fit(group) for series, group in groups.items()}
    return {series: line for series, line in fitted.items() if line is not None}


def told(point: Point) -> str:
    """A point in words."""
    what = f"{point.network} {point.work}, {'whole volume' if point.patch is None else f'patch {point.patch}'}"
    how = ", checkpointing" if point.checkpointing else ""
    how += f", {point.blending}, {point.aggregation}" if point.blending else ""
    return f"{what}, {point.precision}{how}"


def outcome(found: Measured) -> str:
    if found.fits is None:
        return f"not measured: {found.why}"
    size = size_text(found.size)
    if not found.fits:
        words = f"too much {found.why}" if found.why in {"memory", "time"} else f"too much memory ({found.why})"
        return f"{size} takes {words}{f', {in_units(found.asked)} and more' if found.asked else ''}"
    return f"{size}, {in_units(found.memory)}, {time_text(found.seconds or 0.0)}"
