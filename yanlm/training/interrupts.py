"""A request to stop: Ctrl-C or a signal of the system, heard between two steps."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Ctrl-C, the end of a session or a job, a terminal that was closed."""


class Interrupts:
    """Whether a stop was asked for.

    Attributes:
        asked: It was.

    Example:
        >>> interrupts = Interrupts()
        >>> with interrupts.heard(alone=True):
        ...     signal.raise_signal(signal.SIGTERM)
        >>> interrupts.asked
        True
    """

    def __init__(self) -> None:
        self.asked = False

    @contextlib.contextmanager
    def heard(self, alone: bool) -> Iterator[None]:
        """Inside, signals ask for a stop; a second Ctrl-C of a process that is ``alone`` raises KeyboardInterrupt.

        Launchers repeat the terminal's signal, so among several processes a second one means nothing. Only the main
        thread may listen; in others nothing changes.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, _frame: object) -> None:
            if self.asked and number == signal.SIGINT and alone:
                raise KeyboardInterrupt
            self.asked = True

        wanted = [number for number in SIGNALS if not _is_nohup(number)]
        before = {number: signal.signal(number, ask) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _is_nohup(number: signal.Signals) -> bool:
    """Whether the process was started so that it outlives its terminal."""
    return number.name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN
