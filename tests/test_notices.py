"""What is said of a data set is said once in a command."""

from __future__ import annotations

import logging

import pytest

from torchio_seg import notices

LOG = logging.getLogger("torchio_seg.test_notices")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: texts.append(record.getMessage()))
    monkeypatch.setattr(LOG, "handlers", [handler])
    monkeypatch.setattr(LOG, "level", logging.DEBUG)
    return texts


def test_inside_of_a_command_nothing_is_said_twice(told: list[str]) -> None:
    with notices.once():
        for text in ("one", "two", "one", "100 %"):
            notices.say(LOG, logging.INFO, text)
    assert told == ["one", "two", "100 %"]


def test_the_next_command_says_it_again_and_so_does_python(told: list[str]) -> None:
    for _ in range(2):
        with notices.once():
            notices.say(LOG, logging.INFO, "one")
    notices.say(LOG, logging.INFO, "one")
    notices.say(LOG, logging.INFO, "one")
    assert told == ["one"] * 4
