"""The curves of a training as one SVG: losses, Dice, learning rate over the epochs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 760, 190, 64, 150, 34, 52
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
    last = max((record["epoch"] for record in records), default=1)
    height = TOP + len(panels) * (PANEL + GAP)
    body = "".join(_panel(panel, TOP + i * (PANEL + GAP), max(last, 1)) for i, panel in enumerate(panels))
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
        color = COLORS[number % len(COLORS)]
        parts.append(_line([place(point) for point in points], color))
        y = top + 14 + 17 * number
        latest = f" {points[-1][1]:.3g}" if points else ""
        parts.append(f'<text x="{WIDTH - RIGHT + 12}" y="{y}" fill="{color}">{escape(name)}{latest}</text>')
    return "".join(parts)


def _rule(value: float, y: float, span: float) -> str:
    return (
        f'<line x1="{LEFT}" x2="{LEFT + span}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{value:.4g}</text>'
    )


def _line(points: Points, color: str) -> str:
    if len(points) == 1:
        return f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="3" fill="{color}"/>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>' if points else ""


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers between the two."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw)) if raw > 0 else 1.0
    step = next((factor * power for factor in (1, 2, 5, 10) if factor * power >= raw), power)
    first = math.ceil(low / step - 1e-9)
    return [round(step * i, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]
