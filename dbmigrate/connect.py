"""Whose connection it is: engines, connections, and the session in which migrations run.

The ownership rule: an engine made from a URL is disposed of; a connection of the caller's engine goes back to its pool
as it came, unless a step may have run on it: then it is closed (an in-memory SQLite excepted, which is restored).
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import create_engine
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from dbmigrate.dialects.base import send
from dbmigrate.errors import ConfigurationError, LedgerConflict, MigrationError
from dbmigrate.run import PATIENCE, Run, locked, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from dbmigrate.dialects import Dialect
    from dbmigrate.ledger import TableLedger
    from dbmigrate.model import Event, Outcome


def url_of(database: URL | Engine) -> URL:
    """Return the URL of a database."""
    return database.url if isinstance(database, Engine) else database


@contextmanager
def engine_of(database: URL | Engine) -> Generator[Engine]:
    """Give an engine: the caller's, or one of ours that is disposed of at the end."""
    if isinstance(database, Engine):
        yield database
        return
    try:
        engine = create_engine(database, poolclass=NullPool)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigurationError(
            f"no driver for this URL is installed ({error}): install one, or name another as in postgresql+psycopg://"
        ) from error
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def connect(engine: Engine) -> Generator[Connection]:
    """Give a connection.

    Raises ConfigurationError if there is none to be had, and MigrationError if the database fails between steps: when
    it is asked for the lock, for one. What a step fails with has its own error.
    """
    try:
        connection = engine.connect()
    except SQLAlchemyError as error:
        text = _without_secrets(str(getattr(error, "orig", None) or error), engine.url)
        place = engine.url.set(password=None, query={}).render_as_string()
        raise ConfigurationError(f"cannot connect to {place}: {text}. Nothing was run") from error
    with connection:
        try:
            yield connection
        except DBAPIError as error:
            text = _without_secrets(str(error.orig), engine.url)
            raise MigrationError(
                f"the database failed between steps: {text}. status() tells what is applied"
            ) from error


def _without_secrets(message: str, url: URL) -> str:
    secrets = [str(url.password or ""), *(str(v) for k, v in url.query.items() if "pass" in k.lower())]
    for secret in secrets:
        message = message.replace(secret, "***") if secret else message
    return message


@contextmanager
def session(  # noqa: PLR0913 - what Migrator was given
    connection: Connection,
    dialect: Dialect,
    ledger: TableLedger,
    emit: Callable[[Event], None],
    *,
    acquire_timeout: float,
    lock_timeout: float | None,
    statement_timeout: float | None,
    outcomes: list[Outcome],
) -> Generator[Run]:
    """Make a connection ours: autocommit, limits, ledger, lock. At the end it is closed, or restored."""
    limits = (("lock_timeout", lock_timeout), ("statement_timeout", statement_timeout))
    settings = [sql for name, limit in limits if limit is not None for sql in dialect.limit(connection, name, limit)]
    if dialect.is_disposable(connection):
        connection.detach()  # so that closing it closes the session
    with dialect.session(connection, acquire_timeout):
        for sql in settings:
            send(connection, sql)
        ledger = ledger.at(None, dialect)
        if ledger.schema is None:
            ledger = ledger.at(dialect.home(connection, ledger.table), dialect)
        number = dialect.session_id(connection)
        run = Run(connection, dialect, ledger, emit, acquire_timeout, _who(), number, outcomes=outcomes)
        with locked(run, dialect.lock_key(ledger.schema, ledger.table)):
            run.head = ledger.head(connection)
            if run.head == 0:
                _create(run)
            yield run


def _create(run: Run) -> None:
    """Create the ledger; where somebody else is just doing so, try again and find it there."""
    for attempt in range(PATIENCE):
        try:
            with writing(run):
                run.ledger.create(run.connection)
        except LedgerConflict:
            if attempt == PATIENCE - 1:
                raise
        else:
            return


def _who() -> str:
    import getpass  # noqa: PLC0415 - not worth the time where nothing is pending

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"
