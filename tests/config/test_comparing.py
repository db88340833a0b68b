from __future__ import annotations

from torchio_seg.config.comparing import differing
from torchio_seg.config.resolve import load, shipped


def test_settings_that_differ_are_named_with_their_new_values() -> None:
    before = load(shipped()["phantom"])
    assert differing(before, before) == {}
    after = load(shipped()["phantom"], {"training.epochs": 3, "network.dropout": 0.5, "split.fold": "all"})
    assert differing(before, after) == {"network.dropout": 0.5, "split.fold": "all", "training.epochs": 3}
    other = load(shipped()["phantom"], {"network.name": "segresnet"})
    assert differing(before, other)["network.channels"] is None
