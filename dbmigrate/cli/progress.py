"""The line of a long step on a terminal."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

from dbmigrate.model import Event, StatementFinished, StepStarted
from dbmigrate.script import printable

#: Seconds after which a step that runs is shown, and between two looks at it.
_LONG, _TICK = 0.3, 0.1


class Progress:
    """The line of a long step on a terminal: which, statement k of n, for how long."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write, self._lock = write, threading.Lock()
        self._text, self._began, self._is_shown = "", 0.0, False
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def see(self, event: Event) -> None:
        """Know what happens; what is shown of a step that ended is cleared."""
        with self._lock:
            if isinstance(event, StepStarted):
                self._text, self._began = printable(f"{event.step}"), time.monotonic()
            elif isinstance(event, StatementFinished):
                self._text = f"{printable(str(event.step))}: statement {event.ordinal} of {event.count} done"
            else:
                self._clear()
        if self._thread is None and isinstance(event, StepStarted):
            self._thread = threading.Thread(target=self._tick, daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Show nothing any more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._clear()

    def _clear(self) -> None:
        self._text = ""
        if self._is_shown:
            self._write("\r\x1b[K")
            self._is_shown = False

    def _tick(self) -> None:
        while not self._ended.wait(_TICK):
            with self._lock:
                elapsed = time.monotonic() - self._began
                if self._text and elapsed >= _LONG:
                    width = os.get_terminal_size(sys.stdout.fileno()).columns - 1
                    line = f"running  {self._text}, {elapsed:.0f} s"[:width]
                    self._write(f"\r{line}\x1b[K")
                    self._is_shown = True
