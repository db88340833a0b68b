"""`torchio-seg benchmark memory`: patches against the whole volume, point by point, kept as they are made."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from torchio_seg import machine
from torchio_seg.errors import ConfigError, DataError, UsageError
from torchio_seg.files import write_json
from torchio_seg.machine import in_units
from torchio_seg.planning.growth import Edge, Line, find_edge, fit
from torchio_seg.planning.telling import size_text, time_text
from torchio_seg.progress import Progress, Silent
from torchio_seg.workflows.memory_points import PACKAGES, Aggregation, Bench, Measured, Point
from torchio_seg.workflows.memory_work import FULL_MODES

log = logging.getLogger(__name__)

POINTS = "points.json"
_STEP = 8
"""Voxels between two edges that are tried, where a network takes them."""
_BESIDE = 2**30
"""Of main memory, what imports take beside that which stands for a GPU's."""
BLENDINGS = ("gaussian", "hann", "average", "crop")


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
        """Small patches first; ways of blending are compared at the first of them, Gaussian and streaming elsewhere."""
        edges: tuple[int | None, ...] = (*self.patches, None) if self.whole else self.patches
        for network in self.networks:
            for precision in self.precisions:
                if self.training:
                    for checkpointing in self.checkpointing:
                        for edge in edges:
                            yield Point(network, "training", edge, precision, checkpointing)
                if self.prediction:
                    yield from _predictions(network, precision, edges)


def _predictions(network: str, precision: str, edges: Sequence[int | None]) -> Iterator[Point]:
    for edge in edges:
        yield Point(network, "prediction", edge, precision, False, BLENDINGS[0], "streaming")
    if edges and edges[0] is not None:
        others: list[tuple[str, Aggregation]] = [(blending, "streaming") for blending in BLENDINGS[1:]]
        others += [(blending, "full") for blending in FULL_MODES]
        for blending, aggregation in others:
            yield Point(network, "prediction", edges[0], precision, False, blending, aggregation)


@dataclass(frozen=True)
class Budget:
    """What the largest patch is asked for."""

    num_bytes: int
    as_gpu: bool
    """Of a GPU's memory; else of a process's."""

    def counted(self, found: Measured) -> int:
        """What of a point it must hold."""
        return found.counted(as_gpu=self.as_gpu)


@dataclass(frozen=True)
class Answer:
    """The largest patch for a budget."""

    point: Point
    """Without a patch: what all sizes have in common."""
    budget: Budget
    line: Line | None
    """None where fewer than two sizes were measured."""
    named: int | None
    """The edge that the line named first."""
    largest: Measured | None
    """None where not even the smallest fits, or nothing was verified."""
    too_large: Measured | None
    """The next size; None where the whole volume fits, or nothing was verified."""
    verified: bool


@dataclass
class Results:
    """The file of a benchmark, written anew after every point."""

    path: Path
    bench: Bench
    points: dict[Point, Measured] = field(default_factory=dict)
    accuracy: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, bench: Bench, *, overwrite: bool = False) -> Results:
        """Go on where the file is of the same benchmark; refuse one of another."""
        results = cls(path, bench)
        if overwrite or not path.exists():
            return results
        found = read(path)
        own = bench.identity()
        if differing := [key for key in own if found["about"].get(key) != own[key]]:
            key = differing[0]
            raise UsageError(
                f"{path} was measured with other {', '.join(differing)} ({key}: {found['about'].get(key)}, now "
                f"{own[key]}): name another folder with -o, or add --overwrite"
            )
        results.points = {each.point: each for each in found["points"]}
        results.accuracy = found["accuracy"]
        return results

    def known(self, point: Point) -> Measured | None:
        """What an earlier run found, as far as it tells what happens under the limit of this one."""
        found, limit = self.points.get(point), self.bench.limit
        if found is None or found.fits is None or found.limit == limit:
            return found
        if found.fits:
            too_much = found.taken > limit
            return replace(found, fits=False, why="memory", limit=limit, asked=found.taken) if too_much else found
        return found if found.limit >= limit and found.why != "time" else None

    def take(self, point: Point) -> Measured:
        """The point, measured unless it is there already."""
        found = self.known(point)
        if found is None:
            found = self.bench.measure(point)
            log.info("%s: %s", told(point), outcome(found))
        if found != self.points.get(point):
            self.points[point] = found
            self.save()
        return found

    def save(self) -> None:
        """Whole or not at all."""
        about = self.bench.identity() | {"commit": machine.commit(), "machine": machine.describe(PACKAGES)}
        points = [asdict(each) for each in self.points.values()]
        write_json(self.path, {"about": about, "points": points, "accuracy": self.accuracy})


def read(path: Path) -> dict[str, Any]:
    """The results of a file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        points = TypeAdapter(list[Measured]).validate_python(found["points"])
        return {"about": dict(found["about"]), "points": points, "accuracy": list(found["accuracy"])}
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise DataError(f"{path} is no result of this benchmark ({error}); name another folder with -o") from error


def run(results: Results, selection: Selection, progress: Progress | None = None) -> None:
    """Every point; what does not fit does not keep the others from being measured."""
    progress = progress or Silent()
    points = list(selection.points())
    progress.start("points", len(points))
    try:
        for point in points:
            results.take(point)
            progress.advance()
    finally:
        progress.finish()


def lines(points: Mapping[Point, Measured], amount: Callable[[Measured], int]) -> dict[Point, Line]:
    """For each series with two sizes of patches or more, an amount of memory as a line over voxels."""
    groups: dict[Point, list[tuple[float, float]]] = {}
    for point, found in points.items():
        if found.fits and point.patch is not None:
            groups.setdefault(point.series, []).append((found.voxels, amount(found)))
    fitted = {series: fit(group) for series, group in groups.items()}
    return {series: line for series, line in fitted.items() if line is not None}


def find_largest_patch(results: Results, series: Point, budget: Budget, *, verify: bool) -> Answer:
    """By the line which size to try, by measuring whether it fits; by the line alone where the machine has no room."""
    ladder = _ladder(results.bench, series)

    def line() -> Line | None:
        return lines(results.points, budget.counted).get(series)

    def guess() -> int:
        found = line()
        return 0 if found is None else sum(found(voxels) <= budget.num_bytes for _, voxels in ladder) - 1

    def fits(place: int) -> bool:
        found = results.take(replace(series, patch=ladder[place][0]))
        return bool(found.fits) and budget.counted(found) <= budget.num_bytes

    first = guess()
    named = ladder[first][0] if first >= 0 and line() is not None else None
    if not verify or budget.num_bytes + (_BESIDE if budget.as_gpu else 0) > results.bench.limit:
        return Answer(series, budget, line(), named, None, None, verified=False)
    edge: Edge = find_edge(len(ladder), guess, fits)
    ends = [
        None if place is None else replace(series, patch=ladder[place][0]) for place in (edge.largest, edge.too_large)
    ]
    largest, too_large = (None if end is None else results.points[end] for end in ends)
    return Answer(series, budget, line(), named, largest, too_large, verified=True)


def _ladder(bench: Bench, series: Point) -> list[tuple[int, int]]:
    """Edges that the network takes, and their voxels, up to the volume's longest side."""
    found: dict[int, int] = {}
    for edge in range(_STEP, max(bench.shape) + _STEP, _STEP):
        try:
            size = bench.size_of(replace(series, patch=edge))
        except ConfigError:
            continue
        found[prod(size)] = max(size)
    return [(edge, voxels) for voxels, edge in sorted(found.items())]


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
