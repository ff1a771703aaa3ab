"""The command line: `dbmigrate ...`, `python -m dbmigrate ...`, and the release binary of a project.

An ordinary client of the public API. It is the only part that prints, ends a process, and looks at files and at the
environment for settings.
"""

from __future__ import annotations

import argparse
import atexit
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Protocol, Self

from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dbmigrate.cli.output import Output
from dbmigrate.cli.parser import Told, UsageError, called, make_parser
from dbmigrate.errors import ConfigurationError, HistoryError, MigrationError, MigrationInProgress, NotCurrent
from dbmigrate.migrator import Migrator

if TYPE_CHECKING:
    from dbmigrate.cli.call import Call

#: The first that fits says how the process ends.
_CODES: tuple[tuple[type[Exception], int], ...] = (
    (ConfigurationError, 2),
    (NotCurrent, 3),
    (MigrationInProgress, 4),
    (MigrationError, 1),
)
FAILED, USAGE, NOT_CURRENT, BY_SIGNAL = 1, 2, 3, 128


class Main(Protocol):
    """The entry point of a program."""

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """Run one command; None: that of the process. Return the exit code."""
        ...


class _Stopped(KeyboardInterrupt):
    """A signal asked to stop. Whoever cleans up behind Ctrl-C does so now."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


def main(argv: Sequence[str] | None = None, *, migrator: Migrator | None = None) -> int:
    """Run one command of `dbmigrate`.

    Args:
        argv: The words behind the program's name. None: those of the process, which is then expected to end: a SIGTERM
            that comes behind the answer raises SystemExit with the exit code.
        migrator: What the commands work with. None: what options, environment and configuration files say.

    Returns:
        The exit code: 0 done, 1 failed, 2 usage or configuration, 3 not current, 4 another migration in progress,
        130 after Ctrl-C, 143 after SIGTERM. Errors are printed and not raised; what is a defect of dbmigrate, or of a
        migrator given here, with its traceback.

    """

    def given() -> Migrator:
        if not isinstance(migrator, Migrator):
            raise ConfigurationError(f"migrator is a Migrator or None, not {type(migrator).__name__}")
        return migrator

    return serve(argv, None if migrator is None else given, "dbmigrate")


def make_cli(factory: Callable[[], Migrator], *, prog: str | None = None) -> Main:
    """Return the entry point of a project's own migrate program, for `[project.scripts]` or `raise SystemExit(main())`.

    It has all commands of `dbmigrate`, and works with the Migrator that `factory` returns. That is called once, when a
    command needs a database or a source; not for `--help`, so there may be no configuration then. Options about one
    call (`--acquire-timeout`, `--allow`, ...) are taken over the Migrator's own; its `on_event` is called as well. No
    file and no environment is read for settings.

    Args:
        factory: Makes the Migrator. What it raises is an error of configuration, printed with its traceback.
        prog: What the program is called in messages. None: the name under which it was started.

    """

    def main(argv: Sequence[str] | None = None) -> int:
        return serve(argv, factory, prog)

    return main


def serve(argv: Sequence[str] | None, factory: Callable[[], Migrator] | None, prog: str | None) -> int:
    """Run one command, print what it answers, return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    prog = called() if prog is None else prog
    parser = make_parser(prog, configured=factory is None)
    try:
        _check(words)
        options = parser.read(words)
    except UsageError as error:
        asked = words[: words.index("--")] if "--" in words else words
        return Output(prog, is_json="--json" in asked).failed(None, error, USAGE)
    except Told as told:
        return Output(prog, is_json=False).told(str(told))
    from dbmigrate.cli.call import Call  # noqa: PLC0415 - help does not need it

    call = Call(options, Output(prog, is_json=getattr(options, "json", False), configured=factory is None), factory)
    with _Signals(is_last=argv is None) as signals:
        try:
            signals.code = _run(call, signals)
        except KeyboardInterrupt as error:
            signals.is_open = False
            signals.code = _interrupted(call, signals, error)
    return signals.code


def _check(words: Sequence[str]) -> None:
    """Raise UsageError for words that no text can be."""
    for word in words:
        if "\0" in word or word.encode(errors="replace").decode() != word:
            raise UsageError(f"{word!r} is no text: there is a NUL in it, or bytes that are not UTF-8")


def _run(call: Call, signals: _Signals) -> int:
    """Answer, or say what is wrong. A signal behind the answer does not change it."""
    from dbmigrate.cli import commands  # noqa: PLC0415 - help does not need it

    output, command = call.output, call.options.command
    try:
        with output.alone():
            try:
                answer = commands.answer(call)
            finally:
                signals.is_open = False
    except MigrationError as error:
        return output.failed(command, error, _code(error, call.options))
    except (OSError, ArgumentError, NoSuchModuleError) as error:  # the system's answer, and SQLAlchemy's to a URL
        return output.failed(command, ConfigurationError(f"{type(error).__name__}: {error}"), USAGE)
    except Exception as error:  # noqa: BLE001 - a defect, whose traceback is shown
        output.traceback(error)
        return output.failed(command, error, FAILED)
    return output.done(command, answer)


def _code(error: MigrationError, options: argparse.Namespace) -> int:
    code = next(code for kind, code in _CODES if isinstance(error, kind))
    if code == USAGE and isinstance(error.__cause__, DBAPIError | PoolTimeout):  # no connection: that may pass
        return FAILED
    # whoever asks by the exit code whether the database is current is not told of a failure
    return NOT_CURRENT if isinstance(error, HistoryError) and getattr(options, "check", False) else code


def _interrupted(call: Call, signals: _Signals, error: KeyboardInterrupt) -> int:
    """Say what is left; another signal cuts short the look at the database."""
    from dbmigrate.cli.call import Interrupted  # noqa: PLC0415 - help does not need it

    number = error.number if isinstance(error, _Stopped) else signal.SIGINT
    try:
        signals.is_open = True
        said = call.left(number)
    except KeyboardInterrupt:
        said = call.interrupted(number)
    finally:
        signals.is_open = False
    interrupted = Interrupted(said)
    for note in getattr(error, "__notes__", ()):
        interrupted.add_note(note)
    return call.output.failed(call.options.command, interrupted, BY_SIGNAL + number)


class _Signals:
    """Lets SIGTERM and Ctrl-C end the command while it is open; later ones are not heard until the answer is printed.

    A program that is called from another thread keeps its own, and so does one that has something else for Ctrl-C.
    """

    def __init__(self, *, is_last: bool) -> None:
        """`is_last`: the program ends behind the command, and with its exit code, also if SIGTERM comes meanwhile."""
        self.is_open, self._is_last, self.code = True, is_last, 0
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Self:
        """Listen."""
        try:
            self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._stop)
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._stop)
        except ValueError:  # signals belong to the main thread
            self._before.clear()
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back; but that of a program that ends now ends it as the command did."""
        if self._is_last and self._before.get(signal.SIGTERM) is signal.SIG_DFL:
            self._before[signal.SIGTERM] = self._end
            atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _: FrameType | None) -> None:
        if self.is_open:
            raise _Stopped(number)

    def _end(self, _: int, __: FrameType | None) -> None:
        raise SystemExit(self.code)
