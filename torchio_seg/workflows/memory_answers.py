"""The largest patch for a card: by the line of what was measured which to try, by measuring whether it fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from itertools import takewhile
from math import inf, prod
from typing import Any

from torchio_seg.errors import ConfigError
from torchio_seg.network_sizes import Size
from torchio_seg.planning.growth import Line, find_edge
from torchio_seg.workflows.memory_benchmark import Results, Selection, lines
from torchio_seg.workflows.memory_points import Bench, Measured, Point

_STEP = 8
"""Voxels between two edges that are tried, where a network takes them."""
_BESIDE = 2**30
"""Of main memory, what imports take beside that which stands for a GPU's."""


@dataclass(frozen=True)
class Budget:
    """What the largest patch is asked for."""

    num_bytes: int
    as_gpu: bool
    """Of a GPU's memory; else of a process's."""

    def counted(self, found: Measured) -> int:
        """What of a point it must hold."""
        return found.counted(as_gpu=self.as_gpu)


def read_budgets(ram: int | None, vram: int | None) -> list[Budget]:
    """Those that the user gave."""
    given = (Budget(ram, as_gpu=False) if ram else None, Budget(vram, as_gpu=True) if vram else None)
    return [budget for budget in given if budget is not None]


@dataclass(frozen=True)
class Rung:
    """A size on the way up, and what it takes of a budget."""

    size: Size
    num_bytes: int
    """As measured, or by the line."""
    found: Measured | None
    """None: it was not tried."""


@dataclass(frozen=True)
class Answer:
    """The largest patch for a budget."""

    series: Point
    budget: Budget
    line: Line | None
    """None where fewer than two sizes were measured."""
    largest: Rung | None
    """None where not even the smallest fits, or nothing is known."""
    next: Rung | None
    """The next size, which does not; None where the whole volume fits, or nothing is known."""

    def to_json(self) -> dict[str, Any]:
        """As the file of results has it."""
        series, budget = self.series, self.budget
        return {
            "network": series.network,
            "precision": series.precision,
            "checkpointing": series.checkpointing,
            "budget_bytes": budget.num_bytes,
            "of": "gpu" if budget.as_gpu else "process",
            "line": None if self.line is None else asdict(self.line),
            "largest": _brief(self.largest),
            "next": _brief(self.next),
        }


def _brief(rung: Rung | None) -> dict[str, Any] | None:
    if rung is None:
        return None
    why = "" if rung.found is None or rung.found.fits else rung.found.why
    return {"size": list(rung.size), "bytes": rung.num_bytes, "tried": rung.found is not None, "why": why}


def answer(results: Results, selection: Selection, budgets: Sequence[Budget], *, verify: bool) -> None:
    """The largest patch for each budget, of each way of training that this machine can compute."""
    tried = [point for point in selection.points() if results.points[point].fits is not None]
    ways = list(dict.fromkeys(point.series for point in tried if point.work == "training"))
    results.answers = []
    for network in dict.fromkeys(series.network for series in ways) if budgets else ():
        sizes = sizes_of(results.bench, network)
        for series in (way for way in ways if way.network == network):
            for budget in budgets:
                results.answers.append(find_largest_patch(results, series, sizes, budget, verify=verify))
                results.save()


def find_largest_patch(
    results: Results, series: Point, sizes: Mapping[int, Size], budget: Budget, *, verify: bool
) -> Answer:
    """By the line which size to try, by measuring whether it fits; by the line alone where the machine has no room."""
    if not verify or not _has_room(results.bench, budget):
        return _by_line(results, series, budget, list(sizes.values()))
    points = [replace(series, patch=edge) for edge in sizes]

    def guess() -> int:
        most = _least_voxels_too_slow(results, series)
        line = _line(results, series, budget)
        return _most_that_fit(line, budget, [size for size in sizes.values() if prod(size) < most]) - 1

    def fits(place: int) -> bool:
        found = results.take(points[place])
        return bool(found.fits) and budget.counted(found) <= budget.num_bytes

    edge = find_edge(len(points), guess, fits)
    ends = [None if place is None else _rung(results.points[points[place]], budget) for place in astuple(edge)]
    return Answer(series, budget, _line(results, series, budget), *ends)


def _has_room(bench: Bench, budget: Budget) -> bool:
    """Whether what takes as much as the budget may be tried here."""
    if budget.as_gpu == bench.is_for_gpu:
        return budget.num_bytes <= bench.limit
    return budget.as_gpu and budget.num_bytes + _BESIDE <= bench.limit  # main memory stands for the GPU's


def _by_line(results: Results, series: Point, budget: Budget, sizes: Sequence[Size]) -> Answer:
    """What was measured anyway, and tells whether it fits, is told as it was measured."""
    line = _line(results, series, budget)
    if line is None:
        return Answer(series, budget, None, None, None)
    own = [found for point, found in results.points.items() if point.series == series]
    known = {found.size: found for found in own if found.fits or found.asked > budget.num_bytes}
    rungs = [
        _rung(known[size], budget) if size in known else Rung(size, round(line(prod(size))), None) for size in sizes
    ]
    fitting = list(takewhile(lambda rung: rung.num_bytes <= budget.num_bytes, rungs))
    following = rungs[len(fitting)] if len(fitting) < len(rungs) else None
    return Answer(series, budget, line, fitting[-1] if fitting else None, following)


def _line(results: Results, series: Point, budget: Budget) -> Line | None:
    """None for fewer than two sizes."""
    return lines(results.points, budget.counted).get(series)


def _most_that_fit(line: Line | None, budget: Budget, sizes: Sequence[Size]) -> int:
    return 0 if line is None else sum(line(prod(size)) <= budget.num_bytes for size in sizes)


def _least_voxels_too_slow(results: Results, series: Point) -> float:
    own = (found for point, found in results.points.items() if point.series == series and point.patch is not None)
    return min((found.voxels for found in own if found.why == "time"), default=inf)


def _rung(found: Measured, budget: Budget) -> Rung:
    return Rung(found.size, budget.counted(found) if found.fits else found.asked, found)


def sizes_of(bench: Bench, network: str) -> dict[int, Size]:
    """The sizes that a network takes, up to the volume, smallest first, by an edge that is padded to them."""
    found: dict[int, tuple[int, Size]] = {}
    for edge in range(_STEP, max(bench.shape) + _STEP, _STEP):
        try:
            size = bench.size_of(Point(network, "training", edge, "fp32"))
        except ConfigError:
            continue
        found[prod(size)] = (max(size), size)
    return dict(found[voxels] for voxels in sorted(found))
