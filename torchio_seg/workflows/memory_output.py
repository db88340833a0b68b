"""The memory benchmark for people: rows beside the whole volume, a CSV file, pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torchio_seg.files import write_bytes, write_text
from torchio_seg.machine import in_units
from torchio_seg.planning.growth import Line
from torchio_seg.planning.telling import size_text, time_text
from torchio_seg.reports.memory_plot import Series, draw, to_png, to_svg
from torchio_seg.workflows.memory_benchmark import Answer, lines, outcome
from torchio_seg.workflows.memory_points import Measured, Point

TABLE = "points.csv"
COLUMNS = ("network", "work", "patch", "voxels", "how", "memory", "of whole", "all", "time", "Dice")
_CURVE_STEPS = 40

Points = Mapping[Point, Measured]


def rows(points: Points, accuracy: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """A row a point: bytes, seconds, the share of the whole volume's memory, the Dice where one was trained."""
    fitted, totals = lines(points, lambda found: found.memory), lines(points, lambda found: found.taken)
    dice = {(each["network"], each["patch"], each["precision"]): each["dice"] for each in accuracy}
    return [
        _row(found, points, fitted) | {"estimated_bytes": _estimate(found, totals), "dice": _dice_of(found.point, dice)}
        for found in points.values()
    ]


def _estimate(found: Measured, totals: Mapping[Point, Line]) -> int | None:
    """What one that did not fit would take, by the line of its series."""
    line = totals.get(found.point.series)
    return round(line(found.voxels)) if found.fits is False and line is not None else None


def _dice_of(point: Point, dice: Mapping[Any, float]) -> float | None:
    trained = point.work == "training" and not point.checkpointing
    return dice.get((point.network, point.patch, point.precision)) if trained else None


def _row(found: Measured, points: Points, fitted: Mapping[Point, Line]) -> dict[str, Any]:
    point = found.point
    whole = points.get(_whole_of(point))
    is_estimated = whole is not None and not whole.fits
    series = point.series if point.series in fitted else _whole_of(point)
    compared = None if whole is None else float(whole.memory)
    if whole is not None and is_estimated:
        compared = fitted[series](whole.voxels) if series in fitted else None
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
        "seconds": found.seconds,
        "parameters": found.parameters,
    }


def _whole_of(point: Point) -> Point:
    """What a point is compared with: the whole volume by the same work."""
    if point.work == "training":
        return point.series
    return Point(point.network, "prediction", None, point.precision, False, "gaussian", "streaming")


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row as the screen shows it, under `COLUMNS`."""
    how = [row["precision"], *(["checkpointing"] if row["checkpointing"] else [])]
    how += [row["blending"], row["aggregation"]] if row["blending"] else []
    share = "" if row["of_whole"] is None else f"{'~' if row['whole_is_estimated'] else ''}{row['of_whole']:.2g}"
    dice = "" if row["dice"] is None else f"{row['dice']:.3f}"
    first = (row["network"], row["work"], "whole" if row["patch"] is None else str(row["patch"]))
    if not row["fits"]:
        return (*first, size_text(row["size"]), ", ".join(how), _failure(row), "", "", "", dice)
    total = in_units(row["device_used_bytes"] or row["process_bytes"])
    memory, seconds = in_units(row["memory_bytes"]), time_text(row["seconds"])
    return (*first, size_text(row["size"]), ", ".join(how), memory, share, total, seconds, dice)


def _failure(row: Mapping[str, Any]) -> str:
    if row["fits"] is None:
        return f"not measured: {row['why']}"
    if row["why"] == "time":
        return "takes too long"
    asked = f"asked for {in_units(row['asked_bytes'])} when it was ended" if row["asked_bytes"] else row["why"]
    estimate = f", about {in_units(row['estimated_bytes'])} by the line" if row["estimated_bytes"] else ""
    return f"does not fit {in_units(row['limit_bytes'])}: {asked}{estimate}"


def write(folder: Path, points: Points, accuracy: Sequence[Mapping[str, Any]] = (), *, is_gpu: bool) -> list[Path]:
    """The table as CSV and a picture a network, as SVG and PNG; the files written."""
    written = [folder / TABLE]
    write_text(folder / TABLE, to_csv(rows(points, accuracy)))
    for network in dict.fromkeys(point.network for point in points):
        own = {point: found for point, found in points.items() if point.network == network}
        marks = draw(f"{network}: patches against the whole volume", _what(is_gpu), series_of(own, is_gpu=is_gpu))
        name = network.replace(".", "_")
        write_text(folder / f"{name}.svg", to_svg(marks))
        write_bytes(folder / f"{name}.png", to_png(marks))
        written += [folder / f"{name}.svg", folder / f"{name}.png"]
    return written


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
        own = sorted(
            (each.voxels ** (1 / 3), amount(each))
            for point, each in points.items()
            if each.fits and point.patch is not None and point.series == series
        )
        whole, line = points.get(series), fitted.get(series)
        if not own and (whole is None or not whole.fits):
            continue
        curve = _curve(line, own) if line is not None else []
        name = f"{series.work}, {series.precision}{', checkpointing' if series.checkpointing else ''}"
        found.append(Series(name, own, curve, amount(whole) if whole is not None and whole.fits else None))
    return found


def _curve(line: Line, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    first, last = points[0][0], max(points[-1][0] * 1.25, points[0][0] + 1)
    edges = [first + (last - first) * step / _CURVE_STEPS for step in range(_CURVE_STEPS + 1)]
    return [(edge, line(edge**3)) for edge in edges if line(edge**3) > 0]


def answer_text(answer: Answer) -> str:
    """The largest patch for a budget, and how that is known."""
    point, budget = answer.point, in_units(answer.budget.num_bytes)
    how = f"{point.network}, {point.precision}{', checkpointing' if point.checkpointing else ''}"
    if answer.line is None and not answer.verified:
        return f"{how}: fewer than two patches were measured, so nothing tells the largest one for {budget}"
    line = "" if answer.line is None else f" ({_line_text(answer)})"
    if not answer.verified:
        named = "no patch" if answer.named is None else f"a patch of {answer.named}"
        return f"{how}: {named} for {budget} by the line alone{line}; not tried"
    if answer.largest is None:
        least = "" if answer.too_large is None else f"; {_took(answer, answer.too_large)}"
        return f"{how}: no patch fits {budget}{least}"
    more = "the volume has no larger one" if answer.too_large is None else f"next, {_took(answer, answer.too_large)}"
    return f"{how}: the largest patch for {budget} is {_took(answer, answer.largest)}; {more}{line}"


def _line_text(answer: Answer) -> str:
    assert answer.line is not None  # noqa: S101 (the caller has looked)
    apiece = f"{answer.line.apiece:.0f} bytes a voxel"
    return f"{in_units(max(0.0, answer.line.fixed))} + {apiece}, named {answer.named or 'none'} first"


def _took(answer: Answer, found: Measured) -> str:
    if not found.fits:
        return f"{size_text(found.size)}: {outcome(found).removeprefix(size_text(found.size)).strip()}"
    return f"{size_text(found.size)} with {in_units(answer.budget.counted(found))}"
