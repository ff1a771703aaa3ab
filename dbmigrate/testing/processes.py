"""Processes for calls that must not know of each other, or must die.

A nursery is a process that has imported what a Migrator needs and holds no connection. For each call it forks one more,
so that none of them finds anything that an earlier one left in memory, and none takes long to start.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import wait
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, Engine

from dbmigrate.connect import engine_of
from dbmigrate.errors import ConfigurationError, MigrationError
from dbmigrate.migrator import Migrator

#: A call: a function of a module, or a `partial` of one.
Call = Callable[[Migrator], object]

#: Seconds in which all processes of a race must have started, and in which one must end behind its call.
_PATIENCE = 60.0
#: On Windows any signal ends a process at once.
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
#: A process that is not forked imports anew; Windows knows no other.
_HOW = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"


@dataclass(frozen=True, slots=True)
class Killed:
    """What became of a call whose process killed itself."""

    #: When: before or behind what.
    when: str


def die_at(boundary: int, tell: Callable[[str], object] = str) -> None:
    """Have this process kill itself (SIGKILL) at a boundary, having told which that is; they are counted from 0.

    A boundary is the moment before, and the moment behind, whatever any engine of this process sends to a database: a
    statement, a row of ledger or journal, BEGIN, COMMIT.
    """
    passed = count()

    def pass_boundary(when: str, statement: str) -> None:
        if next(passed) == boundary:
            tell(f"{when} {' '.join(statement.split())[:100]}")
            os.kill(os.getpid(), _KILL)

    def before(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        pass_boundary("before", statement)

    def behind(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        pass_boundary("behind", statement)

    def committing(_connection: object) -> None:  # SQLAlchemy's own, of another engine than a Migrator's
        pass_boundary("before", "COMMIT")

    event.listen(Engine, "before_cursor_execute", before)
    event.listen(Engine, "after_cursor_execute", behind)
    event.listen(Engine, "commit", committing)


class Nursery:
    """Makes calls with a Migrator, each in a new process."""

    def __init__(self, pipe: Any, process: Any) -> None:  # noqa: ANN401 - they differ by system and version
        self._pipe, self._process = pipe, process

    def together(self, calls: Sequence[Call], boundary: int | None = None) -> list[Any]:
        """Make calls at the same instant; return what each returns, or the error that it raises, or a `Killed`."""
        try:
            self._pipe.send((calls, boundary))
            answers: list[Any] | Exception = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            raise ConfigurationError(
                f"a process for the check ended with {self._process.exitcode}, and said why on stderr. In a script the "
                'call must stand below if __name__ == "__main__":, for the process imports the script'
            ) from None
        if isinstance(answers, Exception):
            raise answers
        return answers

    def alone(self, call: Call, boundary: int | None = None) -> Any:  # noqa: ANN401
        """Make one call; return what it returns, or raise what it raises."""
        (answer,) = self.together([call], boundary)
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def nursery(migrator: Migrator) -> Generator[Nursery]:
    """Give a nursery for calls with a Migrator, which must have a URL; it is gone at the end, with all its processes.

    It has the environment and the working directory of the caller. Ctrl-C does not reach it, but ends it through the
    caller. Raises ConfigurationError if the Migrator cannot be brought there, SourceError if its scripts cannot run.
    """
    try:
        pickled = pickle.dumps(migrator)
    except Exception as error:  # what is not made for it raises anything
        raise ConfigurationError(
            f"other processes need this Migrator, and it cannot be pickled ({error}): functions, sources and ledgers "
            "must stand in a module, not inside a function. No database was touched"
        ) from error
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, pickled, os.getcwd()))  # noqa: PTH109
    process.start()
    theirs.close()
    try:
        found = Nursery(ours, process)
        found.together(())
        yield found
    finally:
        ours.close()  # which it notices
        process.join()


def _serve(requests: Any, pickled: bytes, folder: str) -> None:  # noqa: ANN401
    """Be a nursery, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.chdir(folder)
    migrator, trouble = None, None
    try:
        migrator = pickle.loads(pickled)  # noqa: S301 - our parent's
        assert isinstance(migrator.database, URL)  # noqa: S101
        with engine_of(migrator.database):
            migrator.validate()  # imports and compiles what each process would have to otherwise
        gc.freeze()  # or each would copy what it looks through
    except Exception as error:  # noqa: BLE001 - it is raised on the other side
        trouble = _portable(error)
    with suppress(EOFError, OSError):
        while True:
            calls, boundary = requests.recv()
            requests.send(trouble or _made(requests, migrator, calls, boundary))


def _made(requests: Any, migrator: Any, calls: Sequence[Call], boundary: int | None) -> list[Any]:  # noqa: ANN401
    """Make calls, each in a process; return their answers. Raises EOFError, and ends them, when nobody waits for it."""
    context: Any = multiprocessing.get_context(_HOW)
    running, answers, ready = list[Any](), list[Any](), context.Barrier(len(calls) or 1)
    try:
        for call in calls:
            pipe, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_make, args=(theirs, ready, migrator, call, boundary))
            process.start()
            theirs.close()
            running.append((process, pipe))
        for process, pipe in running:
            if requests in wait([requests, pipe]):
                raise EOFError
            try:
                answers.append(pipe.recv())
            except EOFError:
                process.join()
                answers.append(RuntimeError(f"the process ended with {process.exitcode} in the middle of the call"))
            process.join(_PATIENCE)
    finally:
        for process, _ in running:
            process.kill()
            process.join()
    return answers


def _make(answers: Any, ready: Any, migrator: Migrator, call: Call, boundary: int | None) -> None:  # noqa: ANN401
    """Make a call in this process, and send its answer, once."""
    try:
        if boundary is not None:
            die_at(boundary, lambda when: answers.send(Killed(when)))
        ready.wait(_PATIENCE)
        answers.send(call(migrator))
    except Exception as error:  # noqa: BLE001 - it is raised on the other side
        answers.send(_portable(error))


def _portable(error: Exception) -> Exception:
    """Return an error that can be pickled: ours can, and of any other there is what would be printed."""
    return error if isinstance(error, MigrationError) else RuntimeError("".join(traceback.format_exception(error)))
