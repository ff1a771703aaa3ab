"""The database that a shadow is: made for one call and dropped, or given, empty, and emptied again.

    with shadow_database(dialect, url, wanted) as shadow:
        ...

Laws: only what is empty, or has the mark of a shadow, is ever written to; whoever uses one has a lock on its name, on a
session beside it, from before it is created until it is gone; so one that nobody has the lock of is left of a process
that was killed, and the next one removes it.
"""

from __future__ import annotations

import re
import secrets
import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError

from dbmigrate import database
from dbmigrate.connect import engine_of, hide_secrets, unreachable
from dbmigrate.dialects import Dialect, dialect_for
from dbmigrate.dialects.base import send
from dbmigrate.errors import ConfigurationError, MigrationError

#: The schema, or table where there are none, that says that a database is a shadow: all that is in it may go.
MARK = "dbmigrate_shadow"
#: Seconds that a lock is waited for: somebody may be looking whether a shadow is left.
_PATIENCE = 5.0


@contextmanager
def connected(engine: Engine | Connection) -> Generator[Connection]:
    """Give a connection, or the one that this is. Raises ConfigurationError if there is none to be had."""
    if isinstance(engine, Connection):
        yield engine
        return
    try:
        connection = engine.connect()
    except Exception as error:  # drivers, pools and hooks raise anything
        raise ConfigurationError(unreachable(error, engine.url, dialect_for(engine.url))) from error
    with connection:
        yield connection


@contextmanager
def session(url: URL) -> Generator[Connection]:
    """Give a connection in which every statement commits by itself."""
    with engine_of(url) as engine, connected(engine) as connection:
        dialect_for(url).autocommit(connection)
        yield connection


@contextmanager
def shadow_database(dialect: Dialect, live: URL, wanted: URL | None) -> Generator[URL]:
    """Give the URL of an empty database: of the name that is wanted, or of one beside `live` that nobody has."""
    with ExitStack() as stack:
        if wanted is not None and dialect_for(wanted).family != dialect_for(live).family:
            raise ConfigurationError(
                "shadow_url is a database of another kind, which was not touched: name another one"
            )
        if wanted is not None and dialect.is_system(str(wanted.database)):
            raise ConfigurationError(f"the database {wanted.database!r} comes with the server: name another one")
        if dialect.is_file:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dbmigrate-shadow-"))
            url = wanted or live.set(database=str(Path(folder, "shadow.db")), query={})
            stack.enter_context(_made(dialect, url))
            yield url
            return
        # a server has 63 bytes for a name, or 64 characters
        prefix = f"{(live.database or '').encode()[:36].decode(errors='ignore')}_shadow_"
        beside = stack.enter_context(database.beside(wanted or live))
        has_locks = dialect.behind(beside).has_session
        # without a lock it must not look as if it was left
        url = wanted or live.set(database=f"{prefix}{'' if has_locks else 'x'}{secrets.token_hex(8)}")
        if has_locks:
            _lock(dialect, beside, url)
        if wanted is not None and database.exists(url):
            if not has_locks:
                raise ConfigurationError(
                    "shadow_url leads through a pooler, where nothing keeps two from using one shadow at a time: give "
                    "the URL of the server, or of a database that does not exist. Nothing was touched"
                )
            with database.beside(live) as other:  # whose lock cannot be had if it is this one
                _lock(dialect, other, live, of=url)
            stack.enter_context(_given(dialect, url))
        else:
            if wanted is None and has_locks:
                _sweep(dialect, beside, url, prefix)
            stack.enter_context(_made(dialect, url))
        yield url


@contextmanager
def _made(dialect: Dialect, url: URL) -> Generator[None]:
    try:
        database.create_own(url)
    except ConfigurationError as error:
        if not dialect.is_file:
            error.add_note("who may not create databases gives the URL of one that is empty: shadow_url, --shadow-url")
        raise
    with _at_the_end(lambda: _drop(dialect, url)):
        if not dialect.is_file:
            with session(url) as connection, _told(url):
                _mark(dialect, connection)
        yield


@contextmanager
def _given(dialect: Dialect, url: URL) -> Generator[None]:
    with session(url) as connection, _told(url):
        if _is_marked(dialect, connection):
            _empty(dialect, connection, url)
        elif found := dialect.contents(connection, MARK):
            raise ConfigurationError(
                f"the database {url.database!r} is not empty, and was not touched; to empty it would begin with: "
                f"{found[0]}. shadow_url names one that is empty, or that does not exist"
            )
    with _at_the_end(lambda: _emptied(dialect, url)):
        with session(url) as connection, _told(url):
            _mark(dialect, connection)
        yield


@contextmanager
def _at_the_end(clean: Callable[[], None]) -> Generator[None]:
    """Call it, whatever happens, and hide no error behind one of it."""
    try:
        yield
    except BaseException as error:
        try:
            clean()
        except MigrationError as trouble:
            error.add_note(f"the shadow database is left: {trouble}")
        raise
    try:
        clean()
    except MigrationError as trouble:
        trouble.add_note("the shadow database is left")
        raise


@contextmanager
def _told(url: URL) -> Generator[None]:
    """Have what the database refuses of our own as an error of ours."""
    try:
        yield
    except DBAPIError as error:
        hide_secrets(error, url)
        reason = dialect_for(url).message(error)
        raise ConfigurationError(f"the database {url.database!r} cannot be a shadow: {reason}") from error


def _mark(dialect: Dialect, connection: Connection) -> None:
    send(connection, f"CREATE SCHEMA {MARK}" if dialect.has_schemas else f"CREATE TABLE {MARK} (x INTEGER)")


def _is_marked(dialect: Dialect, connection: Connection) -> bool:
    kind = "schema" if dialect.has_schemas else "table"
    return any((item.kind, item.name) == (kind, MARK) for item in dialect.catalogue(connection))


def _lock(dialect: Dialect, beside: Connection, url: URL, *, of: URL | None = None) -> None:
    """Take the lock of a shadow; or that of another database, because of one."""
    # Names may be equal that differ in case, and whoever is wrong about that only waits.
    key, until = dialect.lock_key(str(url.database).casefold(), MARK), monotonic() + _PATIENCE
    while not dialect.try_lock(beside, key):
        if monotonic() > until or of == url:
            raise ConfigurationError(
                f"the database {(of or url).database!r} cannot be a shadow, and was not touched: it is the database "
                "itself, or the shadow of another call, which has not ended. Wait, or name another one"
            )
        sleep(0.1)


def _emptied(dialect: Dialect, url: URL) -> None:
    with session(url) as connection, _told(url):
        _empty(dialect, connection, url)


def _empty(dialect: Dialect, connection: Connection, url: URL) -> None:
    dialect.end_sessions(connection, str(url.database))
    dialect.leave(connection)
    dialect.empty_database(connection, str(url.database), MARK)
    if found := dialect.contents(connection, MARK):
        raise ConfigurationError(
            f"the database {url.database!r} could not be emptied ({'; '.join(found)}): do so, or create it anew, "
            "before it is a shadow again"
        )


def _drop(dialect: Dialect, url: URL) -> None:
    try:
        if not dialect.is_file:
            with session(url) as connection, _told(url):
                dialect.end_sessions(connection, str(url.database))
                dialect.leave(connection)
    finally:
        database.drop(url, force=True)


def _sweep(dialect: Dialect, beside: Connection, url: URL, prefix: str) -> None:
    """Drop the shadows of calls that were killed."""
    for name in dialect.list_databases(beside, prefix):
        if not re.fullmatch("[0-9a-f]{16}", name.removeprefix(prefix)) or name == url.database:
            continue
        left, key = url.set(database=name), dialect.lock_key(name.casefold(), MARK)
        if dialect.try_lock(beside, key):
            try:
                if _is_left(dialect, left):
                    with suppress(MigrationError):  # another user's is left to that user's next call
                        _drop(dialect, left)
            finally:
                dialect.unlock(beside, key)


def _is_left(dialect: Dialect, url: URL) -> bool:
    """Tell whether a database that nobody has the lock of is a shadow, or was to become one."""
    try:
        with session(url) as connection, _told(url):
            return _is_marked(dialect, connection) or not dialect.contents(connection, MARK)
    except ConfigurationError:  # it is another user's
        return False
