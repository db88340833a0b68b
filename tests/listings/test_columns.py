from pathlib import Path

import pytest

from torchio_seg.errors import DataError
from torchio_seg.listings.columns import Table, read_table


def table(folder: Path, text: str | bytes) -> Table:
    path = folder / "cases.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(path)


def contents(read: Table) -> list[tuple[int, list[str]]]:
    return [(row.number, list(row.cells.values())) for row in read.rows]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_of_every_spreadsheet_are_read_alike(tmp_path: Path, delimiter: str, mark: str, end: str) -> None:
    lines = [" id , image", '007,"a, b; c.nii"', "", "8, x.nii ", ",,"]
    read = table(tmp_path, mark + end.join(lines).replace(",", delimiter).replace(f"a{delimiter} b", "a, b"))
    assert read.columns == ("id", "image")
    assert contents(read) == [(2, ["007", "a, b; c.nii"]), (4, ["8", "x.nii"])]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("\n , \n", "is empty"),
        ("id,image,id\n", "give every column a name of its own"),
        ("id,,label\n", "give every column a name of its own"),
        ("id,image\n1,a,b\n2,c\n3\n", r"2 rows have not: row 2 \(3\), 4 \(1\)"),
        ('id,image\n1,"a"b\n', "row 2"),
        ('id,image\n1,"a\n', "quotes stand around whole cells"),
        ("id,image\n1,\u00e4".encode("latin-1"), "save it as 'CSV UTF-8'"),
    ],
)
def test_broken_tables_are_refused(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        table(tmp_path, text)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv cannot be read"):
        read_table(tmp_path / "nowhere.csv")


def test_rows_that_break_a_rule_are_listed_by_number(tmp_path: Path) -> None:
    read = table(tmp_path, "id\n" + "".join(f"{number}\n" for number in range(14)))
    with pytest.raises(DataError, match=r"12 rows are large: row 4, 5, .*, 13 and 2 more\. Take less"):
        read.require(lambda row: int(row.cells["id"]) < 2, wrong="are large", cure="Take less")
