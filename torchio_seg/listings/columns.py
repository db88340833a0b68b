"""Tables in text files, read strictly: comma, semicolon or tab, one header, every row as long as the header."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torchio_seg.errors import DataError
from torchio_seg.listings.paths import few

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Row:
    """One line."""

    number: int
    """Of its last line in the file, as an editor counts them."""
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """The rows of one file; names and cells without spaces around them, empty rows left out."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def require(self, holds: Callable[[Row], bool], *, wrong: str, cure: str) -> None:
        """Hold something of every row, or list the numbers of those of which it is not true."""
        if bad := [str(row.number) for row in self.rows if not holds(row)]:
            raise DataError(f"{self.path}: {len(bad)} rows {wrong}: row {few(bad)}. {cure}")


def read_table(path: Path) -> Table:
    """The table in a file."""
    lines = _records(path)
    if not lines:
        raise DataError(f"{path} is empty; it needs a header such as id,image,label and a row for each case")
    header, *body = lines
    columns = tuple(cell for cell in header[1] if cell)
    if len(set(columns)) < len(columns) or header[1][: len(columns)] != list(columns):
        raise DataError(f"{path}: the header is {few(header[1])}; give every column a name of its own")
    if odd := [f"{number} ({len(cells)})" for number, cells in body if _misfits(cells, len(columns))]:
        raise DataError(
            f"{path}: the header has {len(columns)} columns, {len(odd)} rows have not: row {few(odd)}. "
            "Put cells that hold a delimiter in quotes, and leave cells empty rather than out"
        )
    rows = tuple(Row(number, dict(zip(columns, cells, strict=False))) for number, cells in body)
    return Table(path, columns, rows)


def _records(path: Path) -> list[tuple[int, list[str]]]:
    """The cells of each line that holds any, with its number."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); check the name and permissions") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error}); save it as 'CSV UTF-8'") from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), skipinitialspace=True, strict=True)
    try:
        cells = [(reader.line_num, [cell.strip() for cell in record]) for record in reader]
    except csv.Error as error:
        raise DataError(f"{path}, row {reader.line_num}: {error}; quotes stand around whole cells") from error
    return [(number, record) for number, record in cells if any(record)]


def _delimiter(text: str) -> str:
    """The one that stands most often in the first line that is not empty."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(_DELIMITERS, key=header.count)


def _misfits(cells: list[str], num_columns: int) -> bool:
    """Spreadsheets write empty cells behind the last column; those do no harm."""
    return len(cells) < num_columns or any(cells[num_columns:])
