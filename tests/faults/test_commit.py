"""A connection that is lost at COMMIT: the ledger tells whether the step was committed, and nothing runs twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dbmigrate import MemorySource, MigrationError, MigrationFailed, Migrator, StepFinished, sql_migration
from tests.faults.proxy import Drop, proxy

if TYPE_CHECKING:
    from dbmigrate import Report
    from tests.conftest import Database
    from tests.faults.proxy import When

pytestmark = [
    pytest.mark.every_driver,
    pytest.mark.kinds("postgresql", "mariadb"),
    pytest.mark.fault("the connection is lost at COMMIT, before or behind it"),
]

#: Rows, in which a second run would show; DDL is no transaction on MariaDB.
SOURCE = MemorySource(
    [
        sql_migration(str(n), "row", f"INSERT INTO seen VALUES ({n})", f"DELETE FROM seen WHERE k = {n}")
        for n in (1, 2, 3)
    ]
)
WHEN = pytest.mark.parametrize("when", ["before", "after"])


def _through(database: Database, port: int) -> Any:
    return database.url_for(database.driver, tcp=True).set(port=port)


def _port(database: Database) -> int:
    assert database.server is not None
    return database.server.port


def _ran(report: Report) -> list[str]:
    return [str(outcome.step) for outcome in report.outcomes]


def _rows(database: Database) -> list[int]:
    return [k for (k,) in database.query("SELECT k FROM seen ORDER BY k")]


@WHEN
@pytest.mark.parametrize("number", [1, 2, 3])
def test_upgrade_goes_on(database: Database, when: When, number: int) -> None:
    """Each step runs once and is reported once, whether its COMMIT arrived or only the answer got lost."""
    database.execute("CREATE TABLE seen (k INTEGER)")
    Migrator(database.url, MemorySource([sql_migration("0", "first", "DELETE FROM seen")])).upgrade()
    source = MemorySource([sql_migration("0", "first", "DELETE FROM seen"), *SOURCE.load()])
    drop, events = Drop("COMMIT", number, when), list[Any]()

    with proxy(_port(database), drop) as port:
        report = Migrator(_through(database, port), source, on_event=events.append).upgrade()

    assert drop.is_done
    assert _ran(report) == ["1_row up", "2_row up", "3_row up"]
    assert [str(e.outcome.step) for e in events if isinstance(e, StepFinished)] == _ran(report)
    assert _rows(database) == [1, 2, 3]
    Migrator(database.url, source).verify()


@WHEN
@pytest.mark.parametrize("number", [1, 3])
def test_downgrade_goes_back_no_further(database: Database, when: When, number: int) -> None:
    """What is fixed in advance is carried out once."""
    database.execute("CREATE TABLE seen (k INTEGER)")
    Migrator(database.url, SOURCE).upgrade()
    with proxy(_port(database), Drop("COMMIT", number, when)) as port:
        report = Migrator(_through(database, port), SOURCE).downgrade(to="base")

    assert _ran(report) == ["3_row down", "2_row down", "1_row down"]
    assert _rows(database) == []


@WHEN
def test_all_in_one_transaction(database: Database, when: When) -> None:
    """Several steps that commit together are there together, or run together again."""
    database.execute("CREATE TABLE seen (k INTEGER)")
    Migrator(database.url, SOURCE).upgrade("1")
    with proxy(_port(database), Drop("COMMIT", 1, when)) as port:
        report = Migrator(_through(database, port), SOURCE, transaction="all").upgrade()

    assert _ran(report) == ["2_row up", "3_row up"]
    assert _rows(database) == [1, 2, 3]


@WHEN
@pytest.mark.default_driver  # pg8000 leaves a socket open when it cannot connect
def test_a_server_that_does_not_come_back(database: Database, when: When) -> None:
    """Then the error says that it is not known, and that the look failed; a blind restart does the right thing."""
    database.execute("CREATE TABLE seen (k INTEGER)")
    Migrator(database.url, SOURCE).upgrade("1")
    drop = Drop("COMMIT", 1, when)
    with proxy(_port(database), drop) as port:
        url = _through(database, port)
        drop.is_last = True
        with pytest.raises(MigrationFailed, match="lost at COMMIT: status") as caught:
            Migrator(url, SOURCE).upgrade()

    assert "To look again failed: cannot connect" in "".join(caught.value.__notes__)
    assert not caught.value.rolled_back
    Migrator(database.url, SOURCE).upgrade()
    assert _rows(database) == [1, 2, 3]


@pytest.mark.fault("the connection is lost while the ledger is created")
def test_the_ledger_itself(database: Database) -> None:
    """Lost while it is being created: an error, and a blind restart does it."""
    database.execute("CREATE TABLE seen (k INTEGER)")
    drop = Drop("dbmigrate_ledger_journal", 1, "after")
    with proxy(_port(database), drop) as port, pytest.raises(MigrationError):
        Migrator(_through(database, port), SOURCE).upgrade()

    Migrator(database.url, SOURCE).upgrade()
    assert _rows(database) == [1, 2, 3]
