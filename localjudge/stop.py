"""When a run has to stop early: a signal, or its time limit. First no new record is begun; once the grace is over, the
engine is left alone in mid-sentence. Knows nothing of what is judged or stored.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

from localjudge.errors import StoppedError, UsageError

GRACE = 20.0
"""Seconds; Slurm's default between SIGTERM and SIGKILL is 30."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGALRM)

_Item = TypeVar("_Item")


class GraceOver(BaseException):
    """Raised inside the engine's wait. Not an Exception, so that no library that it passes through swallows it."""


class Stop:
    """SIGINT, SIGTERM and SIGUSR1 ask to stop, and so does the time limit `grace` seconds before it is reached.

    Use it as a context manager around the whole work: before the first record is begun, a stop takes effect at once.
    A second SIGINT ends the process on the spot. In a thread other than the main one, where signals cannot be had,
    only the time limit works.
    """

    def __init__(self, grace: float = GRACE, time_limit: float | None = None) -> None:
        """Both in seconds. Raises UsageError for a time limit that leaves no time to work."""
        if time_limit is not None and time_limit <= grace:
            raise UsageError(
                f"--time-limit {time_limit:g} s leaves no time beside --grace {grace:g} s.",
                hint="Raise the limit, or lower the grace.",
            )
        self.asked = ""
        """What asked to stop; empty while nothing did."""
        self._grace = grace
        self._limit = time_limit
        self._start = time.monotonic()
        self._over = False
        self._may_raise = True
        self._judging = False
        self._before: dict[signal.Signals, Any] = {}
        self._timer = (0.0, 0.0)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._on_signal)
            self._timer = signal.setitimer(signal.ITIMER_REAL, self._limit - self._grace if self._limit else 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in self._before.items():
                signal.signal(number, handler)
            signal.setitimer(signal.ITIMER_REAL, *self._timer)
        if isinstance(error, GraceOver):
            raise StoppedError(
                f"stopped by {self.asked} before a record was begun.", hint="The same command begins again."
            ) from None

    def feed(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """The items, until a stop is asked for."""
        for item in items:
            if self._limit is not None and time.monotonic() - self._start >= self._limit - self._grace:
                self.asked = self.asked or self._limit_text()
            if self.asked:
                return
            yield item

    def watch(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """The items as they come. Raises GraceOver while waiting for one, never while the caller works on one."""
        waiting = iter(items)
        self._judging = True
        try:
            while True:
                self._may_raise = True
                if self._over:
                    raise GraceOver
                try:
                    item = next(waiting)
                except StopIteration:
                    return
                finally:
                    self._may_raise = False
                yield item
        finally:
            self._may_raise = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGALRM and self.asked:
            self._over = True
        elif not self.asked:
            self.asked = self._limit_text() if number == signal.SIGALRM else signal.Signals(number).name
            self._over = self._grace <= 0 or not self._judging
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if self._grace > 0:
                signal.setitimer(signal.ITIMER_REAL, self._grace)
        if self._over and self._may_raise:
            raise GraceOver

    def _limit_text(self) -> str:
        return f"the time limit of {self._limit:g} s"
