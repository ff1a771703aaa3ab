"""The ledger's tables on every database: what they look like, what they keep, and that nothing in them changes."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

import pytest
import sqlalchemy
from sqlalchemy import event, text
from sqlalchemy.pool import NullPool

from dbmigrate import (
    HistoryError,
    LedgerConflict,
    LedgerError,
    MemorySource,
    MigrationFailed,
    Migrator,
    NotCurrent,
    Record,
    TableLedger,
    Unfinished,
    sql_migration,
)
from dbmigrate.model import JournalEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.conftest import Database, Kind

pytestmark = pytest.mark.every_driver

LEDGER: Final = TableLedger()
SOURCE: Final = MemorySource(
    [
        sql_migration("1", "a", "CREATE TABLE a (x INTEGER)", "DROP TABLE a"),
        sql_migration("2", "b", "CREATE TABLE b (x INTEGER)", "DROP TABLE b"),
    ]
)
MOMENT: Final = datetime(2026, 11, 23, 10, 15, 0, 123456, UTC)
FIRST: Final = Record(1, "1", "a", "up", chain="sha256:0", started_at=MOMENT)


@contextmanager
def ledger_in(database: Database) -> Iterator[sqlalchemy.Connection]:
    """Give a connection in a transaction to a database that has a ledger."""
    engine = database.engine(poolclass=NullPool)
    with engine.begin() as connection:
        LEDGER.create(connection)
    with engine.begin() as connection:
        yield connection


def versions(migrator: Migrator) -> list[str]:
    """Return the versions that are applied."""
    return [entry.version for entry in migrator.status().applied]


# -- the tables

_TYPES: Final[dict[Kind, dict[str, str]]] = {
    "sqlite": {"number": "BIGINT", "text": "TEXT", "time": "TEXT", "": "VARCHAR({})"},
    "postgresql": {
        "number": "bigint",
        "text": "text",
        "time": "timestamp without time zone",
        "": "character varying({})",
    },
    "mariadb": {
        "number": "bigint(20)",
        "text": "longtext utf8mb4_bin",
        "time": "datetime(6)",
        "": "varchar({}) utf8mb4_bin",
    },
}
_COLUMNS: Final[dict[Kind, str]] = {
    "sqlite": """SELECT name, type, "notnull" FROM pragma_table_info('{}')""",
    "postgresql": "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
    " WHERE attrelid = '{}'::regclass AND attnum > 0 ORDER BY attnum",
    "mariadb": "SELECT column_name, concat_ws(' ', column_type, collation_name), is_nullable = 'NO'"
    " FROM information_schema.columns WHERE table_schema = database() AND table_name = '{}'"
    " ORDER BY ordinal_position",
}
#: Name and type, `!` for NOT NULL; a number is the length of a VARCHAR.
_LEDGER: Final = """
    seq number!   version 255!   name 255!   action 32!
    checksum 96   fingerprint 96   down_checksum 96   chain 96!
    started_at time!   finished_at time   applied_by 255   session 255   tool 64   reason text   down_sql text
"""
_JOURNAL: Final = """
    seq number!   entry number!   ordinal number!   statement_hash 96!   state 16!   error text
    catalogue text   at time!
"""


@pytest.mark.parametrize(("table", "columns"), [("dbmigrate_ledger", _LEDGER), ("dbmigrate_ledger_journal", _JOURNAL)])
def test_the_tables_are_as_designed(database: Database, table: str, columns: str) -> None:
    """Names, types, lengths and NOT NULL of every column, in their order."""
    with ledger_in(database):
        pass
    words, types = columns.split(), _TYPES[database.kind]
    expected = [
        (name, types.get(kind.rstrip("!"), types[""].format(kind.rstrip("!"))), kind.endswith("!"))
        for name, kind in zip(words[::2], words[1::2], strict=True)
    ]

    assert expected == [
        (name, kind, bool(flag)) for name, kind, flag in database.query(_COLUMNS[database.kind].format(table))
    ]


def test_the_tables_of_mariadb_are_transactional_and_exact(mariadb: Database) -> None:
    """InnoDB and utf8mb4_bin, whatever the defaults of server and database are."""
    mariadb.execute(
        f"ALTER DATABASE `{mariadb.name}` CHARACTER SET latin1 COLLATE latin1_swedish_ci",
    )
    with ledger_in(mariadb) as connection:
        connection.execute(text("SET SESSION default_storage_engine = MyISAM"))
        TableLedger("other").create(connection)

    assert mariadb.query(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = database()"
        " AND engine = 'InnoDB' AND table_collation = 'utf8mb4_bin' ORDER BY 1"
    ) == [("dbmigrate_ledger",), ("dbmigrate_ledger_journal",), ("other",), ("other_journal",)]


# -- keeping

_ODD: Final = "naïve 🚀 \u202e 'single' \"double\" `back` 50% %s %(x)s :name ::x ? ?? \\ \\n $1 {x} -- /* ; \x7f"
_SUMS: Final = ("c" * 96, "f" * 96, "d" * 96, "h" * 96)
#: What the chain does not protect, and a brief look does not ask for.
_NOT_BRIEF: Final[dict[str, Any]] = dict.fromkeys(
    ("started_at", "finished_at", "applied_by", "session", "tool", "reason", "down_sql")
)
_LINES: Final = f"{_ODD}\r\n\tsecond line\n  "


@pytest.mark.parametrize(
    "record",
    [
        FIRST,
        Record(2**62, _ODD, _ODD, "baseline", *_SUMS, MOMENT, MOMENT, _ODD, _ODD, "0.1.0", _LINES, _LINES),
        Record(
            1, "🚀" * 255, "é" * 255, "up", chain="", started_at=MOMENT, reason="🚀" * 70_000, down_sql="x" * 200_000
        ),
        Record(1, "", " trailing ", "up", "", "", "", "", MOMENT, None, "", "", "", "", ""),
        replace(FIRST, started_at=datetime(1, 1, 1, tzinfo=UTC), finished_at=datetime.max.replace(tzinfo=UTC)),
        replace(FIRST, started_at=MOMENT.replace(microsecond=1), finished_at=MOMENT.replace(microsecond=999_999)),
        replace(FIRST, started_at=MOMENT.replace(microsecond=0), finished_at=None),
    ],
    ids=["plain", "odd", "long", "empty", "far", "microseconds", "seconds"],
)
def test_records_come_back_as_they_were(database: Database, record: Record) -> None:
    """Every column round-trips; only the down script is not read back."""
    if database.kind == "mariadb" and record.started_at and record.started_at.year == 1:
        record = replace(record, started_at=datetime(1000, 1, 1, tzinfo=UTC))  # the first that MariaDB promises
    with ledger_in(database) as connection:
        LEDGER.append(connection, record)

    with database.engine().connect() as connection:
        assert [replace(record, down_sql=None)] == LEDGER.read(connection)
        assert record.seq == LEDGER.head(connection)
        assert [replace(record, **_NOT_BRIEF)] == LEDGER.read(connection, brief=True)
    assert [(record.down_sql,)] == database.query("SELECT down_sql FROM dbmigrate_ledger")


def test_times_are_utc_whatever_the_session_and_the_caller_say(database: Database) -> None:
    """A time in another zone is the same moment in UTC, in the column and when it is read."""
    tokyo = timezone(timedelta(hours=9))
    zone = {"postgresql": "SET TIME ZONE 'Asia/Tokyo'", "mariadb": "SET time_zone = '+09:00'"}.get(database.kind)
    with ledger_in(database) as connection:
        if zone:
            connection.execute(text(zone))
        LEDGER.append(connection, replace(FIRST, started_at=MOMENT.astimezone(tokyo)))
        (found,) = LEDGER.read(connection)

    assert (found.started_at, found.started_at and found.started_at.tzinfo) == (MOMENT, UTC)
    assert database.query(
        f"SELECT {'CAST(started_at AS CHAR(26))' if database.kind != 'sqlite' else 'started_at'} FROM dbmigrate_ledger"
    ) == [("2026-11-23 10:15:00.123456",)]


def test_records_are_read_in_order_of_seq(database: Database) -> None:
    """The order of insertion does not matter."""
    with ledger_in(database) as connection:
        for seq in (2, 10, 1):
            LEDGER.append(connection, replace(FIRST, seq=seq))

        assert [record.seq for record in LEDGER.read(connection)] == [1, 2, 10]


def test_nothing_is_committed_by_the_ledger(database: Database) -> None:
    """`append` and `note` belong to the transaction that is open."""
    with ledger_in(database):
        pass
    with database.engine().connect() as connection:
        LEDGER.append(connection, FIRST)
        if database.kind != "sqlite":
            LEDGER.note(connection, [JournalEntry(1, 1, 1, "x", "started")])
        connection.rollback()

        assert LEDGER.read(connection) == []
        assert list(LEDGER.journal(connection, 1)) == []


# -- reading what is not there


def test_reading_without_a_ledger_says_empty(database: Database) -> None:
    """No table, no records; and no table afterwards either."""
    with database.engine().connect() as connection:
        assert list(LEDGER.read(connection)) == []
        assert LEDGER.head(connection) == 0
        assert list(LEDGER.journal(connection, 1)) == []
        assert LEDGER.progress(connection) == (0, 0)
        assert connection.execute(text("SELECT 1")).scalar_one() == 1

    assert database.tables() == []


def test_reading_without_a_ledger_spoils_nobodys_transaction(database: Database) -> None:
    """What the caller did in its transaction before and after stays, and is the caller's to commit."""
    with database.engine().begin() as connection:
        connection.execute(text("CREATE TABLE mine (x INTEGER)"))
        connection.execute(text("INSERT INTO mine VALUES (1)"))

        assert list(LEDGER.read(connection)) == []
        connection.execute(text("INSERT INTO mine VALUES (2)"))

    assert database.tables() == ["mine"]
    assert database.query("SELECT x FROM mine ORDER BY x") == [(1,), (2,)]


def test_a_view_or_a_table_of_something_else_is_no_empty_ledger(database: Database) -> None:
    """Only what does not exist is empty; anything else of that name is an error that names it."""
    for sql in ("CREATE TABLE dbmigrate_ledger (seq INTEGER)", "CREATE VIEW dbmigrate_ledger AS SELECT 1 AS seq"):
        other = database.another()
        other.execute(sql)
        with (
            other.engine().connect() as connection,
            pytest.raises(LedgerError, match="dbmigrate_ledger cannot be read"),
        ):
            LEDGER.read(connection)


# -- the fence


def test_a_seq_can_be_taken_once(database: Database) -> None:
    """The second to append a seq gets LedgerConflict, and the first record stays as it is."""
    with ledger_in(database) as connection:
        LEDGER.append(connection, FIRST)
    with pytest.raises(LedgerConflict, match="dbmigrate_ledger moved"), ledger_in(database) as connection:
        LEDGER.append(connection, replace(FIRST, version="2"))

    with database.engine().connect() as connection:
        assert LEDGER.read(connection) == [FIRST]


@pytest.mark.kinds("postgresql", "mariadb")
def test_two_transactions_cannot_take_one_seq(database: Database) -> None:
    """Before the first has committed the second waits, and then it is the one that loses."""
    lost: list[bool] = []

    def append() -> None:
        with database.engine(poolclass=NullPool).connect() as connection:
            try:
                LEDGER.append(connection, replace(FIRST, version="2"))
            except LedgerConflict:
                lost.append(True)

    with ledger_in(database) as connection:
        LEDGER.append(connection, FIRST)
        second = threading.Thread(target=append)
        second.start()
        second.join(0.2)
        assert second.is_alive()
    second.join(30)

    assert lost == [True]


@pytest.mark.kinds("postgresql", "mariadb")
def test_what_does_not_fit_is_an_error_and_no_conflict(database: Database) -> None:
    """A version that is too long is refused by the database, not cut, and trying again would not help."""
    with pytest.raises(LedgerError, match="cannot be written") as caught, ledger_in(database) as connection:
        LEDGER.append(connection, replace(FIRST, version="x" * 256))

    assert LedgerError is type(caught.value)


def test_many_may_create_the_ledger_at_once(database: Database) -> None:
    """Each of them either succeeds or is told to look again; then the tables are there, once and empty."""
    count = 8
    barrier, answers = threading.Barrier(count), list[str]()

    def create() -> None:
        engine = database.engine(poolclass=NullPool)
        barrier.wait(30)
        for _ in range(20):
            try:
                with engine.begin() as connection:
                    LEDGER.create(connection)
            except LedgerConflict:
                continue
            except BaseException as error:  # noqa: BLE001 - whatever it is, the test wants to read it
                answers.append(repr(error))
            else:
                answers.append("created")
            return

    threads = [threading.Thread(target=create) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert ["created"] * count == answers
    with database.engine().begin() as connection:
        assert LEDGER.read(connection) == []
        LEDGER.append(connection, FIRST)
        LEDGER.create(connection)
        assert LEDGER.read(connection) == [FIRST]


# -- the journal


@pytest.mark.kinds("postgresql", "mariadb")
def test_journal_entries_come_back_as_they_were(database: Database) -> None:
    """Entries round-trip in their order, apart from those of other steps, and each can be taken once."""
    entries = [
        JournalEntry(1, 1, 1, "sha256:" + "0" * 64, "started"),
        JournalEntry(1, 2, 1, "sha256:" + "0" * 64, "done"),
        JournalEntry(1, 3, 2**40, "x", "failed", _LINES),
    ]
    with ledger_in(database) as connection:
        LEDGER.append(connection, FIRST)
        LEDGER.note(connection, [])
        LEDGER.note(connection, [entries[2], entries[0]])
        LEDGER.note(connection, [entries[1], JournalEntry(2, 1, 1, "other", "started")])

        assert entries == LEDGER.journal(connection, 1)
        assert LEDGER.progress(connection) == (1, 3)
    with pytest.raises(LedgerConflict), ledger_in(database) as connection:
        LEDGER.note(connection, [entries[0]])


# -- names

_NAMES: Final = [
    "my-db",
    "with space",
    "50%",
    "%s",
    "a :b",
    ":b",
    "it's",
    'dou"ble',
    "back`tick",
    "a\\b",
    "a.b",
    "Üñ",
    "UP",
]


def _in_schema(database: Database, schema: str) -> sqlalchemy.Engine:
    """Return an engine whose connections are in a schema of PostgreSQL."""
    engine, path = database.engine(poolclass=NullPool), '"' + schema.replace('"', '""') + '"'

    def enter(connection: Any, _: object) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(f"SET search_path = {path}")
        connection.commit()

    event.listen(engine, "connect", enter)
    return engine


def _check(migrator: Migrator) -> None:
    """Go up and down and up again."""
    with pytest.raises(NotCurrent):
        migrator.verify()
    migrator.upgrade()
    migrator.verify()
    migrator.downgrade(to="base")
    migrator.upgrade()
    assert versions(migrator) == ["1", "2"]


@pytest.mark.default_driver
@pytest.mark.parametrize("name", _NAMES)
def test_schemas_may_have_any_name(postgresql: Database, name: str) -> None:
    """A ledger lives in whatever schema the search path leads to, or in the one that it is told."""
    quoted = '"' + name.replace('"', '""') + '"'
    postgresql.execute(f"CREATE SCHEMA {quoted}")

    _check(Migrator(_in_schema(postgresql, name), SOURCE))
    _check(Migrator(postgresql.url, SOURCE, ledger=TableLedger("told", schema=name)))

    tables = {f"{name}.{table}" for table in ("a", "b", "dbmigrate_ledger", "dbmigrate_ledger_journal")}
    assert tables | {"a", "b", f"{name}.told", f"{name}.told_journal"} == set(postgresql.tables())


@pytest.mark.default_driver
@pytest.mark.parametrize("name", _NAMES)
def test_databases_of_mariadb_may_have_any_name(mariadb: Database, name: str) -> None:
    """A database called my-app is as good as any other."""
    name = f"{mariadb.name} {name}"
    quoted = "`" + name.replace("`", "``") + "`"
    mariadb.execute(f"CREATE DATABASE {quoted}")
    try:
        _check(Migrator(mariadb.url.set(database=name), SOURCE))
        _check(Migrator(mariadb.url, SOURCE, ledger=TableLedger("told", schema=name)))
    finally:
        mariadb.execute(f"DROP DATABASE {quoted}")


@pytest.mark.kinds("postgresql", "mariadb")
@pytest.mark.parametrize("odd", ["%s", '50% a :b it\'s "x" `y` ? \\ Ü'], ids=["place", "rest"])
def test_names_pass_through_every_driver(database: Database, odd: str) -> None:
    """What drivers could take for the place of a value may be in a name; where that cannot be, nothing runs."""
    name = f"{database.name} {odd}"
    quote, word = ('"', "SCHEMA") if database.kind == "postgresql" else ("`", "DATABASE")
    quoted = quote + name.replace(quote, quote * 2) + quote
    migrator = Migrator(database.url, SOURCE, ledger=TableLedger("told", schema=name))
    database.execute(f"CREATE {word} {quoted}")
    try:
        if database.driver == "mysqlconnector" and odd == "%s":  # it puts a value there, quotes or not
            with pytest.raises(LedgerError, match="cannot be written"):
                migrator.upgrade()
            assert database.tables() == []
        else:
            _check(migrator)
    finally:
        database.execute(f"DROP {word} {quoted}{' CASCADE' if word == 'SCHEMA' else ''}")


def test_databases_of_postgresql_may_have_any_name(postgresql: Database) -> None:
    """Nor does the name of the database itself matter."""
    name = f"{postgresql.name} -%s :b'`\\.Ü"
    postgresql.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    try:
        _check(Migrator(postgresql.url.set(database=name), SOURCE))
    finally:
        postgresql.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_files_of_sqlite_may_have_any_name(sqlite: Database, tmp_path: Path) -> None:
    """A path is a path, whatever is in it."""
    folder = tmp_path / "my-db 50% %s :b 'it' \"Ü\" ?mode=memory#x"
    folder.mkdir()

    _check(Migrator(sqlite.url.set(database=str(folder / "x.sqlite")), SOURCE))
    assert [path.name for path in folder.iterdir()] == ["x.sqlite"]


# -- places


def test_a_ledger_may_be_in_another_schema(postgresql: Database) -> None:
    """A ledger with a schema is there and nowhere else, whatever the search path is."""
    postgresql.execute("CREATE SCHEMA s")
    migrator = Migrator(postgresql.url, SOURCE, ledger=TableLedger("l", schema="s"))

    _check(migrator)
    assert {"a", "b", "s.l", "s.l_journal"} == set(postgresql.tables())


def test_a_ledger_may_be_in_another_database(mariadb: Database) -> None:
    """On MariaDB a schema is a database."""
    other = mariadb.another()

    _check(Migrator(mariadb.url, SOURCE, ledger=TableLedger("l", schema=other.name)))
    assert (mariadb.tables(), other.tables()) == (["a", "b"], ["l", "l_journal"])


@pytest.mark.kinds("postgresql", "mariadb")
def test_a_schema_that_does_not_exist_is_an_error(database: Database) -> None:
    """Nothing is made up: a missing schema is empty to read, and an error to write, before anything runs."""
    migrator = Migrator(database.url, SOURCE, ledger=TableLedger("l", schema="nowhere"))

    assert versions(migrator) == []
    with pytest.raises(LedgerError, match=r"cannot be written.*nowhere"):
        migrator.upgrade()
    assert database.tables() == []


def test_the_ledger_stays_where_it_was_found(postgresql: Database) -> None:
    """A schema that comes into the search path before the ledger's does not hide the ledger."""
    Migrator(postgresql.url, SOURCE).upgrade(to="1")
    postgresql.execute(f'CREATE SCHEMA "{postgresql.url.username}"')  # "$user" is the first in the default path
    Migrator(postgresql.url, SOURCE).upgrade()

    assert versions(Migrator(postgresql.url, SOURCE)) == ["1", "2"]
    assert postgresql.query("SELECT count(*) FROM public.dbmigrate_ledger") == [(2,)]


def test_a_migration_cannot_hide_the_ledger(postgresql: Database) -> None:
    """A migration that moves the search path is recorded where all the others are."""
    source = MemorySource(
        [
            sql_migration("1", "move", "CREATE SCHEMA app; SET search_path = app; CREATE TABLE t (x INTEGER)"),
            sql_migration("2", "local", "SET LOCAL search_path = app; CREATE TABLE u (x INTEGER)"),
            sql_migration(
                "3", "outside", "-- dbmigrate: no-transaction\nSET search_path = app; CREATE TABLE v (x INTEGER)"
            ),
        ]
    )
    Migrator(postgresql.url, source).upgrade()

    assert versions(Migrator(postgresql.url, source)) == ["1", "2", "3"]
    assert postgresql.tables() == ["app.t", "app.u", "app.v", "dbmigrate_ledger", "dbmigrate_ledger_journal"]


@pytest.mark.kinds("sqlite", "postgresql")
def test_a_temporary_table_cannot_hide_the_ledger(database: Database) -> None:
    """A session's own table of the ledger's name is neither read nor written in its place."""
    Migrator(database.url, SOURCE).upgrade(to="1")
    engine = database.engine()
    with engine.connect() as connection:  # it goes back to the pool with its temporary table
        like = "CREATE TEMPORARY TABLE dbmigrate_ledger AS SELECT * FROM dbmigrate_ledger WHERE seq = 0"
        connection.execute(text(like))
        connection.commit()
    Migrator(engine, SOURCE).upgrade()

    assert versions(Migrator(database.url, SOURCE)) == ["1", "2"]


# -- rights


@contextmanager
def _reader(database: Database, *grants: str) -> Iterator[Migrator]:
    """Give a migrator of a user who may do nothing but what is granted."""
    name = f"{database.name}_reader"
    database.execute(f"CREATE ROLE {name} LOGIN", *(f"GRANT {grant} TO {name}" for grant in grants))
    try:
        yield Migrator(database.url.set(username=name), SOURCE)
    finally:
        database.execute(f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_select_on_the_ledger_is_all_that_looking_needs(postgresql: Database) -> None:
    """With nothing pending verify, status, plan and upgrade work for a user who may only read the ledger."""
    Migrator(postgresql.url, SOURCE).upgrade()
    with _reader(postgresql, "SELECT ON dbmigrate_ledger") as migrator:
        migrator.verify()
        assert versions(migrator) == ["1", "2"]
        assert not migrator.plan()
        assert not migrator.upgrade()


def test_a_user_without_rights_is_told(postgresql: Database) -> None:
    """A ledger that may not be read is an error and not an empty one, and so is one that may not be written."""
    Migrator(postgresql.url, SOURCE).upgrade(to="1")
    with _reader(postgresql) as migrator, pytest.raises(LedgerError, match="permission denied"):
        migrator.status()
    with _reader(postgresql, "SELECT ON dbmigrate_ledger") as migrator:
        with pytest.raises(NotCurrent):
            migrator.verify()
        with pytest.raises(MigrationFailed, match="permission denied"):  # already by the step itself
            migrator.upgrade()
    assert versions(Migrator(postgresql.url, SOURCE)) == ["1"]


def test_select_on_the_ledger_is_enough_while_a_step_runs(postgresql: Database) -> None:
    """Who may not read the journal still learns that a step is not finished, and can wait for its end."""
    outside = "-- dbmigrate: no-transaction\nCREATE TABLE z (x INTEGER); DROP TABLE nowhere"
    source = MemorySource([*SOURCE.load(), sql_migration("3", "outside", outside)])
    with pytest.raises(MigrationFailed):
        Migrator(postgresql.url, source).upgrade()
    with _reader(postgresql, "SELECT ON dbmigrate_ledger") as migrator:
        reader = replace(migrator, source=source)
        with pytest.raises(NotCurrent, match="there is no journal that can be read"):
            reader.verify()
        with pytest.raises(NotCurrent) as caught:
            reader.wait_until_current(0.1)
        assert [type(finding) for finding in caught.value.findings] == [Unfinished]


@pytest.mark.parametrize("head", ["", "-- no-transaction\n"], ids=["transaction", "no-transaction"])
def test_a_ledger_that_cannot_be_written_is_told(postgresql: Database, head: str) -> None:
    """Whoever may change the schema, but not the ledger, changes neither, and the step is not to blame."""
    source = MemorySource([sql_migration("1", "a", "CREATE TABLE a (x INTEGER)")])
    more = MemorySource([*source.load(), sql_migration("2", "b", f"{head}CREATE TABLE b (x INTEGER)")])
    Migrator(postgresql.url, source).upgrade()
    tables = "dbmigrate_ledger, dbmigrate_ledger_journal"
    with _reader(postgresql, "CREATE ON SCHEMA public", f"SELECT ON {tables}") as migrator:
        with pytest.raises(LedgerError, match=r"cannot be written: .*permission denied.*GRANT it"):
            replace(migrator, source=more).upgrade()
        assert "b" not in postgresql.tables()
    assert versions(Migrator(postgresql.url, more)) == ["1"]


def test_a_ledger_that_cannot_be_created_is_told(postgresql: Database) -> None:
    """Whoever may not create a table there is told before anything runs."""
    postgresql.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    with _reader(postgresql, "USAGE ON SCHEMA public") as migrator, pytest.raises(LedgerError, match="permission"):
        migrator.upgrade()
    assert not postgresql.tables()


# -- append-only

_GUARDS: Final[dict[Kind, Sequence[str]]] = {
    "sqlite": [
        f"CREATE TRIGGER no_{change} BEFORE {change} ON {{0}} BEGIN SELECT RAISE(ABORT, 'append-only'); END"
        for change in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger AS 'BEGIN RAISE ''append-only''; END' LANGUAGE plpgsql",
        "CREATE TRIGGER guard BEFORE UPDATE OR DELETE OR TRUNCATE ON {0} EXECUTE FUNCTION refuse()",
    ],
    "mariadb": [
        f"CREATE TRIGGER no_{change}_{{0}} BEFORE {change} ON {{0}} FOR EACH ROW"
        " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'append-only'"
        for change in ("UPDATE", "DELETE")
    ],
}
#: A migration of two statements whose second fails, and a statement that may have taken effect when it fails.
_BAD: Final[dict[Kind, tuple[str, str]]] = {
    "sqlite": ("CREATE TABLE c (x INTEGER); DROP TABLE nowhere", "DROP TABLE nowhere"),
    "postgresql": (
        "-- dbmigrate: no-transaction\nCREATE TABLE c (x INTEGER); DROP TABLE nowhere",
        "-- dbmigrate: no-transaction\nDO $$ BEGIN RAISE 'no'; END $$",
    ),
    "mariadb": (
        "CREATE TABLE c (x INTEGER); DROP TABLE nowhere",
        "BEGIN NOT ATOMIC SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END",
    ),
}


def test_rows_are_only_ever_added(database: Database) -> None:
    """Through upgrades, downgrades, a baseline, failures, resolve and resume no row is updated or deleted.

    Triggers refuse it, and what was in the tables before a call is there after it.
    """
    bad, doubtful = _BAD[database.kind]
    good = bad.replace("nowhere", "c")
    tables = ["dbmigrate_ledger"] if database.kind == "sqlite" else ["dbmigrate_ledger", "dbmigrate_ledger_journal"]
    seen: dict[str, list[tuple[Any, ...]]] = {table: [] for table in tables}

    def migrator(*more: str) -> Migrator:
        added = [sql_migration(str(number), "more", up, "DELETE FROM b") for number, up in enumerate(more, 3)]
        return Migrator(database.url, MemorySource([*SOURCE.load(), *added]))

    def after(call: Callable[[], object], error: type[Exception] | None = None) -> None:
        if error is None:
            call()
        else:
            with pytest.raises(error):
                call()
        for table, before in seen.items():
            rows = database.query(f"SELECT * FROM {table} ORDER BY 1, 2")
            assert before == rows[: len(before)]
            seen[table] = rows

    database.execute("CREATE TABLE a (x INTEGER)")
    migrator().baseline("1", reason="it was there")
    for table in tables:
        database.execute(*(sql.format(table) for sql in _GUARDS[database.kind]))
    after(lambda: migrator().upgrade())
    after(lambda: migrator().downgrade(to="base"))
    after(lambda: migrator().upgrade())
    after(lambda: migrator(bad).upgrade(), MigrationFailed)
    if database.kind == "sqlite":
        after(lambda: migrator(good).upgrade())
    else:
        database.execute("INSERT INTO a VALUES (1), (1)")
        after(lambda: migrator(bad).upgrade(), HistoryError)
        after(lambda: migrator(good).resume())
        after(lambda: migrator(good, doubtful).upgrade(), MigrationFailed)
        after(lambda: migrator(good, doubtful).resume(), HistoryError)
        after(lambda: migrator(good, doubtful).resolve("4", statement=1, applied=False, reason="I looked"))
        after(lambda: migrator(good, doubtful).resolve("4", applied=False, reason="given up"))
    after(lambda: migrator(good).verify())
    after(lambda: migrator(good).downgrade(to="base"))

    actions = [row[3] for row in seen["dbmigrate_ledger"]]
    assert {"baseline", "up", "down"} <= set(actions)
    assert (database.kind != "sqlite") == ("begin_up" in actions and "resolve_unapplied" in actions)
    for table in tables:
        for change in (f"UPDATE {table} SET seq = seq + 100", f"DELETE FROM {table}"):
            with pytest.raises(Exception, match="append-only"):
                database.execute(change)
