"""Which points the user's words stand for."""

from __future__ import annotations

from typing import Any

import pytest
from measured_points import bench

from torchio_seg.errors import UsageError
from torchio_seg.network_sizes import Size
from torchio_seg.workflows.memory_setup import Wishes, Words, make_bench, make_selection, require_training


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ({"patches": "64;96"}, "--patches"),
        ({"patches": "64,160"}, "160 is the whole volume, 160 x 160 x 96"),
        ({"precisions": "fp64"}, "fp64"),
        ({"checkpointing": "maybe"}, "--checkpointing"),
        ({"work": "rest"}, "--work"),
    ],
)
def test_a_wrong_word_is_named_with_what_is_allowed(words: dict[str, str], wrong: str) -> None:
    with pytest.raises(UsageError, match=wrong):
        make_selection(bench(), Words(**words))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "patches"),
    [((240, 240, 155), (64, 96, 128, 160)), ((100, 90, 40), (32, 48, 64, 96)), ((35, 50, 36), (16, 24, 32, 48))],
)
def test_patches_are_smaller_than_the_volume(shape: Size, patches: tuple[int, ...]) -> None:
    assert make_selection(bench(shape), Words()).patches == patches


def test_all_networks_are_those_that_are_shipped() -> None:
    assert {"unet", "segresnet", "swinunetr"} <= set(make_selection(bench(), Words(all_networks=True)).networks)


@pytest.mark.parametrize("flag", ["--ram-budget", "--vram-budget", "--with-accuracy"])
def test_what_only_a_training_answers_is_refused_where_there_is_none(flag: str) -> None:
    with pytest.raises(UsageError, match=flag):
        require_training(make_selection(bench(), Words(work="prediction")), {"--other": None, flag: 1})
    require_training(make_selection(bench(), Words()), {flag: 1})


def test_accuracy_without_a_training_that_it_could_have_is_refused() -> None:
    with pytest.raises(UsageError, match="--checkpointing both or off"):
        require_training(make_selection(bench(), Words(checkpointing="on")), {"--with-accuracy": True})


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"changes": {"training.batch_size": 4}}, "--set training.batch_size .* give --batch-size"),
        ({"changes": {"prediction.blending": "hann"}}, "every blending is measured"),
        ({"changes": {"dataset.root": "scans"}}, "--root is about a data set, but none is named: add --dataset"),
        ({"changes": {"dataset.cases": 3}}, "--set dataset.cases is about a data set"),
        ({"with_accuracy": True, "channels": 2}, "or leave out --with-accuracy"),
        ({"dataset": "phantom", "classes": 2}, "or leave out --dataset"),
    ],
)
def test_what_would_not_be_heeded_is_refused(wishes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make_bench(Wishes(**wishes))
