"""Wrong arguments: each is an error of ours that says what is expected, before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from dbmigrate import Ahead, ConfigurationError, MemorySource, Migrator, sql_migration

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Database

FIRST = sql_migration("1", "a", "CREATE TABLE a (x INTEGER)")
SOURCE = MemorySource([FIRST])

_WRONG_ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"source": 5}, "source is a Source, or the path of a folder, not 5"),
    ({"source": None}, "source is a Source"),
    ({"on_event": "x"}, "on_event is a function that takes an event, or None, not 'x'"),
    ({"ledger": 5}, "ledger is a Ledger, or the name of a table, not 5"),
    ({"ledger": None}, "ledger is a Ledger"),
    ({"allow": Ahead}, "allow is a set of finding types"),
    ({"allow": "Ahead"}, "allow is a set of finding types"),
    ({"allow": None}, "allow is a set of finding types"),
    ({"allow": [[]]}, "allow is a set of finding types"),
    ({"dialect": "sqlite"}, "dialect is a Dialect or None, not 'sqlite'"),
    ({"transaction": ["each"]}, "transaction is 'each' or 'all'"),
    ({"acquire_timeout": True}, "acquire_timeout is a number of seconds, not True"),
    ({"acquire_timeout": None}, "acquire_timeout is a number of seconds, not None"),
    ({"lock_timeout": "5"}, "lock_timeout is a number of seconds, 'default' or None, not '5'"),
    ({"schema_file": "schema.txt"}, r"schema_file is a path that ends with .py or .sql, or None, not 'schema.txt'"),
    ({"schema_file": ".py"}, "schema_file is a path that ends"),
    ({"schema_file": b"schema.py"}, "schema_file is a path that ends"),
    ({"schema_file": "sqlite:///schema.py"}, "schema_file is .*, not a URL$"),
    ({"source": sqlalchemy.create_engine("sqlite://")}, "source is .*, not Engine$"),
]


@pytest.mark.parametrize(("arguments", "reason"), _WRONG_ARGUMENTS, ids=str)
def test_wrong_arguments(sqlite: Database, arguments: dict[str, Any], reason: str) -> None:
    """Each is an error of ours that says what is expected."""
    with pytest.raises(ConfigurationError, match=reason):
        Migrator(**{"database": sqlite.url, **arguments})


_WRONG_CALLS: list[tuple[Callable[[Any], object], str]] = [
    (lambda m: m.upgrade(to=5), "to is the version of a migration, as text, not 5"),
    (lambda m: m.upgrade(FIRST), "to is the version of a migration, as text, not Migration"),
    (lambda m: m.plan(5), "to is the version"),
    (lambda m: m.downgrade(to=5), "to is the version"),
    (lambda m: m.downgrade(steps=True), "steps is a number of at least 1, not True"),
    (lambda m: m.downgrade(steps=1.5), "steps is a number"),
    (lambda m: m.redo(steps=0), "steps is a number"),
    (lambda m: m.goto(None), "version is the version of a migration, as text, not None"),
    (lambda m: m.apply(None), r"plan is a Plan, as plan\(\) returns it, not None"),
    (lambda m: m.apply([]), r"plan is a Plan, as plan\(\) returns it, not \[\]"),
    (lambda m: m.baseline(1, reason="x"), "version is the version"),
    (lambda m: m.baseline("1", reason=""), "reason is a text that says why, not ''"),
    (lambda m: m.baseline("1", reason=None), "reason is a text that says why, not None"),
    (lambda m: m.accept("1", reason=" \n"), "reason is a text that says why"),
    (lambda m: m.resolve("1", applied=True, reason=""), "reason is a text that says why"),
    (lambda m: m.resolve("1", applied="no", reason="x"), "applied is True or False, not 'no'"),
    (lambda m: m.resolve("1", applied=True, reason="x", statement="2"), "statement is the number of a statement"),
    (lambda m: m.wait_until_current(timeout=None), "timeout is a number of seconds, not None"),
]


@pytest.mark.parametrize(("call", "reason"), _WRONG_CALLS, ids=[str(n) for n, _ in enumerate(_WRONG_CALLS)])
def test_wrong_calls(sqlite: Database, call: Callable[[Any], object], reason: str) -> None:
    """Nothing is read or touched before: neither the source nor the database."""

    class Unread:
        """A source that nobody may ask."""

        def load(self) -> list[Any]:
            """Fail."""
            raise AssertionError

    with pytest.raises(ConfigurationError, match=reason):
        call(Migrator(sqlite.url, Unread()))

    assert not sqlite.tables()


def test_a_session_is_not_a_database(sqlite: Database) -> None:
    """What to pass instead is said, also for a subclass."""
    engine = sqlite.engine()

    class Own(Session):
        """A session with something of the user's."""

    for wrong in (Session(engine), Own(engine), sessionmaker(engine), scoped_session(sessionmaker(engine))):
        name = type(wrong).__name__
        with pytest.raises(ConfigurationError, match=rf"not {name}: pass its Engine, or session\.connection\(\)"):
            Migrator(wrong, SOURCE)  # type: ignore[arg-type]
    with Session(engine) as session, session.begin():
        Migrator(session.connection(), SOURCE).upgrade()
    Migrator(engine, SOURCE).verify()


_UNQUOTED = "an @ too many in the database URL: in a password, .* write %40"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://u:s3cr3t@s3cr3t@h/db", _UNQUOTED),
        ("postgresql://u:s3cr3t@s3cr3t/s3cr3t@h/db", _UNQUOTED),
        ("postgresql://u:s3cr3t@s3cr3t?s3cr3t=1@h/db", _UNQUOTED),
        ("mysql://u:s3cr3t:#/@s3cr3t@h:3306/db", _UNQUOTED),
        (sqlalchemy.make_url("postgresql://u:s3cr3t@s3cr3t@h/db"), _UNQUOTED),
        ("postgresql://u:s3cr3t@h:s3cr3t/db", "cannot be read"),
        ("s3cr3t", "cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_a_url_that_is_not_read_as_it_was_meant(url: str | sqlalchemy.URL, reason: str) -> None:
    """A part of the password would be taken for a host or a database; nothing of the text is shown or kept."""
    with pytest.raises(ConfigurationError, match=reason) as caught:
        Migrator(url, SOURCE)

    assert "s3cr3t" not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user@server:password@host/db",
        "postgresql://user:p%40ss@host/db",
        "postgresql://user:p/s:s#?w@host/db",
        "postgresql://user@host/db@home",
        "postgresql://user@/db?host=@/abstract",
        sqlalchemy.URL.create("postgresql", "user", "p@ss", "host", database="db@home"),
        "sqlite:////data/a@b@c.db",
    ],
)
def test_an_at_sign_where_it_may_be(url: str | sqlalchemy.URL) -> None:
    """In a user's name, percent-encoded, in a value that was built from its parts, where there is no password."""
    Migrator(url, SOURCE)
