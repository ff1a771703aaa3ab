"""What people and programs read: lines, colours, progress, errors, JSON."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from dbmigrate.errors import (
    ConfigurationError,
    HistoryError,
    MigrationError,
    MigrationFailed,
    MigrationInProgress,
    NotCurrent,
    StalePlan,
)
from dbmigrate.model import Edited, Event, Finding, Retrying, StepFinished, Unfinished, Waiting
from dbmigrate.script import printable

if TYPE_CHECKING:
    from dbmigrate.cli.progress import Progress

_COLOURS = {"applied": 32, "reverted": 33, "pending": 33, "unfinished": 31, "error": 31, "warning": 33}
_FINDINGS = ("Ahead", "Edited", "Missing", "OutOfOrder", "Unfinished")
#: The password of a URL, also of one that was taken for a path: up to the last @ of the same word, or with spaces in it
#: if it does not begin as a port does.
_PASSWORD = re.compile(r"(:/{1,2}[^\s:/@]*:)(?:\S*|(?!\d+(?:[/?,;:'\")\s]|$))\S[^@\n]*)@")
_SECRET = re.compile(r"([?&](?!passfile=)[^=\s&]*(?:pass|pwd|secret|token)[^=\s&]*=)[^\s&#'\"]+", re.IGNORECASE)
#: A line of a script in a message, where tabs are as they are written.
_EXCERPT = re.compile(r" *\d* \| ")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has to say: lines for people, plain values for programs, and how the process ends."""

    #: Written as they are: what is of ledger, server or files is made fit for a terminal before.
    lines: Sequence[str]
    result: dict[str, Any] | None = None
    code: int = 0
    #: It is a script, and not a letter of it may change.
    is_script: bool = False


def cell(text: str) -> str:
    """Return a text as it can stand in a line: what would steer a terminal, or end the line, as an escape."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def message(text: str) -> str:
    """Return a text that has lines: as `cell` has each, but for the tabs of a script that is quoted."""
    return "\n".join(printable(line) if _EXCERPT.match(line) else cell(line) for line in text.split("\n"))


def masked(text: str) -> str:
    """Return a text with no password of a URL in it."""
    return _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))


def table(rows: Sequence[Sequence[str]], paint: Callable[[str], str] = str, painted: Collection[int] = ()) -> list[str]:
    """Return rows with their columns in line, some of them in colours."""
    cells = [[cell(text) for text in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            (paint(text) if place in painted else text) + " " * (widths[place] - _width(text))
            for place, text in enumerate(row)
        ).rstrip()
        for row in cells
    ]


def _width(text: str) -> int:
    """Return the columns that a text takes on a terminal."""
    from unicodedata import combining, east_asian_width  # noqa: PLC0415 - only lines for people need it

    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


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
    """Tell whether a person is there; a stream that was closed before we started is None, or was one of others'."""
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):
        return False


class Output:
    """Where a command writes to. Output that nobody reads any more never ends a migration."""

    def __init__(self, prog: str, *, is_json: bool, configured: bool = True) -> None:
        """`configured`: there are options for what a Migrator is made of; otherwise the application makes it."""
        self.prog, self.is_json, self.configured = prog, is_json, configured
        environment = os.environ
        is_dumb = environment.get("TERM") == "dumb" or environment.get("CI", "0").lower() not in ("", "0", "false")
        is_plain = is_json or is_dumb
        self.is_live = _is_terminal(sys.stdout) and not is_plain
        self.has_colours = self.is_live and not environment.get("NO_COLOR")
        self._has_loud_colours = _is_terminal(sys.stderr) and not is_plain and not environment.get("NO_COLOR")
        self._progress: Progress | None = None
        self._lost = set[int]()
        self.is_lost = False

    @contextmanager
    def alone(self) -> Generator[None]:
        """With --json, let what others print meanwhile (a migration in Python, what it starts) go to stderr."""
        if not self.is_json or sys.stdout is None:
            yield
            return
        with ExitStack() as stack:
            there = sys.stderr or stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            with suppress(OSError, ValueError, AttributeError):  # an application may have put something else there
                number, others = sys.stdout.fileno(), there.fileno()
                sys.stdout.flush()
                kept = os.dup(number)
                stack.callback(os.close, kept)
                stack.callback(os.dup2, kept, number)
                os.dup2(others, number)
            stack.enter_context(redirect_stdout(there))
            yield

    def paint(self, word: str, *, loud: bool = False) -> str:
        """Return a word in its colour, for stdout; `loud`: for stderr."""
        number = _COLOURS.get(word, 31 if word in _FINDINGS else None)
        has_colours = self._has_loud_colours if loud else self.has_colours
        return f"\x1b[{number}m{word}\x1b[0m" if has_colours and number else word

    def line(self, text: str, mark: str = "") -> None:
        """Say something to people, with a coloured word in front."""
        if not self.is_json:
            self.write(sys.stdout, f"{self.paint(mark)}{self.said(text)}\n")

    def said(self, text: str) -> str:
        """Return what the library says as a command says it: in commands, and fit for a terminal."""
        if "(" in text or "=" in text or "all again" in text:
            from dbmigrate.cli.words import in_commands  # noqa: PLC0415 - most messages name no call

            text = in_commands(text, self.prog, configured=self.configured)
        return message(text)

    def warn(self, text: str) -> None:
        """Say what is not as it should be, and does not keep the command from running."""
        self.write(sys.stderr, f"{self.paint('warning', loud=True)}: {message(text)}\n")

    def traceback(self, error: BaseException) -> None:
        """Show where an error comes from that is not ours."""
        import traceback  # noqa: PLC0415 - only here

        self.write(sys.stderr, message("".join(traceback.format_exception(error))))

    def write(self, stream: TextIO | None, text: str, *, is_script: bool = False) -> None:
        """Write, without passwords; be quiet from then on if nobody reads it, or there is no room for it."""
        if stream is None or id(stream) in self._lost:  # closed by whoever started us
            return
        text = text if is_script else masked(text)
        try:
            try:
                stream.write(text)
            except UnicodeEncodeError:
                encoding = getattr(stream, "encoding", None) or "ascii"
                stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
        except (OSError, ValueError) as error:  # ValueError: an application closed it
            self._lost.add(id(stream))
            with suppress(OSError, ValueError, AttributeError):  # it has no number
                # Python flushes once more at its end, and would complain: https://docs.python.org/3/library/signal.html
                null = os.open(os.devnull, os.O_WRONLY)
                try:
                    os.dup2(null, stream.fileno())
                finally:
                    os.close(null)
            if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                self.is_lost = True
                self.write(sys.stderr, f"{self.paint('error', loud=True)}: what is said here is lost: {error}\n")

    def event(self, event: Event) -> None:
        """Show what happens."""
        if self.is_live:
            self.progress.see(event)
        if isinstance(event, StepFinished):
            step = event.outcome.step
            note = "" if event.outcome.statements else "  (there is no statement in its script)"
            said = f"  {step.migration}  {duration(event.outcome.seconds)}{note}"
            self.line(said, "applied" if step.direction == "up" else "reverted")
        elif isinstance(event, Retrying):
            whom = f"; in its way: {'; '.join(event.blockers)}" if event.blockers else ""
            tries = f"try {event.tries} of {event.most}, next in {event.pause:.1f} s"
            self.line(f"{event.step}: {event.error} ({tries}){whom}", "retrying")
        elif isinstance(event, Waiting):
            self.line(f"waiting, {event.seconds:.0f} s: {event.holder or 'another migrator is at work'}")

    @cached_property
    def progress(self) -> Progress:
        """What shows how far a long step is."""
        from dbmigrate.cli.progress import Progress  # noqa: PLC0415 - only for a step on a terminal

        self._progress = Progress(lambda text: self.write(sys.stdout, text))
        return self._progress

    def asks(self, question: str, otherwise: str) -> bool:
        """Ask a person. `otherwise`: what is so if the answer is a signal."""
        if not _is_terminal(sys.stdin):
            raise ConfigurationError(f"{question} Nobody can be asked here: say --yes. Nothing was done")
        self.write(sys.stderr, f"{message(question)} [y/N] ")
        try:
            answer = sys.stdin.readline()
        except KeyboardInterrupt as error:
            self.write(sys.stderr, "\n")
            error.add_note(otherwise)
            raise
        if not answer.endswith("\n"):
            self.write(sys.stderr, "\n")
        return answer.strip().lower() in ("y", "yes")

    def done(self, command: str, answer: Answer) -> int:
        """Print an answer; return its exit code."""
        self.end()
        if self.is_json:
            kept = ("sql", "script") if answer.is_script else ()
            self._object(command, answer.code, _clean(answer.result, self, kept), None)
        else:
            for line in answer.lines:
                self.write(sys.stdout, f"{line}\n", is_script=answer.is_script)
        return answer.code or int(self.is_lost)

    def told(self, text: str) -> int:
        """Print help or version; return the exit code."""
        self.write(sys.stdout, text)
        return int(self.is_lost)

    def failed(self, command: str | None, error: Exception, code: int) -> int:
        """Print an error and what to do next; return the exit code."""
        self.end()
        text = self.said(str(error))
        notes = [self.said(note) for note in getattr(error, "__notes__", ())]
        notes += [f"next: {line}" for line in _next(error, self.prog) if not _is_in(line, text)]
        if self.is_json:
            known: dict[str, Any] = {"format": 1, "type": type(error).__name__, "message": str(error)}
            known |= error.to_dict() if isinstance(error, MigrationError) else {}
            self._object(command, code, None, _clean({**known, "notes": notes}, self))
        else:
            self.write(sys.stderr, "\n".join((f"{self.paint('error', loud=True)}: {text}", *notes, "")))
        return code

    def end(self) -> None:
        """Show no progress any more."""
        if self._progress is not None:
            self._progress.end()

    def _object(self, command: str | None, code: int, result: object, error: object) -> None:
        import json  # noqa: PLC0415 - only where it is asked for

        found = {"format": 1, "command": command, "exit_code": code, "result": result, "error": error}
        self.write(sys.stdout, json.dumps(found, indent=2, allow_nan=False) + "\n", is_script=True)


def _clean(value: object, output: Output, kept: Collection[str] = (), key: str = "") -> Any:  # noqa: ANN401 - JSON's
    """Return plain values as they are told: no password in any text, what is no number null, messages in commands."""
    if isinstance(value, dict):
        return {name: _clean(inner, output, kept, name) for name, inner in cast("dict[str, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_clean(inner, output, kept, key) for inner in cast("Sequence[object]", value)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if not isinstance(value, str) or key in kept:
        return value
    return masked(output.said(value) if key == "message" else value)


def next_of(findings: Sequence[Finding], prog: str, said: str) -> list[str]:
    """Return the commands that may come next for findings, but for those that are said already."""
    found = dict.fromkeys(text for finding in findings for text in _about(finding, prog))
    return [f"next: {text}" for text in found if not _is_in(text, said)]


def _is_in(command: str, text: str) -> bool:
    """Tell whether a message names a command already."""
    return command.partition(" --reason")[0].partition(",")[0] in text


def _next(error: Exception, prog: str) -> list[str]:
    """Return the commands that may come next."""
    if isinstance(error, HistoryError):
        found = list(dict.fromkeys(text for finding in error.findings for text in _about(finding, prog)))
        return found or ([f"{prog} upgrade"] if isinstance(error, NotCurrent) else [])
    if isinstance(error, MigrationInProgress):
        return [f"{prog} wait"]
    if isinstance(error, StalePlan) or (isinstance(error, MigrationFailed) and not error.rolled_back):
        return [f"{prog} status"]
    return []


def _about(finding: Finding, prog: str) -> list[str]:
    version = finding.version
    if isinstance(finding, Edited):
        return [
            f"{prog} redo, while it is the newest and has not left your machine",
            f'{prog} accept {version} --reason "...", if the script is right as it is now',
        ]
    if not isinstance(finding, Unfinished):
        return []
    if not finding.in_doubt or (finding.is_judged and not finding.seen):
        return [f"{prog} resume"]
    which = f" --statement {finding.statement}" if finding.statement else ""
    said = [f'{prog} resolve {version}{which} --applied --reason "...", or --no-applied']
    return [*said, f"{prog} resume"] if finding.statement else said
