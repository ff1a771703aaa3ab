"""Ledgers of other shapes: through the port, in the database and outside of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from dbmigrate import (
    HistoryError,
    LedgerConflict,
    LedgerError,
    MemorySource,
    MigrationFailed,
    Migrator,
    Record,
    TargetError,
    sql_migration,
)
from tests.processes import run_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conftest import Database

SOURCE = MemorySource(
    [
        sql_migration("1", "a", "CREATE TABLE a (x INTEGER)", "DROP TABLE a"),
        sql_migration("2", "b", "CREATE TABLE b (x INTEGER)", "DROP TABLE b"),
        sql_migration("3", "c", "INSERT INTO a VALUES (1)", "DELETE FROM a"),
    ]
)


@dataclass(frozen=True)
class Versions:
    """A table of what is applied now, as many have it: version and name, in order."""

    def read(self, connection: sqlalchemy.Connection) -> Sequence[Record]:
        """Make up the records."""
        if not sqlalchemy.inspect(connection).has_table("versions"):
            return []
        rows = connection.execute(text("SELECT version, name FROM versions ORDER BY place"))
        return [Record(place, version, name, "up") for place, (version, name) in enumerate(rows, 1)]

    def create(self, connection: sqlalchemy.Connection) -> None:
        """Make the table."""
        columns = "place INTEGER NOT NULL UNIQUE, version VARCHAR(100) PRIMARY KEY, name VARCHAR(100)"
        connection.execute(text(f"CREATE TABLE IF NOT EXISTS versions ({columns})"))

    def append(self, connection: sqlalchemy.Connection, record: Record) -> None:
        """Keep what a record amounts to."""
        values = {"place": record.seq, "version": record.version, "name": record.name}
        if record.action in ("up", "baseline", "resolve_applied"):
            try:
                connection.execute(text("INSERT INTO versions VALUES (:place, :version, :name)"), values)
            except IntegrityError as error:
                raise LedgerConflict(f"{record} is there already") from error
        elif record.action in ("down", "resolve_unapplied"):
            connection.execute(text("DELETE FROM versions WHERE version = :version"), values)
        else:
            raise LedgerError(f"a table of versions cannot keep {record.action}: mark no migration no-transaction")


@dataclass(frozen=True)
class JsonFile:
    """Records in a file, each made once: outside the database."""

    path: Path
    transactional = False

    def read(self, connection: sqlalchemy.Connection) -> Sequence[Record]:  # noqa: ARG002
        """Read all files."""
        files = sorted(self.path.glob("*.json"))
        return [Record(**{"down_sql": None} | json.loads(file.read_text())) for file in files]

    def create(self, connection: sqlalchemy.Connection) -> None:  # noqa: ARG002
        """Make the folder."""
        self.path.mkdir(exist_ok=True)

    def append(self, connection: sqlalchemy.Connection, record: Record) -> None:  # noqa: ARG002
        """Make the file of a seq, if nobody has."""
        try:
            with (self.path / f"{record.seq:06}.json").open("x") as file:
                json.dump(asdict(record) | {"started_at": None, "finished_at": None}, file)
        except FileExistsError as error:
            raise LedgerConflict(f"{record.seq} is taken") from error


def names(migrator: Migrator) -> list[str]:
    """Return what is applied."""
    return [entry.name for entry in migrator.status().applied]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_table_of_the_users_own_shape(request: pytest.FixtureRequest, kind: str) -> None:
    """Every verb works over a ledger that keeps only what is applied now; its row commits with the step."""
    database: Database = request.getfixturevalue(kind)
    migrator = Migrator(database.url, SOURCE, ledger=Versions())

    assert names(migrator) == []
    assert len(migrator.upgrade().outcomes) == 3
    assert not migrator.upgrade()
    assert sorted(database.tables()) == ["a", "b", "versions"]
    migrator.downgrade(steps=2)
    assert names(migrator) == ["a"]
    migrator.upgrade()
    migrator.apply(migrator.plan())
    migrator.downgrade(to="base")
    assert names(migrator) == []
    migrator.baseline("2", reason="they are there")
    assert names(migrator) == ["a", "b"]


def test_a_failed_step_leaves_no_row(sqlite: Database) -> None:
    """As with a ledger of ours."""
    bad = MemorySource([*SOURCE.migrations, sql_migration("4", "d", "INSERT INTO nope VALUES (1)")])

    with pytest.raises(MigrationFailed) as caught:
        Migrator(sqlite.url, bad, ledger=Versions()).upgrade()

    assert caught.value.rolled_back
    assert sqlite.query("SELECT version FROM versions ORDER BY place") == [("1",), ("2",), ("3",)]


def test_what_a_ledger_cannot_keep_is_said_before_anything_runs(postgresql: Database) -> None:
    """The begin of a step without a transaction is its first record."""
    source = MemorySource([sql_migration("1", "a", "-- no-transaction\nCREATE TABLE a (x INTEGER)")])

    with pytest.raises(LedgerError, match="cannot keep begin_up"):
        Migrator(postgresql.url, source, ledger=Versions()).upgrade()

    assert postgresql.tables() == ["versions"]


def test_a_ledger_of_files(database: Database, tmp_path: Path) -> None:
    """Outside the database: the begin is recorded before, the end behind the transaction."""
    migrator = Migrator(database.url, SOURCE, ledger=JsonFile(tmp_path / "ledger"))

    assert len(migrator.upgrade().outcomes) == 3
    assert not migrator.upgrade()
    migrator.verify()
    assert sorted(database.tables()) == ["a", "b"]
    actions = [record.action for record in JsonFile(tmp_path / "ledger").read(None)]  # type: ignore[arg-type]
    assert actions == ["begin_up", "up"] * 3
    migrator.downgrade(to="base")
    assert database.tables() == []
    assert not Migrator(database.url, SOURCE, ledger=JsonFile(tmp_path / "ledger")).status().applied


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_failed_step_is_closed_outside(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> None:
    """What the database rolled back entirely can simply run again."""
    database: Database = request.getfixturevalue(kind)
    ledger = JsonFile(tmp_path / "ledger")
    bad = MemorySource([sql_migration("1", "a", "CREATE TABLE a (x INTEGER); INSERT INTO nope VALUES (1)")])

    with pytest.raises(MigrationFailed) as caught:
        Migrator(database.url, bad, ledger=ledger).upgrade()

    assert caught.value.rolled_back
    assert database.tables() == []
    assert len(Migrator(database.url, SOURCE, ledger=ledger).upgrade().outcomes) == 3


def test_a_failed_ddl_step_is_in_doubt_without_a_journal(mariadb: Database, tmp_path: Path) -> None:
    """Nobody knows how far it came: a person says what is true of the whole."""
    ledger = JsonFile(tmp_path / "ledger")
    bad = MemorySource([sql_migration("1", "a", "CREATE TABLE a (x INTEGER); INSERT INTO nope VALUES (1)")])
    migrator = Migrator(mariadb.url, bad, ledger=ledger)

    with pytest.raises(MigrationFailed, match="keeps no journal") as caught:
        migrator.upgrade()

    assert not caught.value.rolled_back
    with pytest.raises(HistoryError, match="keeps no journal"):
        migrator.upgrade()
    with pytest.raises(HistoryError, match="keeps no journal"):
        migrator.resume()
    with pytest.raises((TargetError, LedgerError)):
        migrator.resolve("1", statement=1, applied=True, reason="no")
    migrator.resolve("1", applied=True, reason="the table is all that matters")
    migrator.verify()


@dataclass(frozen=True)
class _Call:
    """A call that a process can be given."""

    folder: str

    def __call__(self, engine: sqlalchemy.Engine) -> None:
        Migrator(engine, SOURCE, ledger=JsonFile(Path(self.folder))).upgrade()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_killed_at_every_boundary(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> None:
    """A crash leaves at most one step in doubt, and a person's true word about it is enough to go on."""
    database: Database = request.getfixturevalue(kind)
    boundary, killed = 0, True
    while killed:
        folder = tmp_path / str(boundary)
        for name in database.tables():
            database.execute(f"DROP TABLE {name}")
        killed = run_until(boundary, database.url, _Call(str(folder)))
        migrator = Migrator(database.url, SOURCE, ledger=JsonFile(folder))
        try:
            migrator.upgrade()
        except HistoryError as error:
            (finding,) = error.findings
            done: dict[str, Any] = {
                "1": "a" in database.tables(),
                "2": "b" in database.tables(),
                "3": "a" in database.tables() and database.query("SELECT count(*) FROM a") == [(1,)],
            }
            migrator.resolve(finding.version, applied=done[finding.version], reason="looked")
            migrator.upgrade()
        migrator.verify()
        assert sorted(database.tables()) == ["a", "b"]
        assert database.query("SELECT x FROM a") == [(1,)]
        boundary += 1
    assert boundary > 10


def test_errors_of_a_ledger_are_ledger_errors(sqlite: Database) -> None:
    """Whatever it raises, with what it was about."""

    class Broken(Versions):
        def read(self, connection: sqlalchemy.Connection) -> Sequence[Record]:  # noqa: ARG002
            raise KeyError("nope")

    sqlite.execute("CREATE TABLE x (x)")
    with pytest.raises(LedgerError, match="the ledger cannot be read: KeyError: 'nope'"):
        Migrator(sqlite.url, SOURCE, ledger=Broken()).status()
