"""Work beside other work: what comes next is made ready meanwhile, in a thread, and errors come where they belong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
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


def ahead(
    calls: Iterable[Callable[[], Made]], *, unwanted: Callable[[Made], object]
) -> Generator[Task[Made], None, None]:
    """The calls in order, each ended; the next one is at work while the last one's result is used, no other."""
    rest = iter(calls)
    first = next(rest, None)
    current = None if first is None else Task(first, unwanted=unwanted)
    try:
        while current is not None:
            current.wait()
            done, following = current, next(rest, None)
            current = None if following is None else Task(following, unwanted=unwanted)
            yield done
    finally:
        if current is not None:
            current.abandon()


def in_turn(
    calls: Iterable[Callable[[], Made]], *, unwanted: Callable[[Made], object]
) -> Generator[Task[Made], None, None]:
    """The same with nothing at work meanwhile."""
    for call in calls:
        task = Task(call, unwanted=unwanted)
        task.wait()
        yield task
