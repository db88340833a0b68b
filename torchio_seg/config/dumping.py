"""An experiment as YAML that people edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchio_seg.config.sections import Experiment


def to_yaml(experiment: Experiment) -> str:
    """The experiment as the YAML that `load` reads."""
    text: str = yaml.dump(experiment.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, width=120)
    return text


class _Dumper(yaml.SafeDumper):
    """Plain YAML: short lists on one line, no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (PyYAML's signature)
        return True


def _represent_list(dumper: _Dumper, data: Sequence[Any]) -> yaml.Node:
    flat = all(not isinstance(item, dict | list) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flat)


_Dumper.add_representer(list, _represent_list)
