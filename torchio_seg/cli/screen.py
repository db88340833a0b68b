"""The one writer to the screen: messages and progress on stderr, results on stdout."""

from __future__ import annotations

import functools
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torchio_seg.machine import in_units

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from torchio_seg.metrics import Spread, Summary
    from torchio_seg.records import RegionScore


_SHORT = {"learning_rate": "rate", "dice": "Dice"}
_WITH_BARS = 116
"""Columns of a terminal from which on there is room for bars beside figures."""
MOST_COLUMNS = 6
"""Regions that a table of cases shows beside each other; of more, it gives the mean and the lowest."""


class Screen(logging.Handler):
    """Shows log messages as they come, and progress bars below them where there is a terminal."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console

        self.debug = False
        self.errors = Console(stderr=True, highlight=False, soft_wrap=True)
        self.results = Console(highlight=False, soft_wrap=True)
        self._bars: Bars | None = None
        self._tasks: list[TaskID] = []

    @staticmethod
    @functools.cache
    def shared() -> Screen:
        """The screen of this process, listening to the library."""
        screen = Screen()
        screen.listen(logging.INFO)
        return screen

    def listen(self, level: int) -> None:
        """Show messages of the library from this level on; warnings of other packages only when saying more."""
        library = logging.getLogger("torchio_seg")
        library.handlers = [self]
        library.setLevel(level)
        library.propagate = False
        logging.captureWarnings(True)
        others = logging.getLogger("py.warnings")
        others.handlers = [self] if level <= logging.DEBUG else [logging.NullHandler()]
        others.propagate = False

    def say_only_failures(self) -> None:
        """Leave everything else to another process."""
        logging.getLogger("torchio_seg").setLevel(logging.ERROR)
        self.results.quiet = True

    @contextmanager
    def results_beside_messages(self) -> Iterator[None]:
        """Results go to stderr inside the block, since stdout is for something that machines read."""
        results, self.results = self.results, self.errors
        try:
            yield
        finally:
            self.results = results

    def emit(self, record: logging.LogRecord) -> None:
        """One message, one line."""
        style = {logging.WARNING: "yellow", logging.ERROR: "red"}.get(record.levelno, "")
        self.errors.print(record.getMessage(), style=style, markup=False)

    def say(self, text: str) -> None:
        """A line of the result."""
        self.results.print(text, markup=False)

    def start(self, what: str, total: int | None) -> None:
        """Draw a bar for a piece of work."""
        if not self.errors.is_terminal:
            return
        if self._bars is None:
            self._bars = _make_bars(self.errors, with_bars=self._is_wide)
            self._bars.start()
        self._tasks.append(self._bars.add_task(what, total=total, figures=""))

    def advance(self, parts: int = 1, **figures: float) -> None:
        """Move the innermost bar."""
        if self._bars is not None and self._tasks:
            told = _figure if self._is_wide else _short_figure
            text = "  ".join(told(name, value) for name, value in figures.items())
            self._bars.update(self._tasks[-1], advance=parts, figures=text)

    @property
    def _is_wide(self) -> bool:
        return self.errors.width >= _WITH_BARS

    def finish(self) -> None:
        """Take the innermost bar away."""
        if self._bars is None:
            return
        self._bars.remove_task(self._tasks.pop())
        if not self._tasks:
            self._bars.stop()
            self._bars = None

    def table_of_scores(self, title: str, summaries: Sequence[Summary], mean: float | None) -> None:
        """Dice of each region, with what could not be measured counted beside it."""
        from rich.table import Table
        from rich.text import Text

        table = Table("region", title=title, title_justify="left")
        for name in ("Dice", "cases", "missed", "invented", "empty"):
            table.add_column(name, justify="right")
        for row in summaries:
            counts = (row.num_scored, row.num_missed, row.num_invented, row.num_empty)
            table.add_row(Text(row.region), number(row.mean_dice), *map(str, counts))
        table.add_section()
        table.add_row("mean", number(mean))
        self.results.print(table)
        if any(row.num_missed or row.num_invented or row.num_empty for row in summaries):
            self.say("missed: there, not found; invented: found, not there; both score 0. empty: neither, not scored.")

    def table_of_cases(self, scores: Sequence[RegionScore]) -> None:
        """Dice of each case and region."""
        regions = list(dict.fromkeys(score.region for score in scores))
        width = (
            max((len(score.case) for score in scores), default=0)
            + sum(3 + max(5, len(region)) for region in regions)
            + 4
        )
        by_case: dict[str, dict[str, float | None]] = {}
        for score in scores:
            by_case.setdefault(score.case, {})[score.region] = score.dice
        if len(regions) > MOST_COLUMNS or width > self.results.width:
            self.table(("case", "mean", "lowest"), [(case, *_outline(values)) for case, values in by_case.items()])
            return
        rows = [(case, *(number(values[region]) for region in regions)) for case, values in by_case.items()]
        self.table(("case", *regions), rows)

    def table_of_spreads(self, metrics: Iterable[tuple[str, Sequence[Spread]]]) -> None:
        """Each metric on a line of its own, and below it the regions: mean, deviation, and where the mean lies."""
        from rich.table import Table
        from rich.text import Text

        table = Table("metric, region")
        for name in ("mean", "sd", "mean from", "to", "cases"):
            table.add_column(name, justify="right")
        for metric, regions in metrics:
            table.add_section()
            table.add_row(Text(metric, style="bold"))
            for each in regions:
                figures = map(number, (each.mean, each.deviation, each.low, each.high))
                table.add_row(Text(f"  {each.region}"), *figures, str(each.num_scored))
        self.results.print(table)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Rows of words, shown as they are: what looks like markup is none, and what is too long is folded, not cut."""
        from rich.table import Table
        from rich.text import Text

        rows, table = list(rows), Table()
        longest = max(len(row[0]) for row in (columns, *rows))
        table.add_column(Text(columns[0]), overflow="fold", width=min(longest, self.results.width // 2))
        for column in columns[1:]:
            table.add_column(Text(column), overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        self.results.print(table)

    def table_in_parts(self, title: str, columns: Sequence[str], parts: Mapping[str, Iterable[Sequence[str]]]) -> None:
        """Rows of words under headings, what stands right of the first column flush right."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(title), title_justify="left", title_style="bold")
        for place, column in enumerate(columns):
            table.add_column(Text(column), justify="right" if place else "left")
        for heading, rows in parts.items():
            table.add_section()
            table.add_row(Text(heading, style="italic"))
            for first, *others in rows:
                table.add_row(Text(f"  {first}"), *map(Text, others))
        self.results.print(table)


def _figure(name: str, value: float) -> str:
    """A number beside a bar."""
    if name == "waiting":
        return f"waiting {100 * value:.0f} %"
    if name == "memory":
        return in_units(value)
    return f"{_SHORT.get(name, name.replace('_per_second', '/s'))} {value:.3g}"


def _short_figure(name: str, value: float) -> str:
    """The same where there is little room."""
    if name == "waiting":
        return f"wait {100 * value:.0f}%"
    if name.endswith("_per_second"):
        return f"{value:.3g}/s"
    return _figure(name, value)


def _outline(values: Mapping[str, float | None]) -> tuple[str, str]:
    """The mean over the regions that have a score, and the lowest of them by name."""
    scored = {region: value for region, value in values.items() if value is not None}
    if not scored:
        return number(None), number(None)
    lowest = min(scored, key=lambda region: scored[region])
    return number(sum(scored.values()) / len(scored)), f"{number(scored[lowest])} {lowest}"


def number(value: float | None) -> str:
    """A score as people read it."""
    return "n/a" if value is None else f"{value:.3f}"


def _make_bars(console: Any, *, with_bars: bool) -> Bars:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        *([BarColumn(bar_width=30)] if with_bars else []),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    return Progress(*columns, console=console, transient=True)
