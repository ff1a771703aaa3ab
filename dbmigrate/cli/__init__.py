"""The command line: `dbmigrate ...`, `python -m dbmigrate ...`, and the release binary of a project.

An ordinary client of the public API. It is the only part that prints, ends a process, and looks at files and at the
environment for settings.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dbmigrate.cli.output import Output
from dbmigrate.cli.parser import UsageError, make_parser
from dbmigrate.errors import ConfigurationError, MigrationError, MigrationInProgress, NotCurrent
from dbmigrate.migrator import Migrator

#: The first that fits says how the process ends.
_CODES: tuple[tuple[type[Exception], int], ...] = (
    (ConfigurationError, 2),
    (NotCurrent, 3),
    (MigrationInProgress, 4),
    (MigrationError, 1),
)
FAILED, USAGE, BY_SIGNAL = 1, 2, 128


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
        argv: The words behind the program's name. None: those of the process.
        migrator: What the commands work with. None: what options, environment and configuration files say.

    Returns:
        The exit code: 0 done, 1 failed, 2 usage or configuration, 3 not current, 4 another migration in progress,
        130 after Ctrl-C, 143 after SIGTERM. Errors are printed and not raised, but for what is a defect of dbmigrate or
        of a migrator given here.

    """
    return serve(argv, None if migrator is None else lambda: migrator, "dbmigrate")


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
    parser = make_parser(prog, configured=factory is None)
    output = Output(parser.prog, is_json="--json" in words)
    try:
        options = parser.parse_args(words)
    except UsageError as error:
        return output.failed(None, error, USAGE)
    except SystemExit as done:  # argparse has printed help or version
        return int(done.code or 0)
    from dbmigrate.cli import commands  # noqa: PLC0415 - help does not need it

    call = commands.Call(options, output, factory)
    try:
        with _signals(), output.alone():
            answer = call.answer()
    except MigrationError as error:
        code = next(code for kind, code in _CODES if isinstance(error, kind))
        if code == USAGE and isinstance(error.__cause__, DBAPIError | PoolTimeout):  # no connection: that may pass
            code = FAILED
        return output.failed(options.command, error, code)
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, _Stopped) else signal.SIGINT
        return output.failed(options.command, commands.Interrupted(call.left(number)), BY_SIGNAL + number)
    return output.done(options.command, answer)


@contextmanager
def _signals() -> Generator[None]:
    """Let SIGTERM end the command as Ctrl-C does; a program that is called from another thread keeps its own."""

    def stop(number: int, _: FrameType | None) -> None:
        raise _Stopped(number)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # signals belong to the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
