"""The memory benchmark for people: small tables, and what their marks mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torchio_seg.machine import in_units
from torchio_seg.planning.telling import time_text
from torchio_seg.workflows.memory_answers import Answer, Rung
from torchio_seg.workflows.memory_benchmark import BLENDINGS

COLUMNS = ("voxels", "memory", "of whole", "process", "time")
DICE = "Dice"
ANSWER_COLUMNS = ("training", "patch", "takes", "next", "takes")


@dataclass(frozen=True)
class Table:
    """Rows of words under headings, narrow enough for eighty columns."""

    title: str
    columns: tuple[str, ...]
    parts: Mapping[str, Sequence[tuple[str, ...]]]
    """By heading."""


def tables(rows: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """One for the training and one for the prediction of each network; of the ways that were tried."""
    for network, work in dict.fromkeys((row["network"], row["work"]) for row in rows):
        own = [row for row in rows if (row["network"], row["work"]) == (network, work)]
        has_dice = any(row["dice"] is not None for row in own)
        columns = (*COLUMNS, DICE) if has_dice else COLUMNS
        parts = {}
        for way in dict.fromkeys(_way(row) for row in own if row["fits"] is not None):
            those = sorted((row for row in own if _way(row) == way), key=lambda row: prod(row["size"]))
            parts[way] = [cells(row)[: len(columns)] for row in those]
        if parts:
            what = "training step" if work == "training" else "prediction of the whole volume"
            yield Table(f"{network}, {what}", columns, parts)


def _way(row: Mapping[str, Any]) -> str:
    return f"{row['precision']}{', checkpointing' if row['checkpointing'] else ''}"


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row as the screen shows it, under `COLUMNS` and the Dice."""
    others = [row["blending"]] if row["blending"] not in {None, BLENDINGS[0]} else []
    others += ["full"] if row["aggregation"] == "full" else []
    whole = "whole " if row["patch"] is None else ""
    label = ", ".join([whole + short_size(row["size"]), *others])
    dice = "" if row["dice"] is None else f"{row['dice']:.3f}"
    if not row["fits"]:
        return (label, *_failure(row), dice)
    share = "" if row["of_whole"] is None else f"{'~' if row['whole_is_estimated'] else ''}{row['of_whole']:.2g}"
    process = in_units(row["device_used_bytes"] or row["process_bytes"])
    return (label, in_units(row["memory_bytes"]), share, process, time_text(row["seconds"]), dice)


def _failure(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    what = "not tried" if row["fits"] is None else "too slow" if row["why"] == "time" else "too much"
    if row["estimated_bytes"]:
        return (what, "", f"~{in_units(row['estimated_bytes'])}", "")
    return (what, "", f"> {in_units(row['asked_bytes'])}" if what == "too much" and row["asked_bytes"] else "", "")


def notes(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the marks in these tables mean, and why something was not tried."""
    yield "memory: what the step or prediction adds; process: its whole peak (on a GPU, what the GPU says is taken)"
    if any(row["work"] == "prediction" for row in rows):
        yield "prediction: gaussian blending in a stream unless the row says; full: TorchIO's aggregator"
    if any(not row["fits"] and row["estimated_bytes"] for row in rows):
        yield "~: by a line a + b x voxels through the patches that were measured"
    if times := {row["trained_for"] for row in rows if row["dice"] is not None}:
        yield f"Dice: of the best model after {', '.join(sorted(times))} of training each"
    failed = [row for row in rows if row["fits"] is False]
    yield from _notes_of_limits([row for row in failed if row["why"] != "time"])
    if limits := {row["limit_seconds"] for row in failed if row["why"] == "time"}:
        yield f"too slow: more than {time_text(max(limits))}, from the end of the imports on"
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row["fits"] is None:
            reasons.setdefault(row["why"], []).append(row["network"])
    for reason, networks in reasons.items():
        yield f"not tried, {len(networks)} points of {', '.join(dict.fromkeys(networks))}: {reason}"


def _notes_of_limits(too_much: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What was more than which limit, and what the table has of it."""
    if not too_much:
        return
    words = "too much: more than " + " or ".join(map(as_typed, sorted({row["limit_bytes"] for row in too_much})))
    if any(row["estimated_bytes"] for row in too_much):
        words += "; ~ is what the process would take, by the line"
    if any(row["asked_bytes"] and not row["estimated_bytes"] for row in too_much):
        words += "; > is what it had when it was ended"
    yield words


def short_size(size: Sequence[int]) -> str:
    """As narrow as it goes."""
    return "x".join(map(str, size))


def answer_tables(answers: Sequence[Answer]) -> Iterator[Table]:
    """The largest patch for each budget."""
    for budget in dict.fromkeys(answer.budget for answer in answers):
        parts: dict[str, list[tuple[str, ...]]] = {}
        for answer in answers:
            if answer.budget == budget:
                parts.setdefault(answer.series.network, []).append(_answer_cells(answer))
        of = " of a GPU" if budget.as_gpu else ""
        yield Table(f"largest patch for {as_typed(budget.num_bytes)}{of}", ANSWER_COLUMNS, parts)


def as_typed(num_bytes: int) -> str:
    """In GiB or MiB too, where that is a round number."""
    gib, mib = num_bytes / 2**30, num_bytes / 2**20
    binary = f"{gib:g} GiB" if gib % 0.25 == 0 else f"{mib:g} MiB" if mib % 1 == 0 else ""
    return f"{binary} ({in_units(num_bytes)})" if binary else in_units(num_bytes)


def _answer_cells(answer: Answer) -> tuple[str, ...]:
    series = answer.series
    way = f"{series.precision}{', checkpointing' if series.checkpointing else ''}"
    if answer.largest is None and answer.next is None:
        return (way, "not known", "", "", "")
    largest = ("none", "") if answer.largest is None else _rung_cells(answer.largest)
    following = ("none larger", "") if answer.next is None else _rung_cells(answer.next)
    return (way, *largest, *following)


def _rung_cells(rung: Rung) -> tuple[str, str]:
    size, amount = short_size(rung.size), in_units(rung.num_bytes)
    if rung.found is None:
        return size, f"~{amount}"
    if rung.found.fits:
        return size, amount
    if rung.found.fits is None or rung.found.why == "time":
        return size, "too slow" if rung.found.why == "time" else "not tried"
    return size, f"> {amount}" if rung.num_bytes else "too much"


def answer_notes(answers: Sequence[Answer], *, is_gpu: bool) -> Iterator[str]:
    """What the marks in these tables mean."""
    rungs = [rung for answer in answers for rung in (answer.largest, answer.next) if rung is not None]
    if any(rung.found is None for rung in rungs):
        yield "~ in answers: by the line alone, since the budget exceeds --memory-limit, or because of --no-verify"
    if any(answer.largest is None and answer.next is None for answer in answers):
        yield "not known: fewer than two patches were measured; give more --patches"
    if answers and not is_gpu and any(answer.budget.as_gpu for answer in answers):
        yield "measured on a CPU; a GPU's libraries and allocator take other amounts: measure on the card itself"
