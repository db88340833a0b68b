"""What every layout in torchio_seg/datasets keeps; `make_root` in its own test file lays out a small data set."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from torchio_seg import components
from torchio_seg.records import Dataset

LAYOUTS = components.names("datasets")


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def root(layout: str, tmp_path: Path) -> Path:
    tests = importlib.import_module(f"test_{layout}")
    assert hasattr(tests, "make_root"), (
        f"tests/datasets/test_{layout}.py needs make_root(folder) -> root of a small set"
    )
    return tests.make_root(tmp_path)


def read(layout: str, root: Path) -> Dataset:
    tests = importlib.import_module(f"test_{layout}")
    return components.assemble("datasets", {"name": layout, **getattr(tests, "OPTIONS", {})}, root)


def test_cases_are_sorted_and_unique(layout: str, root: Path) -> None:
    ids = [case.id for case in read(layout, root).cases]
    assert ids == sorted(set(ids))
    assert len(ids) >= 2


def test_every_file_exists(layout: str, root: Path) -> None:
    dataset = read(layout, root)
    for case in dataset.cases:
        assert case.images
        assert all(path.is_file() for path in case.images)
        assert case.label is None or case.label.is_file()


def test_reading_twice_gives_the_same(layout: str, root: Path) -> None:
    assert read(layout, root) == read(layout, root)


def test_labels_have_a_background_and_regions_of_declared_values(layout: str, root: Path) -> None:
    labels = read(layout, root).labels
    assert 0 in labels.names
    assert all(set(region.labels) <= set(labels.names) - {0} for region in labels.regions)
    assert len({region.value for region in labels.regions}) == len(labels.regions)


def test_options_can_be_checked_against_the_signature(layout: str) -> None:
    model = components.options_model("datasets", layout)
    parameters = set(inspect.signature(components.find("datasets", layout)).parameters)
    assert set(model.model_fields) == (parameters - {"root"}) | {"name"}


def test_importing_stays_light(layout: str) -> None:
    code = (
        f"import sys, torchio_seg.datasets.{layout}; print({{'torch', 'torchio', 'monai', 'wandb'}} & set(sys.modules))"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "set()"
