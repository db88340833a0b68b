"""Signals as requests, in processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from torchio_seg.workflows.stopping import stop_requests

HEAD = """
import os, signal
from torchio_seg.workflows.stopping import stop_requests

def send(number):
    os.kill(os.getpid(), number)

"""


def run(body: str, *, ignoring: signal.Signals | None = None) -> list[str]:
    """What a process prints, line by line; it may be started with a signal ignored, as a shell does after `&`."""
    start = ["sh", "-c", f"trap '' {ignoring.name[3:]}; exec \"$@\"", "sh"] if ignoring else []
    done = subprocess.run(
        [*start, sys.executable, "-c", HEAD + body],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request_and_the_block_goes_on(number: signal.Signals) -> None:
    body = f"""
with stop_requests() as request:
    print(request.signal)
    send({int(number)})
    print("still here", request.signal)
print("after")
"""
    assert run(body) == ["None", f"still here {int(number)}", "after"]


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_interrupts_at_once(second: signal.Signals) -> None:
    body = f"""
try:
    with stop_requests() as request:
        send(signal.SIGINT)
        send({int(second)})
        print("never")
except KeyboardInterrupt:
    print("interrupted", request.signal)
"""
    assert run(body) == ["interrupted 2"]


def test_a_launched_process_takes_a_second_signal_for_the_first_one_passed_on() -> None:
    body = """
with stop_requests(launched=True) as request:
    send(signal.SIGTERM)
    send(signal.SIGTERM)
    send(signal.SIGINT)
    print("still here", request.signal)
"""
    assert run(body) == ["still here 15"]


@pytest.mark.parametrize("end", ["pass", "raise ValueError", "send(signal.SIGINT); send(signal.SIGINT)"])
def test_the_handlers_are_those_from_before_however_the_block_ends(end: str) -> None:
    body = f"""
def mine(number, frame):
    print("mine", number)

signal.signal(signal.SIGTERM, mine)
before = signal.getsignal(signal.SIGINT)
try:
    with stop_requests():
        {end}
except (ValueError, KeyboardInterrupt):
    pass
assert signal.getsignal(signal.SIGINT) is before
send(signal.SIGTERM)
"""
    assert run(body) == ["mine 15"]


def test_a_process_started_with_sigint_ignored_can_still_be_asked_to_stop() -> None:
    body = """
print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)
with stop_requests() as request:
    send(signal.SIGINT)
    print(request.signal)
print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)
"""
    assert run(body, ignoring=signal.SIGINT) == ["True", "2", "True"]


def test_another_thread_gets_a_request_that_nobody_sets() -> None:
    """Only the main thread may set handlers; a notebook's worker trains all the same."""
    seen: list[int | None] = []
    before = signal.getsignal(signal.SIGINT)

    def work() -> None:
        with stop_requests() as request:
            seen.append(request.signal)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]
    assert signal.getsignal(signal.SIGINT) is before
