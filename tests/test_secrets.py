"""No password shows: in no message, cause, note, traceback, log line, event, repr, or pickle of what is given out."""

from __future__ import annotations

import json
import logging
import pickle
import socket
import threading
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import sqlalchemy
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from dbmigrate import (
    ConfigurationError,
    LedgerError,
    MemorySource,
    MigrationError,
    MigrationFailed,
    MigrationInProgress,
    Migrator,
    NotCurrent,
    StatementFinished,
    python_migration,
    sql_migration,
)
from dbmigrate import database as managed
from dbmigrate.dialects import dialect_for
from dbmigrate.dialects.base import send
from tests import servers

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from dbmigrate import Event
    from tests.conftest import Database

WORD = "s3ntinel"
#: It begins and ends with the word, so that a part of it shows as well, in whatever form.
PASSWORD = f"{WORD} :/?#[]@%41&=+; {WORD}"
#: In the latin-1 of PyMySQL there is no such character.
UNSENDABLE = f"{WORD}\N{EURO SIGN}\N{SNOWMAN}{WORD}"

FIRST = sql_migration("1", "a", "CREATE TABLE a (x INTEGER)", "DROP TABLE a")
SOURCE = MemorySource([FIRST, sql_migration("2", "b", "INSERT INTO a VALUES (1)", "DELETE FROM a")])


def _broken(connection: sqlalchemy.Connection) -> None:
    connection.execute(sqlalchemy.text("INSERT INTO nowhere VALUES (1)"))


BAD = sql_migration("3", "c", "INSERT INTO nowhere VALUES (1)")
BAD_DDL = sql_migration("3", "c", "ALTER TABLE nowhere ADD y INTEGER")
BAD_PYTHON = python_migration("3", "c", _broken)


def links(error: BaseException) -> Iterator[BaseException]:
    """Give an error and all that it stands on, what is not shown of it included."""
    found = [error]
    for link in found:
        found += [x for x in (link.__cause__, link.__context__) if x is not None and x not in found]
    yield from found


def shown(value: object) -> str:
    """Return everything that can be read in a value, or of an error and of those behind it."""
    text = [str(value), repr(value), repr(pickle.dumps(value))]
    if isinstance(value, BaseException):
        text += traceback.format_exception(value)
        text += [f"{link} {link!r} {link.args} {vars(link)}" for link in links(value)]
    to_dict = getattr(value, "to_dict", None)
    if to_dict is not None:
        text.append(json.dumps(to_dict()))
    return "\n".join(text)


@contextmanager
def hidden(
    kind: type[MigrationError], caplog: pytest.LogCaptureFixture, match: str | None = None
) -> Generator[pytest.ExceptionInfo[MigrationError]]:
    """Expect an error in which no password shows, nor in what is logged."""
    with pytest.raises(kind, match=match) as caught:
        yield caught
    assert WORD not in shown(caught.value)
    assert WORD not in caplog.text


@pytest.fixture(autouse=True)
def _every_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="dbmigrate")


@pytest.fixture
def url(database: Database) -> Iterator[sqlalchemy.URL]:
    """The URL of a database over TCP, for a user with a password."""
    name = f"{database.name}_{WORD[:3]}"
    if database.kind == "postgresql":
        group = f"CREATE ROLE {servers.WITH_PASSWORD}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;"
        database.execute(
            f"DO $$ BEGIN {group} END $$",
            f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD '{PASSWORD}' IN ROLE {servers.WITH_PASSWORD}",
        )
        drop = [f"REASSIGN OWNED BY {name} TO {servers.USER}", f"DROP OWNED BY {name}", f"DROP ROLE {name}"]
    else:
        database.execute(f"CREATE USER {name} IDENTIFIED BY '{PASSWORD}'", f"GRANT ALL ON *.* TO {name}")
        drop = [f"DROP USER {name}"]
    try:
        yield database.url_for(database.driver, tcp=True).set(username=name, password=PASSWORD)
    finally:
        database.execute(*drop)


def _in_userinfo(url: sqlalchemy.URL, password: str) -> sqlalchemy.URL:
    return url.set(password=password)


def _in_the_query(url: sqlalchemy.URL, password: str) -> sqlalchemy.URL:
    bare = sqlalchemy.URL.create(
        url.drivername, url.username, host=url.host, port=url.port, database=url.database, query=url.query
    )
    return bare.update_query_dict({"password": password})


servers_only = pytest.mark.kinds("postgresql", "mariadb")
everywhere = pytest.mark.parametrize("place", [_in_userinfo, _in_the_query])


def _databases(url: sqlalchemy.URL) -> list[sqlalchemy.URL | sqlalchemy.Engine]:
    return [url, sqlalchemy.create_engine(url, poolclass=NullPool)]


@pytest.mark.every_driver
@servers_only
@everywhere
def test_success(database: Database, url: sqlalchemy.URL, place: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing that comes out of any call has it, nor has the database's own record."""
    events: list[Event] = []
    migrator = Migrator(place(url, PASSWORD), SOURCE, on_event=events.append)
    told = [migrator.plan(), migrator.status(), migrator.upgrade(), migrator.status(), migrator.downgrade(), *events]
    Migrator(place(url, PASSWORD), SOURCE).upgrade()
    migrator.verify()

    for value in told:
        assert WORD not in shown(value)
    assert WORD not in repr(migrator)
    assert WORD not in caplog.text
    assert "2_b up: done" in caplog.text
    assert WORD not in str(database.dump())


@pytest.mark.every_driver
@servers_only
@everywhere
def test_no_connection(database: Database, url: sqlalchemy.URL, place: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong password, an unknown user, database, host or option, a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    right = place(url, PASSWORD)
    wrong = {
        "password": place(url, f"{WORD} {PASSWORD}"),
        "user": right.set(username="nobody_there"),
        "database": right.set(database="nothing_there"),
        "port": right.set(port=port),
        "host": right.set(host="nowhere.invalid"),
        "option": right.update_query_dict({"nonsense": "1"}),
        "secret option": right.update_query_dict({"nonsense_token": WORD}),
    }
    for address in wrong.values():
        for given in _databases(address):
            with hidden(ConfigurationError, caplog, "cannot connect to"):
                Migrator(given, SOURCE).upgrade()


@pytest.mark.every_driver
@servers_only
@everywhere
def test_a_password_that_the_driver_cannot_send(
    database: Database, place: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What it raises then has all of the password in it, or a part."""
    url = database.url_for(database.driver, tcp=True).set(username="nobody_there")
    for given in _databases(place(url, UNSENDABLE)):
        with hidden(ConfigurationError, caplog, "cannot connect to") as caught:
            Migrator(given, SOURCE).status()
        assert not {"\N{EURO SIGN}", "\N{SNOWMAN}"} & set(shown(caught.value))


@pytest.mark.every_driver
@servers_only
@pytest.mark.parametrize("password", [f"{WORD} {PASSWORD}", UNSENDABLE])
@pytest.mark.parametrize("how", ["connect_args", "creator"])
def test_a_password_that_only_the_engine_knows(
    url: sqlalchemy.URL, password: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is in no URL, and yet in what some drivers' errors carry."""
    bare = sqlalchemy.URL.create(url.drivername, url.username, host=url.host, port=url.port, database=url.database)
    inner = sqlalchemy.create_engine(bare, connect_args={"password": password}, poolclass=NullPool)
    engine = inner if how == "connect_args" else sqlalchemy.create_engine(bare, creator=inner.raw_connection)

    with hidden(ConfigurationError, caplog, "cannot connect to") as caught:
        Migrator(engine, SOURCE).upgrade()
    assert not {"\N{EURO SIGN}", "\N{SNOWMAN}"} & set(shown(caught.value))


@servers_only
@pytest.mark.parametrize("bad", [BAD, BAD_DDL, BAD_PYTHON], ids=["sql", "ddl", "python"])
def test_a_migration_that_fails(
    database: Database, url: sqlalchemy.URL, bad: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the error has it, nor what the database keeps of a step that did not end."""
    source = MemorySource([*SOURCE.migrations, bad])

    for _ in range(2):
        with hidden(MigrationError, caplog):
            Migrator(url, source).upgrade()
    assert WORD not in shown(Migrator(url, source).status())
    with hidden(NotCurrent, caplog):
        Migrator(url, source).verify()

    assert WORD not in str(database.dump())


@pytest.fixture
def kept(database: Database, url: sqlalchemy.URL) -> Iterator[sqlalchemy.URL]:
    """The URL of a database that the server will not drop."""
    if database.kind != "postgresql":
        yield url.set(database="x" * 70)
        return
    database.execute(f"ALTER DATABASE {database.name} IS_TEMPLATE true")
    yield url
    database.execute(f"ALTER DATABASE {database.name} IS_TEMPLATE false")


@pytest.mark.every_driver
@servers_only
@everywhere
def test_databases_that_are_not_created_or_dropped(
    kept: sqlalchemy.URL, url: sqlalchemy.URL, place: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong password, an unknown host; and what the server refuses over a connection with the right one."""
    right = place(kept, PASSWORD)
    wrong = [place(url, f"{WORD} {PASSWORD}"), right.set(host="nowhere.invalid"), place(url, UNSENDABLE)]
    for address in wrong:
        for given in _databases(address.set(username="nobody_there") if address is wrong[2] else address):
            with hidden(ConfigurationError, caplog, "cannot connect to"):
                managed.create(given)
    for given in _databases(right):
        with hidden(ConfigurationError, caplog, "Nothing was changed") as caught:
            managed.drop(given)
        assert caught.value.__cause__ is not None


@servers_only
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_a_server_quotes_of_a_database(
    database: Database, url: sqlalchemy.URL, wrapped: bool, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """A statement with the password in it, however unlikely."""

    def quote_it(_: object, connection: sqlalchemy.Connection, __: str) -> bool:
        try:
            send(connection, f"SELECT '{PASSWORD}' nonsense nonsense")
        except DBAPIError as error:
            if wrapped:
                raise ConfigurationError("no") from error
            raise
        return True

    monkeypatch.setattr(type(dialect_for(url)), "create_database", quote_it)
    with hidden(ConfigurationError, caplog):
        managed.create(url)


@servers_only
def test_what_a_caller_raises(url: sqlalchemy.URL, caplog: pytest.LogCaptureFixture) -> None:
    """A function that is told of events, and fails."""

    def fail(_: Event) -> None:
        raise RuntimeError

    with hidden(MigrationFailed, caplog):
        Migrator(url, SOURCE, on_event=fail).upgrade()


@servers_only
def test_a_ledger_that_is_none(database: Database, url: sqlalchemy.URL, caplog: pytest.LogCaptureFixture) -> None:
    """A table of that name that is something else."""
    database.execute("CREATE TABLE dbmigrate_ledger (x INTEGER)")

    for given in _databases(url):
        with hidden(LedgerError, caplog):
            Migrator(given, SOURCE).upgrade()


@servers_only
def test_a_time_limit(database: Database, url: sqlalchemy.URL, caplog: pytest.LogCaptureFixture) -> None:
    """A statement that takes too long."""
    sleep = "SELECT pg_sleep(5)" if database.kind == "postgresql" else "SELECT sleep(5)"

    with hidden(MigrationFailed, caplog):
        Migrator(url, MemorySource([sql_migration("1", "slow", sleep)]), statement_timeout=0.1).upgrade()


@servers_only
def test_waiting(url: sqlalchemy.URL, caplog: pytest.LogCaptureFixture) -> None:
    """What is told of the one who holds the lock, who came with the same password."""
    inside, go_on = threading.Event(), threading.Event()

    def hold(event: Event) -> None:
        if isinstance(event, StatementFinished):
            inside.set()
            go_on.wait(30)

    holder = threading.Thread(target=Migrator(url, SOURCE, on_event=hold).upgrade)
    holder.start()
    inside.wait(30)
    events: list[Event] = []
    try:
        for listener in (events.append, None):
            with hidden(MigrationInProgress, caplog) as caught:
                Migrator(url, SOURCE, acquire_timeout=0.1, on_event=listener).upgrade()
    finally:
        go_on.set()
        holder.join()

    assert caught.value.holder  # type: ignore[attr-defined]
    assert events
    assert WORD not in "".join(map(shown, events))
    assert "waiting for another migrator" in caplog.text


@servers_only
def test_a_lost_session(database: Database, url: sqlalchemy.URL, caplog: pytest.LogCaptureFixture) -> None:
    """The server ends the session in the middle of a step."""
    end = {
        "postgresql": "SELECT pg_terminate_backend(pg_backend_pid())",
        "mariadb": "KILL CONNECTION_ID()",
    }[database.kind]

    with hidden(MigrationFailed, caplog):
        Migrator(url, MemorySource([FIRST, sql_migration("2", "end", end)])).upgrade()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+nosuchdriver://u:{0}@h/d?password={0}",
        "nosuchdatabase://u:{0}@h/d?password={0}",
        "postgresql+asyncpg://u:{0}@h/d?password={0}",
        "mysql+pymysql://u:{0}@h/d?password={0}&read_timeout=soon",
        "mysql+pymysql://u:{0}@h/d?password={0}&password={0}",
        "postgresql+psycopg://u:{0}@h:port/d?password={0}",
    ],
)
@pytest.mark.parametrize("form", [quote(PASSWORD, safe=""), quote(WORD), f"{WORD}@{WORD}"])
def test_no_engine(url: str, form: str, caplog: pytest.LogCaptureFixture) -> None:
    """A driver or a database that is not there, options that cannot be read; and a password that is not encoded."""
    with hidden(ConfigurationError, caplog):
        Migrator(url.format(form), SOURCE).upgrade()


def test_the_pickle_of_a_migrator(caplog: pytest.LogCaptureFixture) -> None:
    """It works in another process, so the password is in it; and in nothing that it says there."""
    copy = pickle.loads(pickle.dumps(Migrator(f"postgresql+psycopg://u:{WORD}@127.0.0.1:1/d", SOURCE)))  # noqa: S301

    assert copy.database.password == WORD
    assert WORD not in repr(copy)
    with hidden(ConfigurationError, caplog):
        copy.status()
