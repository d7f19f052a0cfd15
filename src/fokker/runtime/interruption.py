"""Stopping long work: Ctrl-C and SIGTERM become a request, answered at the next block."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

INSIST_SECONDS = 0.5


class Interrupted(Exception):
    """Work was asked to stop; what was done is saved and can be continued."""


class Stop:
    """Turns Ctrl-C and SIGTERM into a request that long loops answer at their next block.

    A second Ctrl-C interrupts at once.
    """

    def __init__(self) -> None:
        self.requested = False
        self.signal: int | None = None
        self._immediate = False

    def __call__(self) -> bool:
        """Whether a stop was asked for."""
        return self.requested

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested, self.signal = True, number
        if self._immediate:
            self._insist()

    def _insist(self) -> NoReturn:
        """Raise, and again until it is heard: Python drops what callbacks of C code raise."""
        signal.signal(signal.SIGALRM, lambda number, frame: self._insist())
        signal.setitimer(signal.ITIMER_REAL, INSIST_SECONDS)
        raise Interrupted

    @contextlib.contextmanager
    def immediate(self) -> Iterator[None]:
        """Raise `Interrupted` at the signal itself: for work that has no state worth saving.

        Raises
        ------
        Interrupted
            Also on entering, if a stop was asked for before.
        """
        if self.requested:
            raise Interrupted
        self._immediate = True
        try:
            yield
        finally:
            self._immediate = False
            if self.requested:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)

    @contextlib.contextmanager
    def listening(self) -> Iterator[Stop]:
        """Handle signals while the context lasts; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        numbers = signal.SIGINT, signal.SIGTERM
        old = [signal.signal(number, self._handle) for number in numbers]
        try:
            yield self
        finally:
            for number, handler in zip(numbers, old, strict=True):
                signal.signal(number, handler)
