"""The memory benchmark in files: rows beside the whole volume, as CSV, and pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from torchio_seg.files import write_bytes, write_text
from torchio_seg.planning.growth import Line
from torchio_seg.reports.marks import Mark, to_png, to_svg
from torchio_seg.reports.memory_plot import Level, Series, Whole, draw
from torchio_seg.workflows.memory_answers import Budget
from torchio_seg.workflows.memory_benchmark import lines
from torchio_seg.workflows.memory_points import Measured, Point
from torchio_seg.workflows.memory_tables import as_typed

TABLE = "points.csv"
_CURVE_STEPS = 40

Points = Mapping[Point, Measured]


def rows(
    points: Points, accuracy: Sequence[Mapping[str, Any]] = (), trained_for: str | None = None
) -> list[dict[str, Any]]:
    """A row a point: bytes, seconds, the share of the whole volume's memory, the Dice where one was trained.

    Only trainings of the same time are set beside each other: of this one, or of that of the last training.
    """
    if trained_for is None and accuracy:
        trained_for = accuracy[-1]["max_time"]
    fitted, totals = lines(points, lambda found: found.memory), lines(points, lambda found: found.taken)
    own = [each for each in accuracy if each["max_time"] == trained_for]
    dice = {(each["network"], each["patch"], each["precision"]): each["dice"] for each in own}
    table = []
    for found in points.values():
        score = _dice_of(found.point, dice)
        more = {"dice": score, "trained_for": None if score is None else trained_for}
        table.append(_row(found, points, fitted) | {"estimated_bytes": _estimate(found, totals)} | more)
    return table


def _estimate(found: Measured, totals: Mapping[Point, Line]) -> int | None:
    """What one that did not fit, or was not tried, would take, by the line of its series."""
    line = totals.get(found.point.series)
    return None if found.fits or line is None else round(line(found.voxels))


def _dice_of(point: Point, dice: Mapping[Any, float]) -> float | None:
    trained = point.work == "training" and not point.checkpointing
    return dice.get((point.network, point.patch, point.precision)) if trained else None


def _row(found: Measured, points: Points, fitted: Mapping[Point, Line]) -> dict[str, Any]:
    point = found.point
    whole = points.get(_whole_of(point))
    is_estimated = whole is not None and not whole.fits
    line = fitted.get(_whole_of(point))
    compared = None if whole is None else float(whole.memory)
    if whole is not None and is_estimated:
        compared = None if line is None else line(whole.voxels)
    return {
        "network": point.network,
        "work": point.work,
        "patch": point.patch,
        "size": list(found.size),
        "precision": point.precision,
        "checkpointing": point.checkpointing,
        "blending": point.blending,
        "aggregation": point.aggregation,
        "fits": found.fits,
        "why": found.why,
        "memory_bytes": found.memory if found.fits else None,
        "of_whole": round(found.memory / compared, 4) if found.fits and compared else None,
        "whole_is_estimated": is_estimated,
        "process_bytes": found.peak if found.fits else None,
        "reserved_bytes": found.reserved,
        "allocated_bytes": found.allocated,
        "device_used_bytes": found.device_used,
        "asked_bytes": found.asked or None,
        "limit_bytes": found.limit,
        "limit_seconds": found.most_seconds,
        "seconds": found.seconds,
        "parameters": found.parameters,
        "commit": found.commit,
    }


def _whole_of(point: Point) -> Point:
    """What a point is compared with: the whole volume by the same work."""
    if point.work == "training":
        return point.series
    return Point(point.network, "prediction", None, point.precision, False, "gaussian", "streaming")


def write(
    folder: Path,
    points: Points,
    table: Sequence[Mapping[str, Any]],
    *,
    is_gpu: bool,
    networks: Collection[str] | None = None,
    budgets: Collection[Budget] = (),
) -> list[Path]:
    """The rows of the points as CSV and pictures of these networks, or of all, as SVG and PNG; the files written."""
    written = [folder / TABLE]
    write_text(folder / TABLE, to_csv(table))
    for network in dict.fromkeys(point.network for point in points):
        if networks is not None and network not in networks:
            continue
        own = {point: found for point, found in points.items() if point.network == network}
        marks = picture_of(f"{network}: patches against the whole volume", own, is_gpu=is_gpu, budgets=budgets)
        name = network.replace(".", "_")
        write_text(folder / f"{name}.svg", to_svg(marks))
        write_bytes(folder / f"{name}.png", to_png(marks))
        written += [folder / f"{name}.svg", folder / f"{name}.png"]
    return written


def picture_of(title: str, points: Points, *, is_gpu: bool, budgets: Collection[Budget] = ()) -> list[Mark]:
    """Of the points of one network; with budgets of the memory that is drawn."""
    series = series_of(points, is_gpu=is_gpu)
    limits = sorted({round(limit) for each in series for _, limit in each.refused})
    told = " or ".join(map(as_typed, limits))
    own = sorted({budget.num_bytes for budget in budgets if budget.as_gpu == is_gpu})
    levels = [Level(limit, f"memory limit {as_typed(limit)}") for limit in limits]
    levels += [Level(num_bytes, f"budget {as_typed(num_bytes)}", is_budget=True) for num_bytes in own]
    is_empty = not any(each.points or (each.whole and each.whole.how == "measured") for each in series)
    empty = f"no size was found to fit {told}" if limits else "no size was measured"
    return draw(title, _what(is_gpu), series, levels=levels, empty=empty if is_empty else "")


def _what(is_gpu: bool) -> str:
    if is_gpu:
        return "peak memory of the GPU, as it says itself"
    return "peak memory of the process on a CPU, imports included; a GPU takes other amounts"


def to_csv(table: Sequence[Mapping[str, Any]]) -> str:
    """Every column of the rows."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]) if table else ["network"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "size": "x".join(map(str, row["size"]))} for row in table)
    return text.getvalue()


def series_of(points: Points, *, is_gpu: bool) -> list[Series]:
    """Training in each way, and prediction by Gaussian blending in a stream."""

    def amount(found: Measured) -> int:
        return found.counted(as_gpu=is_gpu)

    fitted = lines(points, amount)
    found = []
    for series in dict.fromkeys(point.series for point in points):
        if series != _whole_of(series):
            continue
        members = sorted((each for point, each in points.items() if point.series == series), key=_edge)
        own = [(_edge(each), amount(each)) for each in members if each.fits and each.point.patch is not None]
        refused = [(_edge(each), each.limit) for each in members if _took_too_much(each)]
        whole, line = points.get(series), fitted.get(series)
        if not own and not refused and (whole is None or not whole.fits):
            continue
        last = own[-1][0] * 1.25 if own and whole is None else max(map(_edge, members))
        name = f"{series.work}, {series.precision}{', checkpointing' if series.checkpointing else ''}"
        curve = [] if line is None else _curve(line, own[0][0], last)
        found.append(Series(name, own, curve, _told_whole(whole, line, amount), list(dict.fromkeys(refused))))
    return found


def _took_too_much(found: Measured) -> bool:
    return found.fits is False and found.why != "time"


def _edge(found: Measured) -> float:
    """Of a cube of as many voxels."""
    return float(found.voxels ** (1 / 3))


def _told_whole(whole: Measured | None, line: Line | None, amount: Callable[[Measured], int]) -> Whole | None:
    if whole is None:
        return None
    if whole.fits:
        return Whole(_edge(whole), amount(whole), "measured")
    if line is not None:
        return Whole(_edge(whole), line(whole.voxels), "by the curve")
    return Whole(_edge(whole), whole.limit, "more than") if _took_too_much(whole) else None


def _curve(line: Line, first: float, last: float) -> list[tuple[float, float]]:
    edges = [first + (last - first) * step / _CURVE_STEPS for step in range(_CURVE_STEPS + 1)]
    return [(edge, line(edge**3)) for edge in edges if line(edge**3) > 0]
