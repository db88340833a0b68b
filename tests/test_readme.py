"""What the README tells people to type is understood by the command line."""

from __future__ import annotations

import re
import shlex
import sys
from functools import cache
from pathlib import Path

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from torchio_seg.cli import app, main
from torchio_seg.cli.screen import Screen

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(page.read_text(encoding="utf-8") for page in sorted((REPOSITORY / "docs").glob("*.md")))]
COMMANDS = [
    line.split("#")[0].strip()
    for page in PAGES
    for line in re.sub(r"\\\n\s+", "", page).splitlines()
    if line.startswith("    ") and "torchio-seg " in line and "venv" not in line
]
GROUPS = {"benchmark", "config", "import", "runs", "store", "track"}
"""Commands that have commands of their own."""
SMALL = (
    "dataset.cases=6",
    "dataset.shape=[32,32,32]",
    "sampling.patch_size=[32,32,32]",
    "sampling.patches_per_case=1",
    "training.epochs=1",
    "training.precision=fp32",
    "device=cpu",
)
"""The README's network learns nothing from so little, but it goes all the way."""


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 8


@cache
def help_of(*command: str) -> str:
    """All that a command says of itself; that a process of its own says it too is held by the tests of the commands."""
    found = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*command, "--help"], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


@pytest.mark.parametrize("line", COMMANDS)
def test_every_option_in_the_readme_exists(line: str) -> None:
    words = shlex.split(line.split(">", maxsplit=1)[0])
    words = words[words.index("torchio-seg") + 1 :]
    command = words[: 2 if words[0] in GROUPS else 1]
    for option in (word for word in words if word.startswith("-")):
        assert option in help_of(*command), option


def test_shown_settings_exist() -> None:
    from torchio_seg.config.resolve import choose, parse_set

    for name in ("phantom", "decathlon"):
        choose(name, None, parse_set([w for w in re.findall(r"--set ([^\s`]+)", README) if "width" not in w]))


def test_the_network_of_the_readme_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [(name, code)] = re.findall(r"```python\n# (\w+)\.py\n(.*?)```", README, re.DOTALL)
    (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    small = [word for setting in SMALL for word in ("--set", setting)]
    own = ["--network", f"{name}.build", "--set", "network.width=4"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["torchio-seg", "train", "--dataset", "phantom", *own, *small])
    Screen.shared.cache_clear()  # a command has a screen of its own
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    [weights] = (tmp_path / "runs" / "latest").glob("checkpoints/best/*.safetensors")
    assert load_file(weights)["0.weight"].shape == (4, 4, 3, 3, 3)  # of width 4, from the phantom's four channels


def test_nothing_in_the_readme_is_left_to_be_filled_in() -> None:
    assert "<!--" not in README


def test_links_lead_somewhere() -> None:
    for page in [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_makefile_has_what_the_readme_names() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make ([\w-]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
