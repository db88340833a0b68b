"""YAML as settings need it: `1e-4` is a number, a duplicate key, an alias or a tag is an error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from torchio_seg.errors import ConfigError

_NUMBERS_AND_WORDS = {
    "null": (re.compile(r"(null|~|)"), ["n", "~", ""]),
    "bool": (re.compile(r"(true|false)"), ["t", "f"]),
    "int": (re.compile(r"[-+]?(0|[1-9][0-9]*)"), list("-+0123456789")),
    "float": (
        re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan"),
        list("-+.0123456789"),
    ),
}


class _StrictLoader(yaml.SafeLoader):
    """The safe loader with the few implicit types of YAML 1.2 and without what hides a mistake."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own name)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "an alias (*name) is not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int):
                problem = "a key must be a word or a whole number"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key}' stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


for _name, (_pattern, _first) in _NUMBERS_AND_WORDS.items():
    _whole = re.compile(f"(?:{_pattern.pattern})$")
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _whole, _first)


def parse(text: str, origin: str) -> Any:
    """The value that a YAML text stands for; `origin` names the text in a message."""
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506 (a SafeLoader, made stricter)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{origin}{place}: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{origin}: not readable as YAML ({type(error).__name__}: {error})") from error


def read_mapping(path: Path) -> dict[str, Any]:
    """The settings in a YAML file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    data = parse(text, str(path))
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: holds {type(data).__name__}, a configuration is a mapping of sections")
    return data
