"""Every data set answers to the names people use, and says what it is and how to get it."""

from __future__ import annotations

import re

import pytest

from torchio_seg import components
from torchio_seg.catalogue.decathlon import TASKS
from torchio_seg.catalogue.entry import Entry
from torchio_seg.catalogue.lookup import ENTRIES, find, of_experiment
from torchio_seg.config.reading import read_mapping
from torchio_seg.config.resolve import shipped
from torchio_seg.errors import UsageError


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_answers_to_its_number_and_its_name(task: Entry) -> None:
    number, organ = task.name[4:6], task.name[7:]
    spellings = [task.name, f"Task{number}", organ, f"decathlon:{int(number)}", f"decathlon:{number}"]
    spellings += [f"decathlon:Task{number}", f"decathlon:{organ}", f"Decathlon:{task.name}"]
    for spelling in spellings:
        for written in (spelling, spelling.lower(), spelling.upper()):
            assert find(written) is task


def test_the_tasks_are_numbered_and_their_archives_named_after_them() -> None:
    for number, task in enumerate(TASKS, 1):
        assert task.archive is not None
        assert task.name.startswith(f"Task{number:02d}_")
        assert task.archive.name == f"{task.name}.tar"
        assert task.archive.url.startswith("https://")
        assert task.archive.url.endswith(f"/{task.name}.tar")
        assert re.fullmatch("[0-9a-f]{32}", task.archive.md5)


def test_addresses_and_checksums_are_those_of_monai() -> None:
    from monai.apps.datasets import DecathlonDataset

    found = {task.name: (task.archive.url, task.archive.md5) for task in TASKS if task.archive}
    expected = {name: (url, DecathlonDataset.md5[name]) for name, url in DecathlonDataset.resource.items()}
    assert found == expected


def test_no_name_means_two_data_sets() -> None:
    spellings = [spelling.casefold() for entry in ENTRIES for spelling in (entry.name, *entry.aliases)]
    assert len(spellings) == len(set(spellings))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_says_everything(entry: Entry) -> None:
    assert all(fact.strip() for fact in (entry.title, entry.tree, entry.channels, entry.labels, *entry.how))
    assert len({bool(fact.strip()) for fact in (entry.cases, entry.licence, entry.size)}) == 1
    assert entry.how
    assert max(map(len, entry.tree.splitlines())) <= 68


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one() -> None:
    with pytest.raises(UsageError, match="no data set 'hipocampus', did you mean 'hippocampus'"):
        find("hipocampus")
    with pytest.raises(UsageError, match=r"decathlon:Task4x', did you mean 'task04'.*Task10_Colon") as error:
        find("decathlon:Task4x")
    assert "btcv" not in str(error.value)


def test_every_shipped_experiment_has_an_entry() -> None:
    for name, file in shipped().items():
        assert of_experiment(name, read_mapping(file)["dataset"]["name"]) is not None, name


@pytest.mark.parametrize("layout", components.names("datasets"))
def test_every_layout_has_an_entry(layout: str) -> None:
    assert of_experiment("mine", layout) is not None


@pytest.mark.parametrize(
    ("experiment", "layout", "entry"),
    [
        ("brats", "decathlon", "brats"),
        ("brats_tutorial", "decathlon", "brats"),
        ("torchio_tutorial_patches", "folders", "folders"),
        ("lctsc", "rtstruct", "lctsc"),
        ("mine", "decathlon", "decathlon"),
    ],
)
def test_an_experiment_finds_its_data_set_by_name_or_by_layout(experiment: str, layout: str, entry: str) -> None:
    found = of_experiment(experiment, layout)
    assert found is not None
    assert found.name == entry


def test_an_experiment_of_an_unknown_layout_has_none() -> None:
    assert of_experiment("mine", "my_layouts.special") is None
