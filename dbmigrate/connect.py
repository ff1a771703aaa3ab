"""Whose connection it is: engines, connections, and the session in which migrations run.

The ownership rule: an engine made from a URL is disposed of; a connection of the caller's engine goes back to its pool
as it came, unless a step may have run on it: then it is closed (an in-memory SQLite excepted, which is restored).
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, cast
from urllib.parse import quote, quote_plus

from sqlalchemy import create_engine
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError, MissingGreenlet, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from dbmigrate.dialects import COCKROACHDB, Dialect, is_async
from dbmigrate.dialects.base import send
from dbmigrate.errors import ConfigurationError, LedgerConflict, MigrationError
from dbmigrate.run import PATIENCE, Run, wait_for, writing

#: What in the query of a URL is not to be shown.
_SECRET = re.compile("pass|pwd|secret|token", re.IGNORECASE)
_SHORTEST = 4  # characters
_LONGEST = 255  # characters of applied_by
_ASYNC = (
    "an asynchronous driver cannot be used here: give a URL or an Engine with another one, as in "
    "postgresql+psycopg://. Nothing was run"
)


def without_secrets(url: URL) -> str:
    """Return a URL as it may be shown: without its password, and without what its query says of secrets."""
    query = {name: "***" if _SECRET.search(name) else value for name, value in url.query.items()}
    return url.set(query=query).render_as_string().replace("%2A%2A%2A", "***")


@contextmanager
def engine_of(database: URL | Engine | Connection) -> Generator[Engine | Connection]:
    """Give what connections come from: what the caller has, or an engine of ours that is disposed of at the end."""
    if not isinstance(database, URL):
        yield database
        return
    try:
        engine = None if is_async(database) else create_engine(database, poolclass=NullPool)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigurationError(
            f"no driver for this URL is installed ({error}): install one, or name another as in postgresql+psycopg://"
        ) from error
    except Exception as error:  # what SQLAlchemy cannot read in the query of a URL comes out as anything
        hide_secrets(error, database)
        raise ConfigurationError(f"this URL cannot be used: {error}. Nothing was run") from error
    if engine is None:
        raise ConfigurationError(_ASYNC)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def connect(database: Engine | Connection, run: Run) -> Generator[Connection]:
    """Give a connection to a run: one of an engine, which is closed at the end, or the caller's.

    Raises ConfigurationError if there is none to be had, and MigrationError if the database fails between steps: when
    it is asked for the lock, for one. What a step fails with has its own error.
    """
    url = database.engine.url
    try:
        opened = database.connect() if isinstance(database, Engine) else nullcontext(database)
    except MissingGreenlet as error:
        raise ConfigurationError(_ASYNC) from error
    except Exception as error:  # drivers, pools and hooks raise anything
        raise ConfigurationError(f"{unreachable(error, url, run.dialect)}. {run.done}") from error
    with opened as connection:
        run.connection, run.lost = connection, False
        if run.dialect.waits:
            if run.dialect.is_shared(connection):
                raise ConfigurationError(
                    "the connection that this Engine gave is in a transaction already. If a hook of yours opened it, "
                    "end it there; if the pool gives the same connection to several (StaticPool), end it first, or "
                    f"pass the Connection that has it. {run.done}"
                )
            connection.execution_options(stream_results=False)  # a cursor on the server would want a transaction
        elif not connection.in_transaction() or run.dialect.autocommits(connection):
            raise ConfigurationError(
                "this Connection is not in a transaction: use it inside engine.begin() and not in AUTOCOMMIT, or pass "
                "its Engine. Nothing was run"
            )
        elif connection.get_execution_options().get("stream_results"):
            raise ConfigurationError(
                "this Connection has stream_results=True, and savepoints cannot be made through a cursor on the "
                "server: set that for single statements, or pass its Engine. Nothing was run"
            )
        else:
            _try_out(connection, run)
        try:
            yield connection
        except DBAPIError as error:
            hide_secrets(error, url)
            reason = f"the database failed between steps: {run.dialect.message(error)}. status() tells what is applied"
            raise MigrationError(reason) from error


def unreachable(error: Exception, url: URL, dialect: Dialect) -> str:
    """Return where there is no connection to be had, and why. Takes the secrets of the URL out of the error."""
    hide_secrets(error, url)
    text = dialect.message(error) if isinstance(error, DBAPIError) else error
    if "CockroachDB" in str(error):  # SQLAlchemy cannot read its version
        return COCKROACHDB
    return f"cannot connect to {url.set(query={}).render_as_string()}: {text}"


def _try_out(connection: Connection, run: Run) -> None:
    """Make sure that the transaction of a caller's connection can still be used."""
    try:
        send(connection, "SELECT 1").close()
    except SQLAlchemyError as error:
        hide_secrets(error, connection.engine.url)
        reason = run.dialect.message(error) if isinstance(error, DBAPIError) else str(error)
        raise ConfigurationError(
            f"the transaction of this Connection cannot be used any more ({reason}): roll it back. Nothing was run"
        ) from error


def hide_secrets(error: BaseException, url: URL) -> None:
    """Take the secrets of a URL out of an error and all that it stands on: their text, and whatever they carry.

    A password that only the engine knows (`connect_args`, a creator) is in no text of a driver that we know of.
    """
    hidden = [values for key, values in url.query.items() if _SECRET.search(key)]
    plain = {str(url.password or ""), *(v for vs in hidden for v in ([vs] if isinstance(vs, str) else vs))} - {""}
    forms = [(s, quote(s, safe=""), quote_plus(s), repr(s)[1:-1], repr(s.encode())[2:-1]) for s in plain]
    # A short one is no secret by itself: to hide it everywhere would garble all words, and show it by that.
    long = {form for s, same in zip(plain, forms, strict=True) for form in same if len(s) >= _SHORTEST}
    marked = {mark.format(form) for same in forms for form in same for mark in (":{}@", "password={}", "passwd={}")}
    secrets = sorted(long | marked, key=len, reverse=True)

    def clean(value: object) -> object:
        if isinstance(value, str):
            for secret in secrets:
                value = value.replace(secret, "***")
        elif type(value).__module__ != "builtins" and not isinstance(value, BaseException):
            # psycopg: all it connected with, which need not be from the URL
            return None if "password" in dir(value) or any(secret in repr(value) for secret in secrets) else value
        return value

    links = [error]
    for link in links:  # which grows meanwhile
        link.args = tuple(map(clean, link.args))
        vars(link).update({name: clean(value) for name, value in vars(link).items()})
        if isinstance(link, UnicodeEncodeError):  # it quotes from what could not be encoded
            link.object, link.args = "***", (link.encoding, "***", link.start, link.end, link.reason)
        links += [x for x in (link.__cause__, link.__context__) if x is not None and x not in links]


def limits(run: Run) -> list[str]:
    """Return the statements that set what the session of a run may take, as far as its settings say so."""
    return [
        sql
        for name in ("lock_timeout", "statement_timeout")
        if (seconds := getattr(run.settings, name)) is not None
        for sql in run.dialect.limit(run.connection, name, seconds)
    ]


@contextmanager
def session(run: Run, *, create: bool = True) -> Generator[None]:
    """Make the connection of a run ours: autocommit, limits, ledger, lock. At the end it is closed, or restored.

    Without `create` the ledger may be missing in it. Whoever waits for the lock holds no transaction. Raises
    MigrationInProgress when nobody made progress for `acquire_timeout` seconds.
    """
    connection, dialect, settings = run.connection, run.dialect, run.settings
    home = None
    if not dialect.waits:
        wait_for(run, lambda: dialect.join(connection))
    else:
        if run.ledger.schema is None:
            home = dialect.home(connection, run.ledger.table)  # in a transaction, as the application has it
            connection.rollback()
        if dialect.is_disposable(connection):
            connection.detach()  # so that closing it closes the session
    has_another = dialect.begin_is_the_lock and (run.outside or not run.ledger.transactional)
    beside = dialect.lock_beside(connection) if has_another else nullcontext(lambda: True)
    with dialect.session(connection, settings.acquire_timeout), beside as try_lock_beside:
        run.dialect = dialect = dialect.behind(connection)
        dialect.check(connection)
        run.local = limits(run)
        if dialect.has_session:
            for sql in run.local:
                send(connection, sql)
            run.local = ()
        if run.ledger.schema is None:
            run.ledger = run.ledger.at(dialect.home(connection, run.ledger.table), dialect)
            if home not in (None, run.ledger.schema):
                raise ConfigurationError(
                    f"a hook of this Engine names the schema {home} for one transaction only, and {run.ledger.schema} "
                    f"would be migrated: let it set that for the session, not with SET LOCAL. {run.done}"
                )
        run.session, run.applied_by = dialect.session_id(connection), run.applied_by or _who()
        with nullcontext() if dialect.begin_is_the_lock else _lock(run):
            wait_for(run, try_lock_beside)
            run.head = run.ledger.head(connection)
            if create and run.head == 0:
                _create(run)
            yield


@contextmanager
def _lock(run: Run) -> Generator[None]:
    """Have the lock, on the connection that works; or on a second one, where that one has no session to have it."""
    dialect, connection = run.dialect, run.connection
    key = dialect.lock_key(run.ledger.schema, run.ledger.table)
    with nullcontext(connection) if dialect.has_session else _second(run) as keeper:
        if not dialect.has_session:
            keeper.detach()
            dialect.autocommit(keeper)

        def attempt() -> bool:
            with nullcontext() if dialect.has_session else _bounded(run, keeper):
                return dialect.try_lock(keeper, key)

        wait_for(run, attempt, lambda: dialect.holder(connection, key))
        try:
            if dialect.has_session:
                run.keeps_lock = lambda: dialect.has_lock(keeper, key)
            else:
                run.local = (*dialect.share(key), *run.local)
                with _bounded(run, keeper):
                    send(connection, "SELECT 1")
                run.has_lock = lambda: dialect.has_lock(keeper, key)
            yield
        finally:
            run.has_lock = run.keeps_lock = lambda: True
            if not (run.is_lost if keeper is connection else keeper.invalidated):
                with suppress(SQLAlchemyError):  # the session ends next, and the lock with it
                    dialect.unlock(keeper, key)


def _second(run: Run) -> Connection:
    """Return another connection of the engine."""
    try:
        return run.connection.engine.connect()
    except Exception as error:
        reason = unreachable(error, run.settings.url, run.dialect)
        raise ConfigurationError(f"behind a pooler a second connection is needed: {reason}. {run.done}") from error


@contextmanager
def _bounded(run: Run, keeper: Connection) -> Generator[None]:
    """Give up when the pooler has no session of the server for what is inside: one holds the lock, another works."""
    raw, patience = cast("Any", keeper.connection.dbapi_connection), run.settings.acquire_timeout
    is_over = threading.Event()

    def cut() -> None:
        is_over.set()
        with suppress(OSError):  # the connection may have ended already
            end = socket.socket(fileno=raw.fileno())
            end.shutdown(socket.SHUT_RDWR)  # whoever waits for an answer over it wakes up
            end.detach()  # it is closed where it was made

    timer, reason = threading.Timer(patience, cut), ""
    timer.start()
    try:
        yield
    except DBAPIError as error:
        reason = run.dialect.message(error)
        if not is_over.is_set() and "query_wait_timeout" not in reason:
            raise
    finally:
        timer.cancel()
    if is_over.is_set():
        reason = f"it had none for {patience:g} s"
    if reason:
        raise ConfigurationError(
            f"this connection goes through a pooler, which has no second connection to the server for dbmigrate "
            f"({reason}): one holds the migration lock while the other works. Let pool_size be at least 2, and 3 if "
            f"others are to wait, or give dbmigrate a URL that leads directly to the server. {run.done}"
        )


def _create(run: Run) -> None:
    """Create the ledger; where somebody else is just doing so, try again and find it there."""
    if not run.dialect.waits and not run.dialect.transactional_ddl:
        if run.ledger.exists(run.connection):
            return
        raise ConfigurationError(
            "there is no ledger yet, and creating one would commit the transaction of this Connection: call with its "
            "Engine once. Nothing was run"
        )
    for attempt in range(PATIENCE if run.dialect.waits else 1):
        try:
            with writing(run):
                run.ledger.create(run.connection)
        except LedgerConflict:
            if attempt == PATIENCE - 1 or not run.dialect.waits:
                raise
        else:
            return


def _who() -> str:
    import getpass  # noqa: PLC0415 - not worth the time where nothing is pending

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    who = f"{user}@{socket.gethostname()}"  # LOGNAME may be anything
    return (who if who.isprintable() else ascii(who)[1:-1])[:_LONGEST]
