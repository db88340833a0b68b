"""What the README tells people to type is understood by the command line."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("#")[0].strip()
    for line in re.sub(r"\\\n\s+", "", README).splitlines()
    if line.startswith("    ") and "torchio-seg" in line and "venv" not in line
]


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("line", COMMANDS)
def test_every_option_in_the_readme_exists(line: str) -> None:
    words = shlex.split(line.split(">", maxsplit=1)[0])
    words = words[words.index("torchio-seg") + 1 :]
    command = [
        word for word in words[:2] if word in {"train", "predict", "evaluate", "config", "show", "schema", "demo"}
    ]
    done = subprocess.run(
        [sys.executable, "-m", "torchio_seg", *command, "--help"], capture_output=True, text=True, check=True
    )
    for option in (word for word in words if word.startswith("-")):
        assert option in done.stdout, option


def test_shown_settings_exist() -> None:
    from torchio_seg.config.resolve import load, parse_set, shipped

    for name in ("phantom", "decathlon"):
        load(shipped()[name], parse_set([w for w in re.findall(r"--set (\S+)", README) if "width" not in w]))


def test_links_lead_somewhere() -> None:
    for page in [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_makefile_has_what_the_readme_names() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make ([\w-]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
