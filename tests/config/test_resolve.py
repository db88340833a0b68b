"""From files and changes to a complete experiment."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from torchio_seg.config.dumping import to_yaml
from torchio_seg.config.optimizations import OPTIMIZATIONS
from torchio_seg.config.reading import read_mapping
from torchio_seg.config.resolve import (
    find_file,
    is_layout,
    load,
    named_code,
    parse_set,
    resolve,
    shipped,
    shipped_folder,
)
from torchio_seg.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = sorted(shipped())


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_experiment_is_complete_and_explicit(name: str) -> None:
    """Nothing is left to defaults: what the file says is what the resolved experiment says."""
    file = shipped()[name]
    assert read_mapping(file) == load(file).model_dump(mode="json")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_experiment_says_what_it_is_and_how_to_run_it(name: str) -> None:
    first, second, third, *_ = shipped()[name].read_text(encoding="utf-8").splitlines()
    assert first.startswith("# ")
    assert second.startswith(f"# torchio-seg train --dataset {name}")
    assert re.match(r"# .*(Dice|minute|not yet trained|tried on)", third, re.IGNORECASE), "what to expect, as measured"


@pytest.mark.parametrize("name", SHIPPED)
def test_the_printed_experiment_loads_as_the_same(name: str, tmp_path: Path) -> None:
    experiment = load(shipped()[name], {"optimization.learning_rate": 3e-5, "sampling.patch_size": [32, 48, 64]})
    copy = tmp_path / "copy.yaml"
    copy.write_text(to_yaml(experiment), encoding="utf-8")
    assert load(copy) == experiment


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("training.epoch=3", ["training.epoch: unknown key", "did you mean 'epochs'?", "batch_size"]),
        ("trainin.epochs=3", ["trainin: unknown key", "did you mean 'training'?"]),
        ("training.epochs=many", ["training.epochs: got 'many'", "integer"]),
        ("training.epochs=true", ["training.epochs: got True", "integer"]),
        ("training.epochs=0", ["training.epochs: got 0", "greater than 0"]),
        ("training.precision=fp8", ["training.precision: got 'fp8'", "(allowed: fp32, bf16, fp16)"]),
        ("sampling.patch_size=[32, 32]", ["sampling.patch_size"]),
        ("optimization.learning_rate=.nan", ["optimization.learning_rate"]),
        ("network.name=resnet", ["network.name: unknown name 'resnet'", "segresnet"]),
        ("network.dropoutt=0.1", ["network.dropoutt: unknown key", "did you mean 'dropout'?"]),
        ("network.dropout=high", ["network.dropout: got 'high'"]),
        ("augmentation.spatial=[{name: flp}]", ["augmentation.spatial[0].name", "did you mean 'flip'?"]),
        ("augmentation.intensity=[{name: noise, std: 3}]", ["augmentation.intensity[0].std: got 3"]),
        (
            "augmentation.spatial=[{name: one_of, steps: [{name: flip}, {name: affine, degreez: 3}]}]",
            ["augmentation.spatial[0].steps[1].degreez: unknown key", "did you mean 'degrees'?"],
        ),
        (
            "augmentation.intensity=[{name: one_of, steps: [{name: one_of, steps: [{name: flip}]}]}]",
            ["augmentation.intensity[0].steps[0].steps[0].name: unknown name 'flip'"],
        ),
        ("augmentation.spatial=[{name: one_of, steps: []}]", ["augmentation.spatial[0].steps: got []", "at least 1"]),
        ("augmentation.spatial=[{name: one_of}]", ["augmentation.spatial[0].steps: must be given"]),
        ("augmentation.spatial=[{name: one_of, steps: [flip]}]", ["augmentation.spatial[0].steps[0]: got 'flip'"]),
        ("augmentation.intensity=[{name: ghosting, num_ghosts: [9, 4]}]", ["num_ghosts: got", "lower number first"]),
        ("loss=dice", ["loss: got 'dice'", "{name: NAME"]),
        ("augmentation=none", ["augmentation"]),
        ("augmentation.spatial=[flip]", ["augmentation.spatial[0]: got 'flip'"]),
        ("name=../outside", ["name: got '../outside'"]),
        ("split.test=1.5", ["split.test: got 1.5", "a share of the cases, from 0 to below 1, or a whole number"]),
        ("split.fold=some", ["split.fold: got 'some'; input should be a valid integer, or 'all'"]),
        ("preprocessing.window=[300, 100]", ["window is 300 to 100"]),
        ("preprocessing.percentiles=[99, 1]", ["percentiles are 99 and 1"]),
        ("preprocessing.normalization=window", ["window must give"]),
        ("dataset.kind=spine", ["dataset.kind: got 'spine'", "(allowed: brain, "]),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(assignment: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        load(shipped()["phantom"], parse_set([assignment]))
    for word in words:
        assert word in str(raised.value)


def test_every_mistake_is_listed_not_only_the_first() -> None:
    with pytest.raises(ConfigError) as raised:
        load(shipped()["phantom"], parse_set(["training.epoch=3", "network.dropoutt=1", "split.test=-2"]))
    assert all(key in str(raised.value) for key in ("training.epoch", "network.dropoutt", "split.test"))


def test_steps_inside_a_step_are_completed_and_come_whenever_they_are_drawn() -> None:
    given = "augmentation.spatial=[{name: one_of, steps: [{name: affine}, {name: elastic, probability: 0.3}]}]"
    [step] = load(shipped()["phantom"], parse_set([given])).augmentation.spatial
    affine, elastic = step.options["steps"]
    amounts = {"degrees": 15.0, "scale": 0.15, "isotropic": False, "shear": 0.0, "translation_mm": 0.0}
    assert affine == {"name": "affine", "probability": 1.0, **amounts}
    assert (elastic["probability"], elastic["control_points"]) == (0.3, 7)
    assert (step.options["probability"], step.options["weights"]) == (1.0, None)


def test_another_network_brings_its_own_defaults() -> None:
    experiment = load(shipped()["phantom"], parse_set(["network.name=segresnet", "network.dropout=0.4"]))
    assert experiment.network.options["dropout"] == 0.4
    assert "num_res_units" not in experiment.network.options
    assert experiment.network.options["init_filters"] == 16


@pytest.mark.parametrize("name", OPTIMIZATIONS)
def test_a_preset_is_written_out_in_full(name: str, tmp_path: Path) -> None:
    settings = {**read_mapping(shipped()["phantom"]), "optimization": name}
    experiment = resolve(settings, {}, "mine.yaml")
    assert experiment.optimization == OPTIMIZATIONS[name]
    assert experiment == load(shipped()["phantom"], parse_set([f"optimization={name}"]))
    copy = tmp_path / "copy.yaml"
    copy.write_text(to_yaml(experiment), encoding="utf-8")
    assert read_mapping(copy)["optimization"] == OPTIMIZATIONS[name].model_dump(mode="json")


def test_presets_are_the_published_values() -> None:
    theirs = OPTIMIZATIONS["nnunet_sgd"]
    assert (theirs.optimizer, theirs.learning_rate, theirs.momentum, theirs.nesterov) == ("sgd", 1e-2, 0.99, True)
    assert (theirs.weight_decay, theirs.schedule, theirs.power) == (3e-5, "poly", 0.9)
    assert (OPTIMIZATIONS["adamw"].optimizer, OPTIMIZATIONS["adamw"].schedule) == ("adamw", "warmup_cosine")


@pytest.mark.parametrize("first", [0, 1])
def test_a_preset_can_be_changed_in_whatever_order(first: int) -> None:
    given = ["optimization=nnunet_sgd", "optimization.learning_rate=0.02"]
    found = load(shipped()["phantom"], parse_set([given[first], given[1 - first]])).optimization
    assert found == OPTIMIZATIONS["nnunet_sgd"].model_copy(update={"learning_rate": 0.02})


def test_an_unknown_preset_names_those_there_are_beside_every_other_mistake() -> None:
    with pytest.raises(ConfigError) as raised:
        load(shipped()["phantom"], parse_set(["optimization=nnunet_sdg", "training.epochs=0"]))
    message = str(raised.value)
    assert "no preset 'nnunet_sdg', did you mean 'nnunet_sgd'? (allowed: nnunet_sgd, adamw)" in message
    assert "training.epochs: got 0" in message
    assert message.count("optimization") == 2, "said once, with the key to give instead"


def test_another_dataset_keeps_the_root() -> None:
    changes = {"dataset.root": "somewhere", "dataset.name": "decathlon"}
    section = load(shipped()["phantom"], changes).dataset
    assert section.root == Path("somewhere")
    assert "kind" not in section.options


def test_set_needs_a_key_and_a_value() -> None:
    with pytest.raises(ConfigError, match=r"section\.key=value"):
        parse_set(["training.epochs"])
    with pytest.raises(ConfigError, match="no keys below it"):
        load(shipped()["phantom"], parse_set(["seed.x=1"]))


def test_an_unknown_experiment_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'phantom'"):
        find_file("phantm", None)


def test_an_experiment_needs_a_dataset() -> None:
    with pytest.raises(ConfigError, match="dataset: must be given"):
        resolve({"name": "mine"}, {}, "mine.yaml")


def test_the_settings_lie_beside_the_package_in_a_checkout() -> None:
    assert shipped_folder() == REPOSITORY / "configs"


@pytest.mark.slow
def test_the_settings_are_inside_the_wheel(tmp_path: Path) -> None:
    """The wheel, unpacked elsewhere, finds its own experiments."""
    build = [sys.executable, "-c", "import hatchling.build, sys; print(hatchling.build.build_wheel(sys.argv[1]))"]
    subprocess.run([*build, str(tmp_path)], cwd=REPOSITORY, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    show = "from torchio_seg.config.resolve import shipped_folder, shipped; print(shipped_folder()); print(*shipped())"
    out = subprocess.run(
        [sys.executable, "-c", show],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed")},
        check=True,
        capture_output=True,
        text=True,
    )
    folder, names = out.stdout.splitlines()
    assert folder == str(tmp_path / "installed" / "torchio_seg" / "configs")
    assert names.split() == SHIPPED


def test_a_section_that_is_no_section_is_explained_and_can_be_replaced() -> None:
    settings = read_mapping(shipped()["phantom"])
    with pytest.raises(ConfigError, match="network: got 'unet'"):
        resolve({**settings, "network": "unet"}, {}, "mine.yaml")
    with pytest.raises(ConfigError, match="augmentation"):
        resolve({**settings, "augmentation": ["flip"]}, {}, "mine.yaml")
    assert resolve({**settings, "network": "unet"}, {"network.name": "segresnet"}, "x").network.name == "segresnet"


def test_own_code_is_found_wherever_it_is_named() -> None:
    settings = read_mapping(shipped()["phantom"])
    assert named_code(settings) == []
    for section in ("dataset", "network", "loss", "tracker"):
        assert named_code({**settings, section: {"name": "their.code"}}) == ["their.code"]
    steps = {"spatial": [{"name": "flip"}, {"name": "their.flip"}], "intensity": [{"name": "their.noise"}]}
    assert named_code({**settings, "augmentation": steps}) == ["their.flip", "their.noise"]
    hidden = {"name": "one_of", "steps": [{"name": "one_of", "steps": [{"name": "flip"}, {"name": "their.elastic"}]}]}
    assert named_code({**settings, "augmentation": {"spatial": [hidden]}}) == ["their.elastic"]
    assert named_code({**settings, "network": {"name": "unet", "parts": {"first": {"name": "their.block"}}}})


def test_a_layout_of_ones_own_needs_no_shipped_experiment() -> None:
    assert is_layout("own_layouts.build")
    assert all(map(is_layout, ("folders", "decathlon:Task04")))
    assert not is_layout("brats"), "an experiment of that name is shipped, and comes first"
    assert not any(map(is_layout, ("phantm", "./data", "", None)))
