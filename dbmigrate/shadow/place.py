"""The database that a shadow is: made for one call and dropped, or given, empty, and emptied again.

    with shadow_database(dialect, url, wanted) as shadow:
        ...

Laws: only what is empty, or has the mark of a shadow, is ever written to; whoever uses one has a lock on it for as long
as they do; so one that is marked and not locked is left of a process that was killed, and the next one removes it.
"""

from __future__ import annotations

import re
import secrets
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep

from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError

from dbmigrate import database
from dbmigrate.catalogue import Object
from dbmigrate.connect import engine_of, hide_secrets, unreachable
from dbmigrate.dialects import Dialect, dialect_for
from dbmigrate.dialects.base import send
from dbmigrate.errors import ConfigurationError, MigrationError
from dbmigrate.schema import snapshot

#: The table that says that a database is a shadow: all that is in it may go.
MARK = "dbmigrate_shadow"
#: Seconds that a shadow which is there is waited for: somebody may be looking whether it is left.
_PATIENCE = 5.0
#: What may be in an empty database, for it is not what migrations make alone.
_OF_OTHERS = {"schema", "extension", "grant", "default privileges"}


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
def shadow_database(dialect: Dialect, live: URL, wanted: URL | None) -> Generator[URL]:
    """Give the URL of an empty database: of the name that is wanted, or of one beside `live` that nobody has."""
    with ExitStack() as stack:
        if wanted is not None:
            url = wanted
        elif dialect.is_file:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dbmigrate-shadow-"))
            url = live.set(database=str(Path(folder, "shadow.db")), query={})
        else:
            # a server has 63 bytes for a name, or 64 characters
            prefix = f"{(live.database or '').encode()[:40].decode(errors='ignore')}_shadow_"
            url = live.set(database=f"{prefix}{secrets.token_hex(4)}")
            _sweep(dialect, url, prefix)
        is_given = wanted is not None and not dialect.is_file and database.exists(url)
        stack.enter_context(_given(dialect, url, live) if is_given else _made(dialect, url))
        yield url


@contextmanager
def _made(dialect: Dialect, url: URL) -> Generator[None]:
    database.create_own(url)
    with _at_the_end(lambda: _drop(dialect, url)):
        if dialect.is_file:
            yield
            return
        with _session(url) as connection:
            with _told(url):
                # Behind a pooler a lock means nothing, and without one the mark would say that it is left.
                if dialect.behind(connection).has_session:
                    _lock(dialect, connection, url)
                    _mark(connection)
            yield


@contextmanager
def _given(dialect: Dialect, url: URL, live: URL) -> Generator[None]:
    if _place(url) == _place(live):
        raise ConfigurationError("shadow_url is the database itself, which was not touched: name another one")
    with _session(url) as connection:
        with _told(url):
            _take(dialect, connection, url)
        with _at_the_end(lambda: _empty(dialect, connection, url)):
            with _told(url):
                _mark(connection)
            yield


def _take(dialect: Dialect, connection: Connection, url: URL) -> None:
    """See that a database may be used, and that it is empty."""
    if not dialect.behind(connection).has_session:
        raise ConfigurationError(
            "shadow_url leads through a pooler, where nothing keeps two from using one shadow at a time: give the "
            "URL of the server, or of a database that does not exist. Nothing was touched"
        )
    _lock(dialect, connection, url)
    found = _found(dialect, connection)
    if _is_marked(found):
        _empty(dialect, connection, url)
    elif found:
        raise ConfigurationError(
            f"the database {url.database!r} is not empty (it has {found[0]}), and was not touched: shadow_url names "
            "one that is empty, or that does not exist"
        )


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
    clean()


@contextmanager
def _session(url: URL) -> Generator[Connection]:
    with engine_of(url) as engine, connected(engine) as connection:
        dialect_for(url).autocommit(connection)
        yield connection


@contextmanager
def _told(url: URL) -> Generator[None]:
    """Have what the database refuses of our own as an error of ours."""
    try:
        yield
    except DBAPIError as error:
        hide_secrets(error, url)
        reason = dialect_for(url).message(error)
        raise ConfigurationError(f"the database {url.database!r} cannot be a shadow: {reason}") from error


def _mark(connection: Connection) -> None:
    send(connection, f"CREATE TABLE {MARK} (x INTEGER)")


def _lock(dialect: Dialect, connection: Connection, url: URL) -> None:
    until = monotonic() + _PATIENCE
    while not dialect.try_lock(connection, _key(dialect, url)):
        if monotonic() > until:
            raise ConfigurationError(
                f"the database {url.database!r} is the shadow of another call, which has not ended: wait, or name "
                "another one. It was not touched"
            )
        sleep(0.1)


def _key(dialect: Dialect, url: URL) -> str:
    return dialect.lock_key(url.database, MARK)


def _found(dialect: Dialect, connection: Connection) -> list[Object]:
    """Return what is in a database that an empty one has not."""
    taken = snapshot(connection, ledger=None, dialect=dialect)
    return [item for item in taken if item.kind not in _OF_OTHERS]


def _is_marked(found: Iterable[Object]) -> bool:
    return any((item.kind, item.name) == ("table", MARK) for item in found)


def _empty(dialect: Dialect, connection: Connection, url: URL) -> None:
    with _told(url):
        dialect.end_sessions(connection, str(url.database))
        dialect.leave(connection)
        dialect.empty_database(connection, str(url.database), MARK)
        found = _found(dialect, connection)
    if found:
        raise ConfigurationError(
            f"the database {url.database!r} could not be emptied of {', '.join(map(str, found))}: do so, or create it "
            "anew, before it is a shadow again"
        )


def _drop(dialect: Dialect, url: URL) -> None:
    try:
        with _session(url) as connection, _told(url):
            dialect.end_sessions(connection, str(url.database))
            dialect.leave(connection)
    finally:
        database.drop(url, force=True)


def _sweep(dialect: Dialect, url: URL, prefix: str) -> None:
    """Drop the shadows of calls that were killed."""
    with database.managing(url) as (_, connection, _):
        names = dialect.list_databases(connection, prefix)
    for name in names:
        if re.fullmatch("[0-9a-f]{8}", name.removeprefix(prefix)):
            left = url.set(database=name)
            if _is_left(dialect, left):
                _drop(dialect, left)


def _is_left(dialect: Dialect, url: URL) -> bool:
    """Tell whether a database has the mark of a shadow, and nobody the lock of one."""
    try:
        with _session(url) as connection, _told(url):
            return (
                dialect.behind(connection).has_session
                and dialect.try_lock(connection, _key(dialect, url))
                and _is_marked(_found(dialect, connection))
            )
    except ConfigurationError:  # it is being dropped, or another user's
        return False


def _place(url: URL) -> tuple[object, ...]:
    return url.host, url.port, url.database, url.query
