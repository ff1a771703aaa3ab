"""A run that is stopped: by Ctrl-C at any moment, by the server, or by a thread that closes its connection.

What a signal does to a process is in test_ownership.py and test_cli.py.
"""

from __future__ import annotations

import gc
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool

from dbmigrate import MemorySource, MigrationFailed, Migrator, sql_migration
from tests.faults.scene import Scene
from tests.processes import Moment

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.faults.tally import Injected

#: Every so many boundaries.
_STRIDE = {"sqlite": 2, "postgresql": 5, "mariadb": 5}
_CANCEL = {"postgresql": "SELECT pg_cancel_backend({})", "mariadb": "KILL QUERY {}"}


@pytest.mark.fault("Ctrl-C at a boundary of upgrade()")
def test_ctrl_c_at_a_boundary(database: Database, injected: Injected) -> None:
    """Before or behind any message: the session ends, with what it holds, on a server while the traceback is kept."""
    scene, count, boundary = Scene(database), 0, 0
    while True:
        engine, passed = create_engine(database.url, poolclass=NullPool), iter(range(1_000_000))

        def stop(*_: Any, passed: Any = passed, at: int = boundary) -> None:
            if next(passed) == at:
                raise KeyboardInterrupt

        event.listen(engine, "before_cursor_execute", stop)
        event.listen(engine, "after_cursor_execute", stop)
        try:
            Migrator(engine, scene.source).upgrade()
        except KeyboardInterrupt as error:
            kept = error.__traceback__ if database.server is not None else None
        else:
            break
        if kept is None:  # sqlite3 keeps what a SELECT locks for as long as its cursor is there, as in the traceback
            gc.collect()
        scene.recover()
        del kept
        scene.clear()
        count, boundary = count + 1, boundary + _STRIDE[database.kind]
    assert boundary > 50
    injected(count)


@pytest.mark.kinds("postgresql", "mariadb")
@pytest.mark.parametrize("how", ["cancel", "terminate", "close"])
@pytest.mark.parametrize("number", [0, 1], ids=["in a transaction", "outside a transaction"])
@pytest.mark.fault("a statement is cancelled, its session ended, or its connection closed by another thread")
def test_stopped_in_the_middle_of_a_statement(database: Database, how: str, number: int) -> None:
    """A transaction rolls back; a step outside one stays unfinished; the lock is given back."""
    scene = Scene(database)
    begin = ("INSERT INTO effects", {"postgresql": "CREATE INDEX", "mariadb": "ALTER TABLE things"}[database.kind])
    with scene.in_the_middle(begin[number], (" VALUES ('2", "")[number]) as middle:
        if how == "cancel":
            database.execute(_CANCEL[database.kind].format(middle.session))
        elif how == "terminate":
            scene.end_sessions(middle.session)
        elif database.kind == "postgresql":
            middle.connection.close()
        else:  # close() would wait for the answer
            middle.connection._sock.shutdown(socket.SHUT_RDWR)
    with pytest.raises(MigrationFailed) as caught:
        middle.report()
    assert str(caught.value.step) == ("2_rows up", "4_outside up")[number]
    assert caught.value.rolled_back is (number == 0)
    scene.recover()


@pytest.mark.kinds("sqlite")
@pytest.mark.parametrize("transaction", [True, False])
@pytest.mark.fault("a statement is interrupted by another thread")
def test_interrupted_by_another_thread(database: Database, transaction: bool) -> None:
    """Of a statement that sqlite3's interrupt() ends nothing is left."""
    scene, done = Scene(database), threading.Event()
    endless = "INSERT INTO things WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT i FROM n"
    text = endless if transaction else f"-- dbmigrate: no-transaction\n{endless}"
    source = MemorySource([*scene.source.load(), sql_migration("6", "endless", text)])
    engine = create_engine(scene.url, poolclass=NullPool)

    def interrupt(raw: Any) -> None:
        while not done.wait(0.01):
            raw.interrupt()

    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        stack.callback(done.set)
        Moment("before", endless).listen(engine, lambda raw: pool.submit(interrupt, raw))
        with pytest.raises(MigrationFailed, match="interrupted") as caught:
            Migrator(engine, source).upgrade()
    assert caught.value.rolled_back
    scene.check()
