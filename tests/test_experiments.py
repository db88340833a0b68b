"""Every shipped experiment and layout from its data to its scores, on phantoms."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from torchio_seg import components
from torchio_seg.cli import main
from torchio_seg.config.resolve import is_layout, load, shipped
from torchio_seg.records import Case, Dataset
from torchio_seg.workflows.cases import load_dataset

Call = Callable[..., str]

SMALL_UNET = ("network.channels=[8,16]", "sampling.patch_size=[24,24,24]")
SMALL_SEGRESNET = ("network.init_filters=8", "network.blocks_down=[1,1]", "network.blocks_up=[1]")
SHORT = ("device=cpu", "training.epochs=1", "training.batch_size=2", "sampling.patches_per_case=1")
SHORT += ("sampling.num_workers=0", "split.validation=1")
"""Of every experiment; its precision, preprocessing, augmentation, loss and optimizer are as shipped."""


@dataclass(frozen=True)
class Small:
    """How an experiment is made small enough to run in seconds."""

    layout: str
    """Of `torchio-seg phantom`."""
    settings: tuple[str, ...]
    """What makes patches and network small."""
    channels: int | None = None
    """Of a brain; None: all."""
    shape: str = "24"

    @property
    def words(self) -> tuple[str, ...]:
        """For `torchio-seg phantom`, besides layout, number and shape."""
        return () if self.channels is None else ("--channels", str(self.channels))


SMALL = {
    "phantom": Small("decathlon", (*SMALL_UNET, "dataset.cases=6", "dataset.shape=[24,24,24]")),
    "decathlon": Small("decathlon", SMALL_UNET),
    "brats": Small("brats2021", (*SMALL_SEGRESNET, "sampling.patch_size=[24,24,24]")),
    "brats_tutorial": Small(
        "task01", (*SMALL_SEGRESNET, "sampling.patch_size=[24,24,16]", "prediction.patch_size=[24,24,24]")
    ),
    "btcv": Small(
        "btcv",
        (
            "network.feature_size=4",
            "network.hidden_size=24",
            "network.mlp_size=48",
            "network.num_heads=2",
            "sampling.patch_size=[32,32,16]",
        ),
        shape="40,40,32",
    ),
    "datalist": Small("datalist", SMALL_UNET, channels=2),
    "table": Small("table", SMALL_UNET, channels=2),
    "folders": Small("folders", SMALL_UNET, channels=1),
    "torchio_tutorial": Small(
        "modes",
        ("network.channels=[8,16]", "preprocessing.spacing=[1.0,1.0,1.0]", "preprocessing.crop_or_pad=[24,24,16]"),
        channels=1,
    ),
    "torchio_tutorial_patches": Small("modes", SMALL_UNET, channels=1),
    "nnunet": Small("nnunet", SMALL_UNET),
    "rtstruct": Small("rtstruct", (*SMALL_UNET, "dataset.rois=[Lung_R,Lung_L]")),
    "lctsc": Small(
        "rtstruct",
        (
            "network.channels=[8,16]",
            "preprocessing.resize=[24,24,24]",
            "prediction.patch_size=[24,24,24]",
            "split.test=1",
        ),
    ),
}
"""By the name of the file in configs/, or of the layout."""
LAYOUTS = {name for name in components.names("datasets") if is_layout(name)}


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run `torchio-seg` with these words in a folder of the test's own, and give what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["torchio-seg", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        captured = capfd.readouterr()
        assert not end.value.code, f"{' '.join(map(str, words))}\n{captured.out}{captured.err}"
        return captured.out

    return run


@pytest.fixture(params=sorted({*shipped(), *LAYOUTS}))
def name(request: pytest.FixtureRequest) -> str:
    assert request.param in SMALL, (
        f"'{request.param}' is shipped but not tried: add it to SMALL in {__file__}, with the phantom layout that it "
        "reads and the settings that make it small"
    )
    return str(request.param)


def test_nothing_is_tried_that_is_not_shipped() -> None:
    assert set(SMALL) - set(shipped()) - LAYOUTS == set()


def assignments(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def files_of(dataset: Dataset, case: Case) -> list[str]:
    """The case as `predict` takes it: a file, or a file for each channel."""
    if len(case.images) == 1:
        return [str(case.images[0])]
    return [f"{channel}={path}" for channel, path in zip(dataset.channels, case.images, strict=True)]


def test_experiment_goes_from_data_to_scores(name: str, call: Call, tmp_path: Path) -> None:
    small, root, run = SMALL[name], tmp_path / "data", tmp_path / "run"
    settings = assignments(*SHORT, *small.settings)
    call("phantom", root, "--layout", small.layout, "--cases", 6, "--shape", small.shape, *small.words)
    call("check", "--dataset", name, "--root", root, *settings)
    Path("mine.yaml").write_text(call("config", "show", "--dataset", name))  # of a layout, without a plan's minute
    named = ["--config", "mine.yaml"] if name in LAYOUTS else ["--dataset", name]
    call("train", *named, "--root", root, *settings, "-o", run)
    require_finite_steps(run)
    dataset = load_dataset(load(run / "config.yaml"))
    split = json.loads((run / "run.json").read_text())["split"]
    case = dataset.choose(split["validation"])[0]
    call("predict", *files_of(dataset, case), "--model", run, "-o", tmp_path / "seg.nii.gz")
    require_label_map(tmp_path / "seg.nii.gz", case, dataset)
    call("evaluate", run)
    with next((run / "evaluation").glob("*.csv")).open() as file:
        rows = list(csv.DictReader(file))
    assert {row["case"] for row in rows} == set(split["test"] or split["validation"])
    assert {row["region"] for row in rows} == {region.name for region in dataset.labels.regions}


def require_finite_steps(run: Path) -> None:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if record["kind"] == "step"]
    assert losses
    assert np.isfinite(losses).all()


def require_label_map(path: Path, case: Case, dataset: Dataset) -> None:
    """The prediction lies where the image does and holds what the data set's label maps hold."""
    image, label = nib.load(case.images[0]), nib.load(path)
    assert label.shape == image.shape[:3]
    np.testing.assert_array_equal(label.affine, image.affine)
    assert set(np.unique(label.dataobj)) <= {0, *(region.value for region in dataset.labels.regions)}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(shipped()))
def test_experiment_takes_a_step_at_its_full_size(name: str, call: Call, tmp_path: Path) -> None:
    """Patch, batch and network as shipped; one small phantom is filled with background up to the patch."""
    small, root, run = SMALL[name], tmp_path / "data", tmp_path / "run"
    as_shipped = load(shipped()[name])
    patch = list(as_shipped.sampling.patch_size)
    settings = [f"sampling.patches_per_case={as_shipped.training.batch_size}", f"preprocessing.crop_or_pad={patch}"]
    settings += ["device=cpu", "training.epochs=1", "sampling.num_workers=0", "split.fold=all", "split.test=0"]
    settings += [setting for setting in small.settings if setting.startswith("dataset.rois")]
    settings += ["dataset.cases=1"] if name == "phantom" else []
    call("phantom", root, "--layout", small.layout, "--cases", 1, *small.words)
    call("train", "--dataset", name, "--root", root, *assignments(*settings), "-o", run)
    assert json.loads((run / "run.json").read_text())["patch_size"] == patch
    require_finite_steps(run)
