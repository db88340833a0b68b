"""The commands as a user types them: what they make, what they say, how they end."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from small_runs import OWN_NETWORK, SETTINGS, TINY, Call

from torchio_seg import checkpoint
from torchio_seg.config.dumping import to_yaml
from torchio_seg.config.reading import read_mapping
from torchio_seg.config.resolve import choose, load, shipped
from torchio_seg.devices import usable
from torchio_seg.volumes.nifti import create

COMMANDS = [
    "demo",
    "phantom",
    "train",
    "crossval",
    "predict",
    "evaluate",
    "export",
    "datasets",
    "config",
    "config show",
    "config schema",
]
PATIENCE_S = 300
"""Many times what anything here takes on a busy machine: only what hangs meets it."""


@pytest.fixture
def work(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trained folder, seen from a current folder of the test's own."""
    (tmp_path / "runs").symlink_to(trained / "runs")
    (tmp_path / "data").symlink_to(trained / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def first_image(work: Path) -> Path:
    return work / "data" / "phantom" / "imagesTr" / "phantom_000.nii.gz"


# ── training ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_keeps_everything_that_its_numbers_depend_on(trained: Path) -> None:
    run = (trained / "runs" / "latest").resolve()
    assert run.parent.name == "phantom"
    assert load(run / "config.yaml").model_dump(mode="json") == read_mapping(run / "config.yaml")
    facts = json.loads((run / "run.json").read_text())
    split = facts["split"]
    assert sorted(split["training"] + split["validation"] + split["test"]) == [f"phantom_{i:03d}" for i in range(8)]
    assert facts["versions"]["torch"] == torch.__version__
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [r["kind"] for r in records if r["kind"] != "step"] == ["epoch", "epoch", "validation", "evaluation"]
    assert (run / "curves.svg").read_text().startswith("<svg")
    assert sorted(path.name for path in (run / "checkpoints" / "last").iterdir()) == [
        "model.json",
        "model.safetensors",
        "trainer.pt",
    ]


def test_the_table_the_csv_and_the_json_agree(work: Path, call: Call) -> None:
    result = call("evaluate", "runs/latest")
    assert result.code == 0
    run = (work / "runs" / "latest").resolve()
    content = json.loads((run / "evaluation" / "test.json").read_text())
    with (run / "evaluation" / "test.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(content["cases"]) == 3 * len({row["case"] for row in rows})
    for summary in content["regions"]:
        values = [float(r["dice"]) for r in rows if r["region"] == summary["region"] and r["dice"] != "n/a"]
        assert summary["mean_dice"] == (pytest.approx(sum(values) / len(values), abs=1e-5) if values else None)
    shown = "n/a" if content["mean_dice"] is None else f"{content['mean_dice']:.3f}"
    assert shown in result.out


def test_the_same_seed_gives_the_same_weights_and_another_does_not(work: Path, call: Call) -> None:
    def weights(name: str, *more: str) -> dict[str, torch.Tensor]:
        result = call("train", "--dataset", "phantom", *TINY, *more, "-o", work / name)
        assert result.code == 0, result.err
        return weights_of(work / name)

    first = weights_of(work / "runs" / "latest")
    again = weights("again", "--set", "sampling.num_workers=2")
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    other = weights("other", "--seed", "5")
    assert not all(torch.equal(tensor, other[name]) for name, tensor in first.items())


def test_a_stopped_training_saves_and_goes_on_to_the_same_weights_as_one_never_stopped(work: Path, call: Call) -> None:
    """Stopped in a process of its own, by either signal; another one, which knows only what is saved, goes on."""
    words = ["train", "--dataset", "phantom", *TINY, "--set", "training.epochs=3"]
    assert call(*words, "-o", work / "whole").code == 0
    whole = weights_of(work / "whole")
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        folder = work / number.name
        command = [sys.executable, "-m", "torchio_seg", *words, "--set", "sampling.num_workers=1", "-o", str(folder)]
        ended, out = stopped(command, number, once=lambda run=folder: step_numbers(run))
        assert ended == code
        assert f"--resume {folder}" in out
        steps = last_step(folder)
        done = call("train", "--resume", folder)
        assert done.code == 0, done.err
        assert last_step(folder) > steps
        numbers = step_numbers(folder)
        assert numbers == list(range(1, len(numbers) + 1))
        resumed = weights_of(folder)
        assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())


def stopped(command: list[str], number: signal.Signals, *, once: Callable[[], object]) -> tuple[int, str]:
    """The exit code and the words of a command that gets a signal as soon as something is so."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            end = time.monotonic() + PATIENCE_S
            while not once():
                assert child.poll() is None, "it ended before"
                assert time.monotonic() < end
                time.sleep(0.05)
            child.send_signal(number)
            out, _ = child.communicate(timeout=PATIENCE_S)
        finally:
            child.kill()
    return child.returncode, out


def step_numbers(run: Path) -> list[int]:
    """Of the whole lines in the journal."""
    journal = run / "metrics.jsonl"
    lines = journal.read_text().splitlines(keepends=True) if journal.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("\n")]
    return [record["step"] for record in records if record["kind"] == "step"]


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    last = run / "checkpoints" / "last"
    return checkpoint.read_weights(last, checkpoint.read_card(last))


def last_step(folder: Path) -> int:
    return int(checkpoint.read_card(folder / "checkpoints" / "last").progress["step"] or 0)


def test_a_finished_training_can_be_extended_and_keeps_its_split_when_cases_are_added(
    trained: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept for the test stays there, and the recipe learnt at first is the one that is used on."""
    monkeypatch.chdir(tmp_path)
    root, folder = tmp_path / "task", tmp_path / "run"
    shutil.copytree(trained / "data" / "phantom", root)
    content = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps({**content, "training": content["training"][:6]}))
    small = [word for setting in SETTINGS if "dataset" not in setting for word in ("--set", setting)]
    mine = tmp_path / "mine.yaml"
    mine.write_text(to_yaml(choose("decathlon", None, {"network.channels": [8, 16]})))
    begun = call("train", "--config", mine, "--root", root, *small, "-o", folder)
    assert begun.code == 0, begun.err
    before = json.loads((folder / "run.json").read_text())
    (root / "dataset.json").write_text(json.dumps(content))
    root.rename(tmp_path / "moved")
    done = call("train", "--resume", folder, "--epochs", "3", "--root", tmp_path / "moved")
    assert done.code == 0, done.err
    after = json.loads((folder / "run.json").read_text())
    parts = (after["split"][part] for part in ("training", "validation", "test"))
    assert {case for part in parts for case in part} == {f"phantom_{i:03d}" for i in range(6)}
    assert (after["split"], after["preprocessing"]) == (before["split"], before["preprocessing"])
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records if record["kind"] == "epoch"] == [1, 2, 3]


def test_a_finished_training_says_at_once_that_nothing_is_left_and_how_there_would_be(work: Path, call: Call) -> None:
    record = Path("runs/latest/metrics.jsonl")
    before = record.read_text()
    result = call("train", "--resume", "runs/latest", "--root", "not/looked/at")
    assert result.code == 0, result.err
    assert "are done; --epochs, --steps or --max-time with more of it trains on" in result.err
    assert f"model      {Path('runs/latest').resolve()}" in result.out
    assert record.read_text() == before


def test_a_run_without_its_data_does_not_make_other_data(trained: Path, tmp_path: Path, call: Call) -> None:
    shutil.copytree(trained / "runs", tmp_path / "runs", symlinks=True)
    gone = tmp_path / "gone"
    result = call("evaluate", tmp_path / "runs" / "latest", "--root", gone)
    assert result.code == 2
    assert "--root" in result.err
    assert not gone.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--dataset", "phantom", "--config", "mine.yaml"],
        ["--dataset", "phantom", "--resume", "runs/latest"],
        ["--resume", "runs/latest", "-o", "elsewhere"],
    ],
)
def test_contradicting_words_are_refused(work: Path, call: Call, words: list[str]) -> None:
    result = call("train", *words)
    assert result.code == 2
    assert "give one of them" in result.err


def test_a_training_without_held_out_cases_says_which_model_it_left(work: Path, call: Call) -> None:
    settings = ["--set", "split.validation=0", "--set", "split.test=0", "--epochs", 1]
    result = call("train", "--dataset", "phantom", *TINY, *settings, "-o", work / "all")
    assert result.code == 0, result.err
    assert str(work / "all" / "checkpoints" / "last") in result.out
    assert "Dice" not in result.out
    assert not (work / "all" / "evaluation").exists()


def test_a_resumed_training_keeps_its_settings(work: Path, call: Call) -> None:
    result = call("train", "--resume", "runs/latest", "--batch-size", 7)
    assert result.code == 2
    assert "training.batch_size differ" in result.err


def test_a_folder_that_holds_a_training_is_refused(work: Path, call: Call) -> None:
    result = call("train", "--dataset", "phantom", *TINY, "-o", (work / "runs" / "latest").resolve())
    assert result.code == 2
    assert "already holds" in result.err


def test_a_network_of_the_users_trains_and_predicts_only_with_trust(
    work: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "scratch").mkdir()
    (work / "scratch" / "mine_of_test.py").write_text(
        "import torch\n"
        "def build(in_channels: int, out_channels: int, patch_size, *, width: int = 4):\n"
        "    return torch.nn.Sequential(torch.nn.Conv3d(in_channels, width, 3, padding=1), torch.nn.ReLU(),\n"
        "                               torch.nn.Conv3d(width, out_channels, 1))\n"
    )
    monkeypatch.syspath_prepend(work / "scratch")
    folder = work / "own"
    result = call("train", "--dataset", "phantom", "--network", "mine_of_test.build", *OWN_NETWORK, "-o", folder)
    assert result.code == 0, result.err
    refused = call("predict", first_image(work), "--model", folder)
    assert refused.code == 2
    assert "--trust" in refused.err
    assert call("predict", first_image(work), "--model", folder, "--trust").code == 0


def test_a_model_that_names_code_anywhere_runs_none_of_it_without_trust(work: Path, call: Call) -> None:
    folder = work / "model"
    shutil.copytree(work / "runs" / "latest" / "checkpoints" / "last", folder)
    (work / "evil_of_test.py").write_text("open('was_executed', 'w').close()\ndef build(exclusive): ...\n")
    card = json.loads((folder / "model.json").read_text())
    card["experiment"]["loss"] = {"name": "evil_of_test.build"}
    (folder / "model.json").write_text(json.dumps(card))
    for command in ([sys.executable, "-m", "torchio_seg"], [str(Path(sys.executable).with_name("torchio-seg"))]):
        done = subprocess.run(
            [*command, "predict", str(first_image(work)), "--model", str(folder)],
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert "--trust" in done.stderr
    assert not (work / "was_executed").exists()


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["--dataset", "phantm"], ["no shipped experiment or layout 'phantm'", "did you mean 'phantom'"]),
        ([], ["--dataset NAME", "phantom"]),
        (["--config", "gone.yaml"], ["gone.yaml"]),
        (["--dataset", "phantom", "--set", "training.epoch=1"], ["did you mean 'epochs'"]),
        (["--dataset", "phantom", "--patch-size", "50"], ["50 x 50 x 50", "multiple of", "use 48 x 48 x 48"]),
        (["--dataset", "phantom", "--patch-size", "a"], ["--patch-size a", "96,96,64"]),
        (["--dataset", "phantom", "--network", "nothere"], ["unknown name 'nothere'", "unet"]),
        (
            ["--dataset", "phantom", "--device", "tpu9"],
            ["--device: got 'tpu9'; there is no such device (allowed: auto, cpu, cuda"],
        ),
        pytest.param(
            ["--dataset", "phantom", "--patch-size", "16"],
            ["bf16", "48"],
            marks=pytest.mark.skipif(usable(torch.device("cpu"), "bf16") != "bf16", reason="fp32 is used in its place"),
        ),
        (["--dataset", "phantom", "--set", "loss.name=dice_bce"], ["dice_ce"]),
    ],
)
def test_the_users_mistakes_end_in_one_message_and_no_run(
    work: Path, call: Call, words: list[str], messages: list[str]
) -> None:
    before = sorted((work / "runs").rglob("run.json"))
    small = ["--set", "dataset.cases=8", "--set", "dataset.shape=[32,32,32]"] if "phantom" in words else []
    result = call("train", *small, *words)
    assert result.code == 2, result.err
    for message in messages:
        assert message in result.err
    assert "Traceback" not in result.err
    assert sorted((work / "runs").rglob("run.json")) == before


def test_data_that_is_not_there_is_said_with_where_it_was_looked_for(work: Path, call: Call) -> None:
    result = call("train", "--dataset", "decathlon", "--root", "nowhere/Task04")
    assert result.code == 2
    assert "nowhere/Task04" in result.err
    assert "--root" in result.err


def test_an_output_place_that_cannot_be_is_the_users_mistake(work: Path, call: Call) -> None:
    (work / "file").write_text("x")
    for place in ("file/x", "out.png"):
        result = call("predict", first_image(work), "-o", place)
        assert result.code == 2
        assert place.split("/")[0] in result.err
        assert "unexpected" not in result.err


def test_a_traceback_is_shown_only_when_asked_for(trained: Path) -> None:
    command = [sys.executable, "-m", "torchio_seg", "train", "--config", "gone.yaml"]
    quiet = subprocess.run(command, cwd=trained, capture_output=True, text=True, check=False)
    loud = subprocess.run([*command, "--debug"], cwd=trained, capture_output=True, text=True, check=False)
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr


# ── prediction ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_prediction_lies_in_the_current_folder_on_the_inputs_own_grid(work: Path, call: Call) -> None:
    image = first_image(work)
    result = call("predict", image)
    assert result.code == 0, result.err
    assert "model runs" in result.out.replace(str(work), "")
    original, written = nib.load(image), nib.load(work / "phantom_000_seg.nii.gz")
    assert written.shape == original.shape[:3]
    assert np.array_equal(written.affine, original.affine)
    assert written.get_data_dtype() == np.uint8
    assert set(np.unique(written.dataobj)) <= {0, 1, 2, 3}


def test_an_output_is_replaced_only_when_asked_for(work: Path, call: Call) -> None:
    image = first_image(work)
    assert call("predict", image).code == 0
    refused = call("predict", image)
    assert refused.code == 2
    assert "--overwrite" in refused.err
    assert call("predict", image, "--overwrite").code == 0


def test_masks_and_probabilities_agree_with_the_label_map(work: Path, call: Call) -> None:
    result = call("predict", first_image(work), "-o", "out", "--regions", "--probabilities")
    assert result.code == 0, result.err
    label = np.asarray(nib.load(work / "out" / "phantom_000_seg.nii.gz").dataobj)
    probabilities = np.asarray(nib.load(work / "out" / "phantom_000_probabilities.nii.gz").dataobj)
    assert probabilities.shape == (*label.shape, 3)
    assert probabilities.dtype == np.float32
    expected = np.zeros_like(label)
    for number, (name, value) in enumerate((("whole_tumor", 1), ("tumor_core", 2), ("enhancing_tumor", 3))):
        mask = np.asarray(nib.load(work / "out" / f"phantom_000_{name}.nii.gz").dataobj)
        assert np.array_equal(mask == 1, label >= value)  # whole 1 to 3, core 2 and 3, enhancing 3
        expected[probabilities[..., number] > 0.5] = value
    assert np.array_equal(label, expected)


def test_one_file_a_channel_gives_what_one_file_of_all_gives(work: Path, call: Call) -> None:
    image = nib.load(first_image(work))
    array = np.asarray(image.dataobj)
    words = []
    for number, channel in enumerate(("FLAIR", "T1w", "T1gd", "T2w")):
        path = work / f"pat_{channel}.nii.gz"
        create(path, array[..., number], image.affine)
        words.append(f"{channel}={path}")
    assert call("predict", first_image(work)).code == 0
    assert call("predict", *words).code == 0
    both = [np.asarray(nib.load(work / f"{name}_seg.nii.gz").dataobj) for name in ("phantom_000", "pat")]
    assert np.array_equal(*both)


def test_a_folder_is_predicted_and_a_broken_volume_in_it_is_listed(work: Path, call: Call) -> None:
    (work / "in").mkdir()
    for image in sorted((work / "data" / "phantom" / "imagesTr").glob("*.nii.gz"))[:3]:
        shutil.copy(image, work / "in")
    broken = work / "in" / "phantom_001.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-500])
    result = call("predict", "in", "-o", "out")
    assert result.code == 1
    assert "phantom_001.nii.gz" in result.out
    assert (result.out + result.err).count("copy or download it again") == 1
    assert sorted(path.name for path in (work / "out").iterdir()) == [
        "phantom_000_seg.nii.gz",
        "phantom_002_seg.nii.gz",
    ]


def test_a_single_broken_or_missing_volume_leaves_no_file(work: Path, call: Call) -> None:
    broken = work / "broken.nii.gz"
    broken.write_bytes(first_image(work).read_bytes()[:3000])
    create(work / "flat.nii.gz", np.zeros((4, 20, 20, 20), np.int16), np.eye(4))
    for path, code in ((broken, 1), (work / "gone.nii.gz", 2), (work / "flat.nii.gz", 1)):
        result = call("predict", path)
        assert result.code == code
        assert path.name in result.err
    assert not list(work.glob("*_seg*"))


def test_an_implicit_model_of_another_kind_is_refused(work: Path, call: Call) -> None:
    rng = np.random.default_rng(0)
    ct = rng.normal(40, 20, (4, 20, 20, 20))
    ct[:, :5] = -1000
    create(work / "ct.nii.gz", ct.astype(np.int16), np.eye(4))
    create(work / "one.nii.gz", ct[:1].astype(np.int16), np.eye(4))
    result = call("predict", "ct.nii.gz")
    assert result.code == 1
    assert "looks like CT" in result.err
    assert "--model" in result.err
    assert call("predict", "ct.nii.gz", "--model", "runs/latest").code == 0
    result = call("predict", "one.nii.gz")
    assert result.code == 1
    assert "has 1 channel, the model takes 4" in result.err


def test_prediction_settings_may_differ_from_trainings_within_what_the_network_takes(work: Path, call: Call) -> None:
    image = first_image(work)
    words = ["--overwrite", "--overlap", 0.25, "--blending", "crop", "--batch-size", 3]
    assert call("predict", image, "--patch-size", 24, *words).code == 0
    refused = call("predict", image, "--patch-size", 25, *words)
    assert refused.code == 2
    assert "prediction.patch_size" in refused.err
    assert call("predict", image, "--overlap", 1.5).code == 2
    assert call("predict", image, "--blending", "smooth").code == 2


def test_no_model_yet_says_how_to_get_one(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("predict", "a.nii.gz")
    assert result.code == 2
    assert "torchio-seg train" in result.err


# ── looking things up ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_a_short_form_and_names_every_option(command: str, call: Call) -> None:
    short, long = call(*command.split(), "-h"), call(*command.split(), "--help")
    assert short.code == long.code == 0
    assert short.out == long.out
    if command != "config":
        assert "--debug" in short.out


HEAVY = ("torch", "torchio", "monai", "numpy", "nibabel", "yaml")
OURS = "from torchio_seg.cli import main"
SMALLEST = (
    "import typer; main = typer.Typer(rich_markup_mode='rich'); main.callback()(lambda: None)\n"
    "@main.command()\ndef train(epochs: int = 1) -> None: ..."
)


def processor_seconds(program: str, *words: str) -> float:
    script = (
        f"import sys, time; start = time.process_time(); sys.argv = ['torchio-seg', *sys.argv[1:]]\n{program}\n"
        f"try: main()\nexcept SystemExit: pass\nprint([name for name in {HEAVY} if name in sys.modules],"
        "time.process_time() - start, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    heavy, seconds = done.stderr.strip().rsplit(" ", 1)
    assert heavy == "[]", words
    return float(seconds)


def test_help_and_version_load_nothing_heavy_and_take_little_more_than_typer() -> None:
    """Next to the smallest program that typer can make: how long that takes depends on the machine."""
    for words in (["--help"], ["train", "--help"], ["predict", "-h"], ["--version"]):
        ours, smallest = float("inf"), float("inf")
        for _ in range(5):
            ours = min(ours, processor_seconds(OURS, *words))
            smallest = min(smallest, processor_seconds(SMALLEST, "train", "--help"))
            if ours < 3 * smallest:
                break
        assert ours < 3 * smallest, words


def test_the_shown_configuration_can_be_trained_from(work: Path, call: Call) -> None:
    result = call("config", "show", "--dataset", "phantom", "--set", "training.epochs=3")
    (work / "mine.yaml").write_text(result.out)
    assert load(work / "mine.yaml") == load(shipped()["phantom"], {"training.epochs": 3})


def test_the_schema_is_json(call: Call) -> None:
    schema = json.loads(call("config", "schema").out)
    assert "training" in schema["properties"]


def test_the_experiments_are_listed(work: Path, call: Call) -> None:
    result = call("datasets")
    assert result.code == 0
    for name in shipped():
        assert name in result.out


def test_phantoms_are_written_once(tmp_path: Path, call: Call) -> None:
    words = ["--cases", 2, "--shape", "24", "--kind", "thorax", "--seed", 3]
    assert call("phantom", tmp_path / "p", *words).code == 0
    assert len(list((tmp_path / "p" / "imagesTr").glob("*.nii.gz"))) == 2
    assert call("phantom", tmp_path / "p", *words).code == 2
    assert call("phantom", tmp_path / "q", "--kind", "leg").code == 2
