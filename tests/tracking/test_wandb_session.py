"""Why a run could not be online, told by what W&B 0.31 says."""

from __future__ import annotations

import pytest

from torchio_seg.tracking.wandb_session import trouble_of

REFUSED = 'Failed to get resume status for run c352476f: returned error 401: {"data":{"viewer":null}}'


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (REFUSED, "wandb.example.org does not take the key (wandb login, or WANDB_API_KEY)"),
        ("WANDB_API_KEY invalid: API key must have 40+ characters, has 3.", "does not take the key"),
        ("Failed to get resume status for run a4: context deadline exceeded", "no answer from wandb.example.org"),
        ("dial tcp 127.0.0.1:9: connect: connection refused", "no answer from wandb.example.org"),
        ("entity 'me' has no room\nGo traceback", "wandb.example.org says: entity 'me' has no room"),
    ],
)
def test_the_reason_is_told_in_words_of_ours(said: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert told in trouble_of(said)
    assert "\n" not in trouble_of(said)
