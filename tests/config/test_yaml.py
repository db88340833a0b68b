"""YAML as the settings need it."""

from __future__ import annotations

from pathlib import Path

import pytest

from torchio_seg.config.reading import parse, read_mapping
from torchio_seg.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("2E3", 2000.0),
        ("-1.5", -1.5),
        (".5", 0.5),
        ("7", 7),
        ("0", 0),
        ("012", "012"),
        ("yes", "yes"),
        ("off", "off"),
        ("true", True),
        ("null", None),
        ("2024-01-01", "2024-01-01"),
        ("[1, 2.0, a]", [1, 2.0, "a"]),
        ("1_000", "1_000"),
    ],
)
def test_words_and_numbers_mean_what_they_look_like(text: str, value: object) -> None:
    parsed = parse(text, "here")
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a: 1\na: 2", "'a' stands twice"),
        ("a: &x 1\nb: *x", "alias"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: [1", "line 1"),
        ("[" * 5000, "not readable"),
    ],
)
def test_what_hides_a_mistake_is_refused_with_its_place(text: str, word: str) -> None:
    with pytest.raises(ConfigError, match="here") as raised:
        parse(text, "here")
    assert word in str(raised.value)


def test_a_file_that_is_missing_or_no_mapping_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml"):
        read_mapping(tmp_path / "gone.yaml")
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(ConfigError, match="mapping of sections"):
        read_mapping(tmp_path / "list.yaml")
