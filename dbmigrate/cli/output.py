"""What people and programs read: lines, colours, progress, errors, JSON."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from dbmigrate.errors import HistoryError, MigrationError, MigrationFailed, MigrationInProgress, NotCurrent, StalePlan
from dbmigrate.model import Edited, Event, Finding, StatementFinished, StepFinished, StepStarted, Unfinished, Waiting

_COLOURS = {"applied": 32, "reverted": 33, "pending": 33, "unfinished": 31, "error": 31, "warning": 33}
_FINDINGS = ("Ahead", "Edited", "Missing", "OutOfOrder", "Unfinished")
#: Seconds after which a step that runs is shown, and between two looks at it.
_LONG, _TICK = 0.3, 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has to say: lines for people, plain values for programs, and how the process ends."""

    lines: Sequence[str]
    result: dict[str, Any] | None = None
    code: int = 0


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows with their columns in line."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _width(text: str) -> int:
    """Return the columns that a text takes on a terminal, colours apart."""
    from unicodedata import combining, east_asian_width  # noqa: PLC0415 - only lines for people need it

    plain = text.split("m", 1)[1].removesuffix("\x1b[0m") if text.startswith("\x1b[") else text
    if plain.isascii():
        return len(plain)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in plain)


def moment(when: datetime | None) -> str:
    """Return a time of the ledger."""
    return "" if when is None else f"{when:%Y-%m-%d %H:%M:%S} UTC"


def duration(seconds: float) -> str:
    """Return how long something took."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


def _is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a person is there; a stream that was closed before we started is None."""
    return stream is not None and stream.isatty()


class Output:
    """Where a command writes to. Output that nobody reads any more never ends a migration."""

    def __init__(self, prog: str, *, is_json: bool) -> None:
        self.prog, self.is_json = prog, is_json
        environment = os.environ
        is_dumb = environment.get("TERM") == "dumb" or environment.get("CI", "0").lower() not in ("", "0", "false")
        self.is_live = _is_terminal(sys.stdout) and not is_json and not is_dumb
        self.has_colours = self.is_live and not environment.get("NO_COLOR")
        self._progress = _Progress(self) if self.is_live else None
        self._is_lost = False

    @contextmanager
    def alone(self) -> Generator[None]:
        """With --json, let what others print meanwhile (a migration in Python, what it starts) go to stderr."""
        if not self.is_json or sys.stdout is None:
            yield
            return
        with ExitStack() as stack:
            there = sys.stderr or stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            with suppress(OSError, ValueError):  # an application may have put something else there
                number, others = sys.stdout.fileno(), there.fileno()
                sys.stdout.flush()
                kept = os.dup(number)
                stack.callback(os.close, kept)
                stack.callback(os.dup2, kept, number)
                os.dup2(others, number)
            stack.enter_context(redirect_stdout(there))
            yield

    def paint(self, word: str) -> str:
        """Return a word in its colour."""
        number = _COLOURS.get(word, 31 if word in _FINDINGS else None)
        return f"\x1b[{number}m{word}\x1b[0m" if self.has_colours and number else word

    def line(self, text: str) -> None:
        """Say something to people."""
        if not self.is_json:
            self.write(sys.stdout, f"{text}\n")

    def warn(self, text: str) -> None:
        """Say what is not as it should be, and does not keep the command from running."""
        self.write(sys.stderr, f"{self.paint('warning')}: {text}\n")

    def traceback(self, error: Exception) -> None:
        """Show where an application's own error comes from."""
        import traceback  # noqa: PLC0415 - only here

        self.write(sys.stderr, "".join(traceback.format_exception(error)))

    def write(self, stream: TextIO | None, text: str) -> None:
        """Write, and be quiet from then on if nobody reads it, or there is no room for it."""
        if stream is None:  # closed by whoever started us
            return
        try:
            try:
                stream.write(text)
            except UnicodeEncodeError:
                stream.write(text.encode(stream.encoding, "backslashreplace").decode(stream.encoding))
            stream.flush()
        except OSError as error:
            # Python flushes once more at its end, and would complain there: https://docs.python.org/3/library/signal.html
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if not isinstance(error, BrokenPipeError):
                self._is_lost = True
                self.write(sys.stderr, f"{self.paint('error')}: what is said here is lost: {error}\n")

    def event(self, event: Event) -> None:
        """Show what happens."""
        if self._progress is not None:
            self._progress.see(event)
        if isinstance(event, StepFinished):
            step = event.outcome.step
            word = self.paint("applied" if step.direction == "up" else "reverted")
            note = "" if event.outcome.statements else "  (there is no statement in its script)"
            self.line(f"{word}  {step.migration}  {duration(event.outcome.seconds)}{note}")
        elif isinstance(event, Waiting):
            self.line(f"waiting, {event.seconds:.0f} s: {event.holder or 'another migrator is at work'}")

    def asks(self, question: str) -> bool:
        """Ask a person; where there is none nothing is confirmed."""
        if not _is_terminal(sys.stdin):
            raise MigrationError(f"{question} Nobody can be asked here: say --yes. Nothing was done")
        self.write(sys.stderr, f"{question} [y/N] ")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def done(self, command: str, answer: Answer) -> int:
        """Print an answer; return its exit code."""
        self.end()
        if self.is_json:
            self._object(command, answer.code, answer.result, None)
        for line in answer.lines:
            self.line(line)
        return answer.code or int(self._is_lost)

    def failed(self, command: str | None, error: Exception, code: int) -> int:
        """Print an error and what to do next; return the exit code."""
        self.end()
        notes = [*getattr(error, "__notes__", ()), *(f"next: {text}" for text in _next(error, self.prog))]
        if self.is_json:
            known = (
                error.to_dict() if isinstance(error, MigrationError) else {"type": "UsageError", "message": str(error)}
            )
            self._object(command, code, None, {**known, "notes": notes})
        else:
            self.write(sys.stderr, "\n".join((f"{self.paint('error')}: {error}", *notes, "")))
        return code

    def end(self) -> None:
        """Show no progress any more."""
        if self._progress is not None:
            self._progress.end()

    def _object(self, command: str | None, code: int, result: object, error: object) -> None:
        import json  # noqa: PLC0415 - only where it is asked for

        found = {"format": 1, "command": command, "exit_code": code, "result": result, "error": error}
        self.write(sys.stdout, json.dumps(found, indent=2) + "\n")


def _next(error: Exception, prog: str) -> list[str]:
    """Return the commands that may come next."""
    if isinstance(error, HistoryError):
        found = [text for finding in error.findings for text in _about(finding, prog)]
        return found or ([f"{prog} upgrade"] if isinstance(error, NotCurrent) else [])
    if isinstance(error, MigrationInProgress):
        return [f"{prog} wait, or the same command again"]
    if isinstance(error, StalePlan) or (isinstance(error, MigrationFailed) and not error.rolled_back):
        return [f"{prog} status"]
    return []


def _about(finding: Finding, prog: str) -> list[str]:
    version = finding.version
    if isinstance(finding, Edited):
        return [f'{prog} accept {version} --reason "...", if the script is right as it is now']
    if not isinstance(finding, Unfinished):
        return []
    if not finding.in_doubt or (finding.is_judged and not finding.seen):
        return [f"{prog} resume"]
    which = f" --statement {finding.statement}" if finding.statement else ""
    said = [f'{prog} resolve {version}{which} --applied --reason "...", or --no-applied']
    return [*said, f"{prog} resume"] if finding.statement else said


class _Progress:
    """The line of a long step on a terminal: which, statement k of n, for how long."""

    def __init__(self, output: Output) -> None:
        self._output, self._lock = output, threading.Lock()
        self._text, self._began, self._is_shown = "", 0.0, False
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def see(self, event: Event) -> None:
        """Know what happens; what is shown of a step that ended is cleared."""
        with self._lock:
            if isinstance(event, StepStarted):
                self._text, self._began = f"{event.step}", time.monotonic()
            elif isinstance(event, StatementFinished):
                self._text = f"{event.step}: statement {event.ordinal} of {event.count} done"
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
            self._output.write(sys.stdout, "\r\x1b[K")
            self._is_shown = False

    def _tick(self) -> None:
        while not self._ended.wait(_TICK):
            with self._lock:
                elapsed = time.monotonic() - self._began
                if self._text and elapsed >= _LONG:
                    width = os.get_terminal_size(sys.stdout.fileno()).columns - 1
                    line = f"running  {self._text}, {elapsed:.0f} s"[:width]
                    self._output.write(sys.stdout, f"\r{line}\x1b[K")
                    self._is_shown = True
