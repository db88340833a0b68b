"""A server that tests can tell to misbehave, reached without any proxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from https_server import Server, serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serves three megabytes."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(bytes(range(250)) * 12_000) as told:
        yield told
