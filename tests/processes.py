"""Processes of the tests: many at once, or one that kills itself at a chosen boundary.

They are forked from a server process that has imported what they need and holds no connection.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import DupFd
from typing import TYPE_CHECKING, Any, Literal, Self

import sqlalchemy
from sqlalchemy import event

from dbmigrate import MigrationError, Migrator, Report
from dbmigrate.dialects import dialect_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    from dbmigrate.dialects import Dialect

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.preloaded"])

#: No process of a test takes longer than that, in seconds.
PATIENCE = 120.0


@dataclass(frozen=True)
class Answer:
    """What one process of a race has to say."""

    applied: list[str]
    is_current: bool
    error: str | None = None


def unlocked(dialect: Dialect) -> Dialect:
    """Return a dialect whose lock keeps nobody out, so that only the ledger's key is left."""
    base = type(dialect)

    class Unlocked(base):  # type: ignore[valid-type,misc]
        """The same database without its lock; on SQLite that is in BEGIN IMMEDIATE."""

        begin_sql = "BEGIN" if base.begin_is_the_lock else base.begin_sql

        def try_lock(self, connection: sqlalchemy.Connection, key: str) -> bool:  # noqa: ARG002
            """Pretend."""
            return True

        def unlock(self, connection: sqlalchemy.Connection, key: str) -> None:
            """Pretend."""

    return Unlocked()


def race(count: int, url: sqlalchemy.URL, source: Any, *, lock: bool = True) -> list[Answer]:
    """Let many processes call upgrade() at the same instant; return what each of them says."""
    barrier = _CONTEXT.Barrier(count)
    answers: Any = _CONTEXT.Queue()
    address = url.render_as_string(hide_password=False)
    runners = [
        _CONTEXT.Process(target=_racer, args=(barrier, answers, address, str(source), lock)) for _ in range(count)
    ]
    for runner in runners:
        runner.start()
    try:
        return [answers.get(timeout=PATIENCE) for _ in runners]
    finally:
        for runner in runners:
            runner.join(10)
            runner.kill()


def _racer(barrier: Any, answers: Any, url: str, source: str, lock: bool) -> None:
    try:
        dialect = None if lock else unlocked(dialect_for(sqlalchemy.make_url(url)))
        migrator = Migrator(url, source, dialect=dialect)
        barrier.wait(PATIENCE)
        report = migrator.upgrade()
        applied = [o.step.migration.version for o in report.outcomes]
        answers.put(Answer(applied, migrator.status().is_current))
    except BaseException:  # noqa: BLE001 - whatever it is, the test wants to read it
        answers.put(Answer([], is_current=False, error=traceback.format_exc()))


def mixed(url: sqlalchemy.URL, source: Any, calls: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Answer]:
    """Let as many processes make one call each at the same instant; an error is the name of its class."""
    barrier, answers = _CONTEXT.Barrier(len(calls)), _CONTEXT.Queue()
    address = url.render_as_string(hide_password=False)
    runners = [_CONTEXT.Process(target=_mixed, args=(barrier, answers, address, source, *one)) for one in calls]
    for runner in runners:
        runner.start()
    try:
        return [answers.get(timeout=PATIENCE) for _ in runners]
    finally:
        for runner in runners:
            runner.join(10)
            runner.kill()


def _mixed(barrier: Any, answers: Any, url: str, source: Any, name: str, arguments: Mapping[str, Any]) -> None:
    migrator = Migrator(url, source)
    barrier.wait(PATIENCE)
    try:
        report = getattr(migrator, name)(**arguments)
    except MigrationError as error:
        answers.put(Answer([name], is_current=False, error=type(error).__name__))
    except BaseException:  # noqa: BLE001 - whatever it is, the test wants to read it
        answers.put(Answer([name], is_current=False, error=traceback.format_exc()))
    else:
        applied = [str(o.step) for o in report.outcomes] if isinstance(report, Report) else []
        answers.put(Answer([name, *applied], is_current=True))


def run_until(boundary: int, url: sqlalchemy.URL, call: Callable[[sqlalchemy.Engine], object], since: str = "") -> bool:
    """Run a call in a process that kills itself (SIGKILL) at the given boundary; return whether it did.

    A boundary is the moment before or the moment after anything is sent to the database: a
    statement, a row of ledger or journal, BEGIN, COMMIT. They are counted from 0, or from the one
    before a statement that begins with `since`. There is none of a negative number.
    """
    address = url.render_as_string(hide_password=False)
    child = _CONTEXT.Process(target=_mortal, args=(boundary, address, call, since))
    child.start()
    child.join(PATIENCE)
    if child.exitcode not in (0, -signal.SIGKILL):
        child.kill()
        raise AssertionError(f"the process at boundary {boundary} ended with {child.exitcode}")
    return child.exitcode != 0


def started(url: sqlalchemy.URL, source: Any, method: str = "upgrade", **options: Any) -> ForkServerProcess:
    """Let a process call a method of a Migrator, and return it at once."""
    address = url.render_as_string(hide_password=False)
    child = _CONTEXT.Process(target=_calling, args=(address, source, method, options))
    child.start()
    return child


def _calling(url: str, source: Any, method: str, options: Mapping[str, Any]) -> None:
    getattr(Migrator(url, source, **options), method)()


def make(engine: sqlalchemy.Engine, folder: str, method: str, **arguments: Any) -> None:
    """Call a method of a Migrator; in this module, since the processes have imported it."""
    getattr(Migrator(engine, folder), method)(**arguments)


def create_ledger(engine: sqlalchemy.Engine, folder: str) -> None:
    """Apply everything, and end without a word where the first step begins."""
    Migrator(engine, folder, on_event=lambda _: os._exit(0)).upgrade()


def call(
    engine: sqlalchemy.Engine, folder: str, name: str, arguments: Mapping[str, Any], options: Mapping[str, Any]
) -> None:
    """Make one call of a Migrator; what it raises shows in what it leaves."""
    with suppress(MigrationError):
        getattr(Migrator(engine, folder, **options), name)(**arguments)


def _mortal(boundary: int, url: str, call: Callable[[sqlalchemy.Engine], object], since: str) -> None:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    passed = -1

    def pass_boundary(*arguments: Any) -> None:
        nonlocal passed
        if passed >= 0 or arguments[2].startswith(since):
            passed += 1
            if passed == boundary:
                os.kill(os.getpid(), signal.SIGKILL)

    event.listen(engine, "before_cursor_execute", pass_boundary)
    event.listen(engine, "after_cursor_execute", pass_boundary)
    call(engine)


@dataclass(frozen=True)
class Moment:
    """Just before or after the first message that begins with a text, behind one that begins with another."""

    when: Literal["before", "after"]
    text: str
    behind: str = ""

    def listen(self, engine: sqlalchemy.Engine, act: Callable[[Any], object]) -> None:
        """Act at that moment, once, with the connection of the driver that sends the message."""
        open_, done = [not self.behind], list[bool]()

        def look(*arguments: Any) -> None:
            if open_[0] and not done and arguments[2].startswith(self.text):
                done.append(True)
                act(arguments[0].connection.dbapi_connection)
            open_[0] = open_[0] or arguments[2].startswith(self.behind)

        event.listen(engine, f"{self.when}_cursor_execute", look)

    def __str__(self) -> str:
        return f"{self.when} {self.text}"


class Sleeper:
    """A process that calls upgrade() and is stopped (SIGSTOP) at a moment, until it is woken."""

    def __init__(self, url: sqlalchemy.URL, source: Any, moment: Moment) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        address = url.render_as_string(hide_password=False)
        self._process = _CONTEXT.Process(target=_sleep, args=(theirs, address, source, moment))
        self._process.start()
        theirs.close()
        assert self._hear() == "here"
        # It waits for a word, so that it does not matter when exactly the signal arrives.
        self._send_signal(signal.SIGSTOP)

    def wake(self) -> Answer:
        """Let it go on; return what it says in the end."""
        self._pipe.send("go on")
        self._send_signal(signal.SIGCONT)
        answer = self._hear()
        assert isinstance(answer, Answer)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _hear(self) -> object:
        assert self._pipe.poll(PATIENCE), "it says nothing"
        return self._pipe.recv()

    def _send_signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)


def _sleep(pipe: Any, url: str, source: Any, moment: Moment) -> None:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)

    def pause(_: object) -> None:
        pipe.send("here")
        pipe.recv()

    moment.listen(engine, pause)
    try:
        migrator = Migrator(engine, source)
        report = migrator.upgrade()
        answer = Answer([str(o.step) for o in report.outcomes], migrator.status().is_current)
    except MigrationError as error:
        applied = [str(o.step) for o in getattr(error, "report", Report()).outcomes]
        answer = Answer(applied, is_current=False, error=str(error))
    pipe.send(answer)


def interrupted(url: sqlalchemy.URL, source: Any, after: float) -> str:
    """Let a process call upgrade() and press Ctrl-C some seconds later; return what came out of the call."""
    answers: Any = _CONTEXT.Queue()
    child = _CONTEXT.Process(target=_interruptible, args=(answers, url.render_as_string(hide_password=False), source))
    child.start()
    answers.get(timeout=PATIENCE)
    time.sleep(after)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGINT)
    answer: str = answers.get(timeout=PATIENCE)
    child.join(PATIENCE)
    return answer


def _interruptible(answers: Any, url: str, source: Any) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    answers.put("ready")
    try:
        Migrator(url, source).upgrade()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the test wants to know
        answers.put(type(error).__name__)
    else:
        answers.put("nothing")


class Command(ForkServerProcess):
    """`python -m dbmigrate`, or a script, in a folder, in a session of its own; `files`: stdin, stdout and stderr.

    It differs from one that is executed in what is loaded already, which is most of the time that one takes.
    """

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        files: Sequence[int],
        script: str | None = None,
    ) -> None:
        owned = [DupFd(file) for file in files]
        super().__init__(target=_command, args=(words, str(folder), dict(variables), owned, script))
        self.start()

    def wait(self, timeout: float) -> int:
        """Return the exit code, as `subprocess.Popen` does."""
        self.join(timeout)
        assert self.exitcode is not None
        return self.exitcode


def _command(
    words: Sequence[str], folder: str, variables: Mapping[str, str], files: Sequence[Any], script: str | None
) -> None:
    os.setsid()
    os.chdir(folder)
    for number, file in enumerate(files):
        os.dup2(file.detach(), number)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = [script or "dbmigrate", *words]
    sys.path.insert(0, folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with (
        open(0, closefd=False, encoding="utf-8") as sys.stdin,
        open(1, "w", closefd=False, encoding="utf-8") as sys.stdout,
        open(2, "w", closefd=False, encoding="utf-8", errors="backslashreplace", buffering=1) as sys.stderr,
    ):
        if script is None:
            runpy.run_module("dbmigrate", run_name="__main__")
        else:
            runpy.run_path(script, run_name="__main__")


@contextmanager
def relay(port: int, change: Callable[[bytes], bytes]) -> Generator[int]:
    """Stand between one client after the other and a server on 127.0.0.1; `change` what the server says.

    Gives the port to connect to. It is for what a server says at once, as when a connection begins.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()
        thread = threading.Thread(target=_relay, args=(listener, port, change, done))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            thread.join()


def _relay(listener: socket.socket, port: int, change: Callable[[bytes], bytes], done: threading.Event) -> None:
    while not done.is_set():
        if not select.select([listener], [], [], 0.05)[0]:
            continue
        client, _ = listener.accept()
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            while not done.is_set():
                readable, _, _ = select.select([client, server], [], [], 0.05)
                if client in readable:
                    if not (asked := client.recv(65536)):
                        break
                    server.sendall(asked)
                if server in readable:
                    if not (said := server.recv(65536)):
                        break
                    client.sendall(change(said))
