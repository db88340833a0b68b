"""The curves of a training as one SVG: losses, Dice, learning rate over the epochs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 860, 190, 64, 240, 52, 52
LEGEND_LINE, SAMPLE = 17, 26
LONGEST_NAME = 18
"""Letters of a line's name beside the diagram; RIGHT leaves room for them, a sample of the line and a number."""
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One diagram: a title and lines by name."""

    title: str
    lines: Mapping[str, Points]
    low: float | None = None
    high: float | None = None


def curves(records: Iterable[Mapping[str, Any]], title: str) -> str:
    """The SVG for the records of a run, in the order in which they were logged."""
    records = list(records)
    epochs = [record for record in records if record["kind"] == "epoch"]
    validations = [record for record in records if record["kind"] == "validation"]
    dice = {"mean": _points(validations, "mean_dice")}
    for name in validations[-1]["dice"] if validations else ():
        dice[name] = [(r["epoch"], r["dice"][name]) for r in validations if r["dice"].get(name) is not None]
    panels = (
        Panel("Loss", {"training": _points(epochs, "loss"), "validation": _points(validations, "loss")}),
        Panel("Validation Dice", dice, 0.0, 1.0),
        Panel("Learning rate", {"learning rate": _points(epochs, "learning_rate")}, 0.0),
    )
    last = max((record["epoch"] for record in (*epochs, *validations)), default=1)
    height, body = TOP, ""
    for panel in panels:
        body += _panel(panel, height, max(last, 1))
        height += max(PANEL, LEGEND_LINE * len(panel.lines)) + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/><text x="12" y="18" font-weight="bold">{escape(title)}</text>'
        f"{body}</svg>\n"
    )


def _points(records: Sequence[Mapping[str, Any]], key: str) -> Points:
    return [(record["epoch"], record[key]) for record in records if record.get(key) is not None]


def _panel(panel: Panel, top: int, last_epoch: int) -> str:
    values = [value for points in panel.lines.values() for _, value in points]
    low = panel.low if panel.low is not None else min(values, default=0.0)
    high = panel.high if panel.high is not None else max(values, default=1.0)
    if not high > low:
        low, high = low - 0.5 * abs(low or 1), high + 0.5 * abs(high or 1)
    span = WIDTH - LEFT - RIGHT
    start = min(1, last_epoch - 1)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x = LEFT + span * (point[0] - start) / max(last_epoch - start, 1)
        return x, top + PANEL - PANEL * (min(max(point[1], low), high) - low) / (high - low)

    parts = [f'<text x="{LEFT}" y="{top - 6}">{escape(panel.title)}</text>']
    parts += [_rule(value, place((start, value))[1], span) for value in _ticks(low, high)]
    parts += [
        f'<text x="{place((epoch, low))[0]:.1f}" y="{top + PANEL + 16}" text-anchor="middle" fill="#555">'
        f"{epoch:g}</text>"
        for epoch in _ticks(start, last_epoch)
        if epoch == int(epoch)
    ]
    for number, (name, points) in enumerate(panel.lines.items()):
        parts.append(_line([place(point) for point in points], number))
        parts.append(_legend(name, points, number, top + 14 + LEGEND_LINE * number))
    return "".join(parts)


def _legend(name: str, points: Points, number: int, y: int) -> str:
    latest = f" {points[-1][1]:.3g}" if points else ""
    x = WIDTH - RIGHT + 12
    return (
        f'<line x1="{x}" x2="{x + SAMPLE}" y1="{y - 4}" y2="{y - 4}" {_stroke(number)}/>'
        f'<text x="{x + SAMPLE + 6}" y="{y}" fill="{_color(number)}">{escape(_shorten(name))}{latest}'
        f"<title>{escape(name)}</title></text>"
    )


def _shorten(name: str) -> str:
    """A name that fits beside the diagram; names of one kind differ at their ends, which are kept."""
    if len(name) <= LONGEST_NAME:
        return name
    end = LONGEST_NAME // 2 + 1
    return f"{name[: LONGEST_NAME - end - 1]}…{name[-end:]}"


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]


def _stroke(number: int) -> str:
    """Colour, and a dash pattern of its own for each time that the colours have come round."""
    cycle = number // len(COLORS)
    dashes = f' stroke-dasharray="{"7 3" + " 2 3" * (cycle - 1)}"' if cycle else ""
    return f'stroke="{_color(number)}" stroke-width="1.6"{dashes}'


def _rule(value: float, y: float, span: float) -> str:
    return (
        f'<line x1="{LEFT}" x2="{LEFT + span}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{value:.4g}</text>'
    )


def _line(points: Points, number: int) -> str:
    if len(points) == 1:
        (x, y), cycle = points[0], number // len(COLORS)
        look = f'fill="none" stroke="{_color(number)}"' if cycle else f'fill="{_color(number)}"'
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3 + cycle}" {look}/>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" {_stroke(number)}/>' if points else ""


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers between the two."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw)) if raw > 0 else 1.0
    step = next((factor * power for factor in (1, 2, 5, 10) if factor * power >= raw), power)
    first = math.ceil(low / step - 1e-9)
    return [round(step * i, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]
