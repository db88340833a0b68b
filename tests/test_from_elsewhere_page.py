"""Our word for each of the reference code's options is one that there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from torchio_seg.cli import app
from torchio_seg.config.resolve import load, parse_set, shipped

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "from-elsewhere.md").read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in PAGE.partition("| theirs | ours |")[2].splitlines() if "`" in line]
THEIRS = re.findall(r"`(--[\w-]+)`", " ".join(theirs for theirs, _ in ROWS))
OURS = re.findall(r"`([^`]+)`", " ".join(ours for _, ours in ROWS))
SETTINGS = [word for word in OURS if re.match(r"[a-z]+\.[a-z_]+(=|$)", word)]
FLAGS = [word for word in OURS if word.startswith("-")]


def test_every_option_of_the_reference_is_in_the_table_once() -> None:
    """Those of its main.py, as sources of 2021 to 2024 have them."""
    some = "noamp distributed logdir json_list a_min feature_size batch_size fold optim_lr lrschedule infer_overlap"
    more = "save_checkpoint data_dir resume_ckpt resume_jit"
    assert {f"--{name}" for name in f"{some} {more}".split()} <= set(THEIRS)
    assert len(THEIRS) == len(set(THEIRS)) == 57


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_exists_and_takes_the_value(setting: str) -> None:
    experiment = load(shipped()["btcv"], parse_set([setting] if "=" in setting else [])).model_dump()
    section, _, key = setting.partition("=")[0].partition(".")
    assert key in experiment[section]


def _flags() -> Iterator[str]:
    for name in ("train", "evaluate", "predict"):
        for parameter in get_command(app).commands[name].params:  # type: ignore[attr-defined]
            yield from parameter.opts


@pytest.mark.parametrize("flag", sorted(set(FLAGS)))
def test_every_flag_exists(flag: str) -> None:
    assert flag in set(_flags())
