from pathlib import Path

import numpy as np
import pytest

from torchio_seg import components
from torchio_seg.datasets import table
from torchio_seg.errors import ConfigError, DataError, TorchioSegError
from torchio_seg.volumes.nifti import create

IDS = ("007", "8", "p_1", "p_2")


def make_root(folder: Path, text: str | None = None) -> Path:
    """A folder with cases.csv and, for each id, CT, PET and label below data/."""
    (folder / "data").mkdir()
    for case in IDS:
        for kind in ("ct", "pet"):
            create(folder / "data" / f"{case}_{kind}.nii.gz", np.zeros((2, 2, 2), np.int16), np.eye(4))
        create(folder / "data" / f"{case}_label.nii.gz", np.eye(2, dtype=np.uint8)[None].repeat(2, 0), np.eye(4))
    lines = [f"{case},data/{case}_ct.nii.gz,data/{case}_pet.nii.gz,data/{case}_label.nii.gz" for case in IDS]
    write(folder, text or "\n".join(["id,CT,PET,label", *lines]))
    return folder


def write(folder: Path, text: str) -> None:
    (folder / "cases.csv").write_text(text, encoding="utf-8")


def simple(*rows: str, header: str = "id,CT,label,split", where: str = "data/") -> str:
    """A table of one channel: each row is an id and what follows its files."""
    cells = [row.partition(",") for row in rows]
    return "\n".join([header, *(f"{i},{where}{i}_ct.nii.gz,{where}{i}_label.nii.gz,{rest}" for i, _, rest in cells)])


def refused(root: Path, *words: str, error: type[TorchioSegError] = DataError, **options) -> None:
    with pytest.raises(error) as caught:
        table.build(root, **options)
    for word in words:
        assert word in str(caught.value)


def test_all_other_columns_are_channels_in_their_order(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    dataset = table.build(root)
    assert (dataset.name, dataset.channels) == ("cases", ("CT", "PET"))
    assert [case.id for case in dataset.cases] == ["007", "8", "p_1", "p_2"]
    assert dataset.cases[0].images == (root / "data" / "007_ct.nii.gz", root / "data" / "007_pet.nii.gz")
    assert dataset.labels.names == {0: "background", 1: "foreground"}
    assert "channels are the columns CT, PET" in dataset.notes


def test_the_file_itself_may_be_the_root(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    assert table.build(root / "cases.csv") == table.build(root)
    refused(root / "cases.csv", "leave it out", file="cases.csv", error=ConfigError)


def test_one_of_several_tables_has_to_be_named(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    (root / "old.csv").write_text("id\n", encoding="utf-8")
    refused(root, "cases.csv, old.csv", "dataset.file=NAME")
    refused(root, "file is new.csv", file="new.csv")
    assert len(table.build(root, file="cases.csv").cases) == 4
    refused(root / "data", "has no table (.csv)")
    refused(root / "nowhere", "is not there")


def test_channels_choose_among_the_columns(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    assert table.build(root, channels=("PET", "CT")).channels == ("PET", "CT")
    assert table.build(root, channels=("CT",)).is_ct
    refused(root, "PTE", "did you mean 'PET'?", channels=("PTE",), error=ConfigError)


def test_a_column_without_file_names_is_named_with_the_way_to_leave_it_out(tmp_path: Path) -> None:
    root = make_root(tmp_path, simple("8,61", "007,70", header="ID,CT,Label,age"))
    refused(root, "column 'age' holds no names", "61, 70", "channels: [CT]")
    assert table.build(root, channels=("CT",)).channels == ("CT",)


def test_a_file_of_several_channels_gives_numbered_names(tmp_path: Path) -> None:
    root = make_root(tmp_path, simple("8,"))
    (root / "data" / "8_ct.nii.gz").unlink()
    create(root / "data" / "8_ct.nii.gz", np.zeros((3, 2, 2, 2), np.int16), np.eye(4))
    assert table.build(root).channels == ("CT_0", "CT_1", "CT_2")


@pytest.mark.parametrize("words", [("train", "val", "test", "train"), ("Training", "VALID", "Test", "TRAIN")])
def test_parts_are_one_split(tmp_path: Path, words: tuple[str, ...]) -> None:
    root = make_root(tmp_path, simple(*(f"{case},{word}" for case, word in zip(IDS, words, strict=True))))
    (split,) = table.build(root).splits
    assert (split.training, split.validation, split.test) == (("007", "p_2"), ("8",), ("p_1",))
    assert split.origin == "column 'split' of cases.csv"


def test_folds_are_a_split_each_and_the_test_part_stays_apart(tmp_path: Path) -> None:
    root = make_root(tmp_path, simple("007,1", "8,0", "p_1,test", "p_2,"))
    dataset = table.build(root)
    parts = [(split.training, split.validation, split.test) for split in dataset.splits]
    assert parts == [(("007", "p_2"), ("8",), ("p_1",)), (("8", "p_2"), ("007",), ("p_1",))]
    assert dataset.splits[1].origin == "column 'split' of cases.csv, fold 1"
    assert "1 rows say nothing in column 'split' and train" in dataset.notes


@pytest.mark.parametrize("words", [("", "", "", ""), ("train", "train", "", "train")])
def test_a_column_that_divides_nothing_is_no_split(tmp_path: Path, words: tuple[str, ...]) -> None:
    root = make_root(tmp_path, simple(*(f"{case},{word}" for case, word in zip(IDS, words, strict=True))))
    assert table.build(root).splits == ()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "dev", "0.5", "val"), "2 rows say something unknown in column 'split': row 3, 4."),
        (("1", "2", "1", "2"), "says 1, 2; folds are"),
        (("0", "0", "0", "0"), "two or more"),
        (("0", "1", "train", "0"), "says 0, 1, training"),
        (("val", "test", "val", "test"), "leaves no case to train"),
    ],
)
def test_splits_that_cannot_be_are_refused(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    refused(make_root(tmp_path, simple(*(f"{i},{word}" for i, word in zip(IDS, words, strict=True)))), message)


def test_groups_are_kept(tmp_path: Path) -> None:
    root = make_root(tmp_path, simple("p_1,p", "p_2,p", "8,", header="id,CT,label,Group"))
    assert [case.group for case in table.build(root).cases] == [None, "p", "p"]


def test_rows_without_a_label_map_are_left_out_and_said(tmp_path: Path) -> None:
    root = make_root(tmp_path, "id,CT,label\n8,data/8_ct.nii.gz,data/8_label.nii.gz\np_9,nowhere.nii.gz,\n")
    dataset = table.build(root)
    assert [case.id for case in dataset.cases] == ["8"]
    assert "1 rows without a label map are left out: p_9" in dataset.notes
    write(root, "id,CT,label\np_9,data/8_ct.nii.gz,\n")
    refused(root, "no row has a label map")


def test_absolute_paths_are_taken_and_said(tmp_path: Path) -> None:
    root = make_root(tmp_path, simple("8,", "007,", where=f"{tmp_path}/data/"))
    dataset = table.build(root)
    assert dataset.cases[0].label == tmp_path / "data" / "007_label.nii.gz"
    assert any(note.startswith("4 files are named by absolute paths") for note in dataset.notes)


def test_paths_written_on_windows_are_taken(tmp_path: Path) -> None:
    root = make_root(tmp_path, simple("8,", where="data\\"))
    assert table.build(root).cases[0].images == (root / "data" / "8_ct.nii.gz",)


def test_missing_files_are_listed_by_row(tmp_path: Path) -> None:
    root = make_root(tmp_path, simple("8,", "p_3,", "p_4,"))
    refused(root, "2 rows name a file in column 'CT' that is not there: row 3, 4", f"begin at {tmp_path}")


def test_cells_without_a_nifti_file_are_listed_by_row(tmp_path: Path) -> None:
    root = make_root(tmp_path, "id,CT,label\n8,data/8_ct.nii.gz,x.png\n007,,data/007_label.nii.gz\n")
    refused(root, "1 rows name no .nii.gz, .nii, .nrrd or .mha file in column 'CT': row 3")
    write(root, "id,CT,label\n8,data/8_ct.nii.gz,x.png\n")
    refused(root, "in column 'label': row 2")


def test_ids_that_stand_twice_or_not_at_all_are_refused(tmp_path: Path) -> None:
    root = make_root(tmp_path, simple("8,", "007,", "8,"))
    refused(root, "8 (rows 2, 4) more than once")
    write(root, "id,CT,label\n,data/8_ct.nii.gz,data/8_label.nii.gz\n")
    refused(root, "1 rows have no id: row 2")


@pytest.mark.parametrize(("header", "words"), [("name,CT,label", "id must stand"), ("ID,id,label", "id must stand")])
def test_columns_that_are_needed_must_stand_once(tmp_path: Path, header: str, words: str) -> None:
    refused(make_root(tmp_path, f"{header}\n"), words, "id,FLAIR,T1,label,group,split")


def test_a_table_without_columns_of_images_is_refused(tmp_path: Path) -> None:
    refused(make_root(tmp_path, "id,label\n8,data/8_label.nii.gz"), "no column of images")


def test_options_of_a_config_are_taken(tmp_path: Path) -> None:
    section = {"name": "table", "file": "cases.csv", "channels": ["CT"], "labels": {"1": "liver"}, "ignore": 3}
    dataset = components.assemble("datasets", section, make_root(tmp_path))
    assert dataset.labels.names == {0: "background", 1: "liver", 3: "ignore"}
    assert [region.name for region in dataset.labels.regions] == ["liver"]


def test_a_column_of_folds_may_be_called_so(tmp_path: Path) -> None:
    rows = ("007,0", "8,1", "p_1,0", "p_2,1")
    root = make_root(tmp_path, simple(*rows, header="id,CT,label,Fold"))
    assert [split.validation for split in table.build(root).splits] == [("007", "p_1"), ("8", "p_2")]
    write(root, simple(*(f"{row},train" for row in rows), header="id,CT,label,fold,split"))
    refused(root, "keep one of 'split' and 'fold'")
