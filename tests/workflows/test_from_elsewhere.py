"""Weights that were trained elsewhere score and predict as a model of ours with the same numbers."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from torchio_seg import TorchioSegError, checkpoint
from torchio_seg.cli import main
from torchio_seg.cli.screen import Screen
from torchio_seg.config.resolve import choose, load, shipped
from torchio_seg.volumes.nifti import create, read
from torchio_seg.workflows.cases import load_dataset
from torchio_seg.workflows.evaluate import evaluate_cases
from torchio_seg.workflows.from_elsewhere import Foreign, declared, evaluate_weights, open_weights
from torchio_seg.workflows.opening import load_model

SHAPE = (18, 17, 19)
CHANGES = {
    "dataset.labels": {"0": "background", "1": "liver", "2": "aorta"},
    "sampling.patch_size": [16, 16, 16],
    "preprocessing.spacing": "native",
    "network.feature_size": 4,
    "network.hidden_size": 24,
    "network.mlp_size": 32,
    "network.num_heads": 2,
    "training.precision": "fp32",
    "device": "cpu",
}


def monais() -> torch.nn.Module:
    """UNETR as the reference code for BTCV builds it, small."""
    from monai.networks.nets.unetr import UNETR

    torch.manual_seed(0)
    small = {"feature_size": 4, "hidden_size": 24, "mlp_dim": 32, "num_heads": 2, "proj_type": "perceptron"}
    return UNETR(1, 3, (16, 16, 16), norm_name="instance", conv_block=True, res_block=True, **small).eval()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five CTs in a datalist, of which two validate."""
    root = tmp_path_factory.mktemp("btcv")
    (root / "img").mkdir()
    (root / "label").mkdir()
    rng = np.random.default_rng(0)
    entries = []
    for number in range(5):
        label = np.zeros(SHAPE, np.uint8)
        label[3:9, 4:12], label[11:14, 5:9] = 1, 2
        create(root / "img" / f"img{number:04d}.nii.gz", rng.normal(0, 90, SHAPE).astype(np.float32), np.eye(4))
        create(root / "label" / f"img{number:04d}.nii.gz", label, np.eye(4))
        entries.append({"image": f"img/img{number:04d}.nii.gz", "label": f"label/img{number:04d}.nii.gz"})
    (root / "dataset_0.json").write_text(json.dumps({"training": entries[:3], "validation": entries[3:]}))
    return root


@pytest.fixture(scope="module")
def expected(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float | None]:
    """Dice of each case and organ, by the same network saved as a model of ours."""
    experiment = load(shipped()["btcv"], {**CHANGES, "dataset.root": str(root)})
    dataset = load_dataset(experiment)
    recipe = open_weights(Foreign(save(tmp_path_factory.mktemp("w") / "w.pt"), experiment)).card.recipe
    folder = tmp_path_factory.mktemp("ours") / "model"
    from torchio_seg.networks.unetr import build

    ours = build(1, 3, (16, 16, 16), feature_size=4, hidden_size=24, mlp_size=32, num_heads=2)
    ours.load_state_dict({k: v for k, v in monais().state_dict().items() if "norm_cross_attn" not in k})
    card = checkpoint.ModelCard(
        experiment.model_dump(mode="json"), "x", ("CT",), True, dataset.labels, recipe, (16, 16, 16)
    )
    checkpoint.save(folder, ours, card, {})
    scores = evaluate_cases(load_model(folder).predictor, dataset.choose(["img0003", "img0004"]), dataset)
    return {f"{score.case} {score.region}": score.dice for score in scores}


def save(file: Path, rename: Callable[[str], str] = str) -> Path:
    torch.save({rename(name): tensor for name, tensor in monais().state_dict().items()}, file)
    return file


def old(name: str) -> str:
    """As earlier MONAI and the reference code called it, behind DataParallel."""
    name = name.replace("patch_embedding.position_embeddings", "patch_embedding.position_embeddings_3d")
    return "module." + name.replace("vit.", "transformer.").replace(".mlp.linear", ".mlp.fc")


def plain(place: Path) -> Path:
    return save(place / "UNETR_model_best_acc.pth")


def nested(place: Path) -> Path:
    state = {f"module.backbone.{name}": tensor for name, tensor in monais().state_dict().items()}
    torch.save({"epoch": 3, "best_acc": 0.7, "state_dict": state}, place / "model.pt")
    return place / "model.pt"


def safe(place: Path) -> Path:
    save_file({name: tensor.clone() for name, tensor in monais().state_dict().items()}, place / "model.safetensors")
    return place / "model.safetensors"


def traced(place: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing, which is not ours
        torch.jit.save(torch.jit.trace(monais(), torch.randn(1, 1, 16, 16, 16), check_trace=False), place / "UNETR.pt")
    return place / "UNETR.pt"


def earlier(place: Path) -> Path:
    """With what MONAI 0.7 had and never called."""
    state = {old(name): tensor for name, tensor in monais().state_dict().items()}
    state["module.transformer.patch_embedding.cls_token"] = torch.zeros(1, 1, 24)
    for block in ("encoder2.blocks.0.1", "encoder2.blocks.1.1", "encoder3.blocks.0.1"):
        state[f"module.{block}.conv3.conv.weight"] = torch.zeros(4, 4, 1, 1, 1)
    torch.save({"state_dict": state}, place / "old.pt")
    return place / "old.pt"


@pytest.mark.parametrize("make", [plain, nested, safe, traced, earlier])
def test_every_kind_of_file_scores_as_the_model_itself(
    make: Callable[[Path], Path], root: Path, expected: dict[str, float | None], tmp_path: Path
) -> None:
    experiment = load(shipped()["btcv"], {**CHANGES, "dataset.root": str(root)})
    _, evaluation = evaluate_weights(Foreign(make(tmp_path), experiment, trust=make is traced))
    assert {f"{score.case} {score.region}": score.dice for score in evaluation.scores} == expected
    assert any(expected.values())


def test_a_torchscript_archive_is_not_opened_without_trust(root: Path, tmp_path: Path) -> None:
    experiment = load(shipped()["btcv"], {**CHANGES, "dataset.root": str(root)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.jit, which is old
        torch.jit.save(torch.jit.script(torch.nn.Conv3d(1, 3, 1)), tmp_path / "network.pt")
    with pytest.raises(TorchioSegError, match=r"--trust"):
        evaluate_weights(Foreign(tmp_path / "network.pt", experiment))


@pytest.mark.parametrize("lost", ["out.conv.conv.weight", "decoder2.transp_conv.conv.weight"])
def test_nothing_may_be_missing_not_even_of_the_last_layer(lost: str, root: Path, tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in monais().state_dict().items() if name != lost}
    torch.save(state, tmp_path / "model.pt")
    experiment = load(shipped()["btcv"], {**CHANGES, "dataset.root": str(root)})
    with pytest.raises(TorchioSegError, match=rf"{lost} \(.*\) is not there") as raised:
        evaluate_weights(Foreign(tmp_path / "model.pt", experiment))
    assert "tested whole" in str(raised.value)


def test_a_name_that_nobody_knows_is_an_error_that_has_it(root: Path, tmp_path: Path) -> None:
    torch.save({**monais().state_dict(), "encoder1.attention.weight": torch.zeros(3)}, tmp_path / "model.pt")
    experiment = load(shipped()["btcv"], {**CHANGES, "dataset.root": str(root)})
    with pytest.raises(TorchioSegError, match=r"encoder1\.attention\.weight \(3 there\) has no place"):
        evaluate_weights(Foreign(tmp_path / "model.pt", experiment))


def test_what_the_settings_name_needs_no_data() -> None:
    known = declared(load(shipped()["btcv"]))
    assert known is not None
    assert known.channels == ("CT",)
    assert known.labels.num_channels == 14
    assert declared(choose("datalist", None, {})) is None
    assert declared(choose("phantom", None, {})) is None
    learns = {"preprocessing.normalization": "percentile"}
    assert declared(load(shipped()["btcv"], learns)) is None


def run(*words: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["torchio-seg", *map(str, words)])
        Screen.shared.cache_clear()
        with pytest.raises(SystemExit) as end:
            main()
    return int(end.value.code or 0)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    settings = load(shipped()["btcv"], CHANGES).model_dump(mode="json")
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path / "own.yaml"


def test_the_commands_say_which_cases_and_which_dice(
    root: Path, config: Path, tmp_path: Path, expected: dict[str, float], capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("--config", config, "--weights", nested(tmp_path), "--device", "cpu")
    assert run("evaluate", *words, "--root", root, "--overlap", "0.5", "-o", tmp_path / "scores") == 0
    said = capfd.readouterr()
    assert "2 validation cases" in said.err
    assert "img0003, img0004" in said.err
    assert "liver" in said.out
    assert "aorta" in said.out
    written = json.loads((tmp_path / "scores" / "evaluation" / "validation.json").read_text())
    assert written["part"] == "validation"
    lines = (tmp_path / "scores" / "evaluation" / "validation.jsonl").read_text().splitlines()
    assert [json.loads(line).get("case") for line in lines] == ["img0003", "img0004", None], "the last is the whole"
    scan = root / "img" / "img0003.nii.gz"
    assert run("predict", scan, *words, "-o", tmp_path / "found.nii.gz") == 0
    found = read(tmp_path / "found.nii.gz").array[0]
    truth = read(root / "label" / "img0003.nii.gz").array[0]
    dice = 2 * ((found == 1) & (truth == 1)).sum() / ((found == 1).sum() + (truth == 1).sum())
    assert dice == pytest.approx(expected["img0003 liver"])


def test_words_that_contradict_each_other_are_refused(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = plain(tmp_path)
    for words, said in (
        (("evaluate", "--weights", file), "--config FILE"),
        (("evaluate", "--config", config), "--weights"),
        (("evaluate", tmp_path, "--config", config, "--weights", file), "name one of them"),
        (("predict", file, "--weights", file, "--config", config, "--model", tmp_path), "give one of them"),
        (("predict", file, "--root", tmp_path), "--root"),
    ):
        assert run(*words) == 2
        assert said in capfd.readouterr().err
