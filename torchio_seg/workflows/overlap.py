"""Work beside other work: what comes next is made ready meanwhile, in a thread, and errors come where they belong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Task(Generic[Made]):
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], Made], *, unwanted: Callable[[Made], object] = lambda _: None) -> None:
        self._call = call
        self._unwanted = unwanted
        self._lock = threading.Lock()
        self._is_unwanted = False
        self._made: list[Made] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="torchio-seg", daemon=True)  # none holds up the end
        self._thread.start()

    def wait(self) -> None:
        """Until it has ended, well or not."""
        self._thread.join()

    def result(self) -> Made:
        """What the call returned; what it raised is raised here."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._made[0]

    def abandon(self) -> None:
        """Whatever it makes, or has made, is given to `unwanted`; nobody waits for it."""
        with self._lock:
            self._is_unwanted = True
            made, self._made = self._made, []
        for each in made:
            self._unwanted(each)

    def _run(self) -> None:
        try:
            made = self._call()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever asks for the result
            self._error = error
            return
        with self._lock:
            if not self._is_unwanted:
                self._made.append(made)
                return
        self._unwanted(made)


class Ahead(Generic[Made]):
    """Calls in order, one at a time, of which the next can be begun before its result is asked for."""

    def __init__(self, calls: Iterable[Callable[[], Made]], *, unwanted: Callable[[Made], object]) -> None:
        self._calls = list(calls)
        self._unwanted = unwanted
        self._next: Task[Made] | None = None

    @property
    def is_over(self) -> bool:
        """Whether no call is left."""
        return not self._calls and self._next is None

    def begin(self) -> None:
        """The next call, if there is one and it has not been begun."""
        if self._next is None and self._calls:
            self._next = Task(self._calls.pop(0), unwanted=self._unwanted)

    def result(self) -> Made:
        """What the next call returns, or raises; it counts as done."""
        self.begin()
        if self._next is None:
            raise ValueError("no call is left")
        self._next.wait()  # what ends this wait leaves it to `close`
        task, self._next = self._next, None
        return task.result()

    def close(self) -> None:
        """Begin no more; what was begun is not waited for."""
        self._calls.clear()
        if self._next is not None:
            self._next.abandon()
