"""Names to code: shipped modules, own modules, options from signatures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from torchio_seg import components
from torchio_seg.errors import ConfigError


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    source = (
        "from __future__ import annotations\n"
        "def build(in_channels, out_channels, patch_size, *, width: int = 4, sizes: tuple[int, ...] = (1, 2)):\n"
        "    return in_channels, out_channels, patch_size, width, sizes\n"
        "def other(in_channels, out_channels, patch_size): return 'other'\n"
        "def loose(in_channels, out_channels, patch_size, **options): return 'loose'\n"
    )
    (tmp_path / "their_networks.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "their_networks", raising=False)
    return "their_networks"


def test_a_dotted_name_reaches_a_function_of_the_users_module(own_module: str) -> None:
    assert components.assemble("networks", {"name": f"{own_module}.other"}, 1, 2, (8, 8, 8)) == "other"


def test_options_are_checked_and_completed_from_the_signature(own_module: str) -> None:
    name = f"{own_module}.build"
    assert components.complete("networks", {"name": name}) == {"name": name, "width": 4, "sizes": [1, 2]}
    built = components.assemble("networks", {"name": name, "sizes": [3]}, 1, 2, (8, 8, 8))
    assert built == (1, 2, (8, 8, 8), 4, (3,))
    with pytest.raises(ValidationError, match="width"):
        components.complete("networks", {"name": name, "width": "wide"})
    with pytest.raises(ValidationError, match="widht"):
        components.complete("networks", {"name": name, "widht": 3})


def test_options_that_cannot_be_checked_are_refused(own_module: str) -> None:
    with pytest.raises(ConfigError, match="name every option"):
        components.complete("networks", {"name": f"{own_module}.loose"})


def test_a_module_that_is_not_there_says_where_it_was_looked_for() -> None:
    with pytest.raises(ConfigError, match="PYTHONPATH"):
        components.find("networks", "no_such_package.network")


def test_a_module_that_fails_on_its_own_import_says_what_it_misses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_more.py").write_text("import a_library_that_is_not_installed\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="a_library_that_is_not_installed"):
        components.find("networks", "needs_more.build")


@pytest.mark.parametrize("kind", sorted(components.SUPPLIED))
def test_every_shipped_component_has_checkable_options(kind: str) -> None:
    assert components.names(kind)
    for name in components.names(kind):
        components.options_model(kind, name).model_json_schema()


def test_checking_options_imports_nothing_heavy() -> None:
    import subprocess

    script = (
        "import sys; from torchio_seg import components as c\n"
        "for kind in c.SUPPLIED:\n"
        "    for name in c.names(kind): c.options_model(kind, name)\n"
        "print([m for m in ('torch', 'torchio', 'monai') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "[]"
