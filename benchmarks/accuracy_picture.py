"""Dice against minutes since the planning began: of validation as lines, of the cases kept away as rings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor, log
from typing import Any

from torchio_seg.reports.curves import COLORS
from torchio_seg.reports.marks import HEIGHT, WIDTH, Dot, Mark, Place, Stroke, Text

LEFT, RIGHT, TOP, BOTTOM = 64, 300, 70, 60
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 960)
STEPS = (0.01, 0.02, 0.05, 0.1)
MOST_LINES = 10
BLACK, PALE = "#000000", "#dddddd"
LINE, SAMPLE = 18, 26


def draw(task: str, runs: Sequence[Mapping[str, Any]]) -> list[Mark]:
    """The marks for all runs of a task."""
    curves = [[(seconds / 60, dice) for seconds, dice in run.get("validation", ())] for run in runs]
    ends = [(run["train_s"] / 60, run["dice"]) for run in runs]
    points = [point for curve in (*curves, ends) for point in curve]
    first, last = min(x for x, _ in points) * 0.9, max(x for x, _ in points) * 1.1
    lowest, highest = min(y for _, y in points), max(y for _, y in points)
    step = next((step for step in STEPS if highest - lowest < MOST_LINES * step), STEPS[-1])
    low, high = step * floor(lowest / step), step * ceil(highest / step)

    def place(minutes: float, dice: float) -> Place:
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * log(minutes / first) / log(last / first),
            TOP + (HEIGHT - TOP - BOTTOM) * (high - dice) / (high - low),
        )

    marks: list[Mark] = [
        Text(12, 20, f"{task}: mean Dice over classes against time", BLACK, is_bold=True),
        Text(12, 38, "lines: validation cases during training; rings: the cases kept away, predicted at the end"),
    ]
    for dice in (low + step * number for number in range(round((high - low) / step) + 1)):
        x, y = place(first, dice)
        marks += [Stroke(((x, y), place(last, dice)), PALE), Text(x - 6, y + 4, f"{dice:.2f}", anchor="end")]
    for minutes in (tick for tick in TICKS if first <= tick <= last):
        x, y = place(minutes, low)
        marks.append(Text(x, y + 18, str(minutes), anchor="middle"))
    x, y = place((first * last) ** 0.5, low)
    marks.append(Text(x, y + 40, "minutes since the planning began", anchor="middle"))
    for number, (run, curve, end) in enumerate(zip(runs, curves, ends, strict=True)):
        color = COLORS[number % len(COLORS)]
        marks += [Stroke([place(*point) for point in curve], color, 1.6)] if curve else []
        marks.append(Dot(*place(*end), color, is_open=True))
        marks += _named(run, number, color, has_curve=bool(curve))
    return marks


def _named(run: Mapping[str, Any], number: int, color: str, *, has_curve: bool) -> Iterator[Mark]:
    x, y = WIDTH - RIGHT + 14, TOP + 4 + 2 * LINE * number
    if has_curve:
        yield Stroke(((x, y - 4), (x + SAMPLE, y - 4)), color, 1.6)
    yield Dot(x + SAMPLE / 2, y - 4, color, is_open=True)
    changes = "".join(f", {change}" for change in run["changes"])
    yield Text(x + SAMPLE + 6, y, f"{run['system']}, {run['max_time']}, fold {run['fold']}{changes}", color)
    device = run["device"].partition(",")[0]
    yield Text(x + SAMPLE + 6, y + LINE - 2, f"{run['dice']:.4f} after {run['steps']} steps on {device}")
