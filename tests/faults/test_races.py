"""Guarantee 1: exactly once, however many start at the same instant."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from dbmigrate import MemorySource, Migrator, sql_migration
from tests.processes import Answer, mixed, race

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Database

pytestmark = [pytest.mark.every_driver, pytest.mark.fault("many processes call upgrade() at the same instant")]

PROCESSES = 32

_SLEEP = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500000) "
    "INSERT INTO slept SELECT max(i) FROM n",
    "postgresql": "INSERT INTO slept SELECT 1 FROM pg_sleep(0.5)",
    "mariadb": "INSERT INTO slept SELECT sleep(0.5)",
}


def _write_ddl(folder: Path, kind: str) -> list[str]:
    versions = [f"{i:04}" for i in range(1, 51)]
    for version in versions:
        sql = f"CREATE TABLE t{version} (id INTEGER PRIMARY KEY);\nCREATE INDEX i{version} ON t{version} (id);\n"
        if version == "0020":
            sql = f"CREATE TABLE slept (n INTEGER);\n{_SLEEP[kind]};\n"
        (folder / f"{version}_table.sql").write_text(sql)
    return versions


def _write_dml(folder: Path) -> list[str]:
    versions = [f"{i:04}" for i in range(1, 21)]
    for version in versions:
        (folder / f"{version}_row.sql").write_text(f"INSERT INTO seen VALUES ({int(version)});\n")
    return versions


def _count(database: Database) -> int:
    """How many start: fewer with drivers other than the default, for what decides is the database."""
    return PROCESSES if database.is_default else PROCESSES // 4


def _check(answers: list[Answer], versions: list[str]) -> None:
    assert [a.error for a in answers if a.error] == []
    assert sorted(v for a in answers for v in a.applied) == versions
    assert all(a.is_current for a in answers)


def test_many_processes_apply_each_migration_once(database: Database, tmp_path: Path) -> None:
    """Many processes on an empty database: every migration once, nobody fails, all return current."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    versions = _write_ddl(folder, database.kind)

    _check(race(_count(database), database.url, folder), versions)


@pytest.mark.parametrize("lock", [True, False], ids=["locked", "unlocked"])
def test_rows_are_inserted_once(database: Database, tmp_path: Path, *, lock: bool) -> None:
    """20 migrations that only INSERT, where no "already exists" hides a second run."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    database.execute("CREATE TABLE seen (n INTEGER)")
    versions = _write_dml(folder)

    _check(race(_count(database), database.url, folder, lock=lock), versions)

    assert sorted(n for (n,) in database.query("SELECT n FROM seen")) == [int(v) for v in versions]


@pytest.mark.default_driver
@pytest.mark.kinds("sqlite", "postgresql")
def test_without_the_lock_the_ledger_is_enough(database: Database, tmp_path: Path) -> None:
    """The same with the lock switched off, where DDL is transactional: the ledger's key decides."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    versions = _write_ddl(folder, database.kind)

    _check(race(_count(database), database.url, folder, lock=False), versions)


@pytest.mark.default_driver
@pytest.mark.kinds("sqlite", "postgresql")
@pytest.mark.fault("many threads call upgrade() at the same instant")
def test_one_migrator_in_many_threads(database: Database, tmp_path: Path) -> None:
    """One Migrator that eight threads share and call at the same instant: every migration once, nobody fails."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    versions = _write_ddl(folder, database.kind)
    migrator, ready = Migrator(database.url, folder), threading.Barrier(8)

    def upgrade(_: int) -> list[str]:
        ready.wait()
        return [outcome.step.migration.version for outcome in migrator.upgrade().outcomes]

    with ThreadPoolExecutor(8) as pool:
        applied = list(pool.map(upgrade, range(8)))

    assert sorted(version for each in applied for version in each) == versions
    assert migrator.status().is_current


@pytest.mark.default_driver
@pytest.mark.fault("many processes upgrade, downgrade, verify and wait at the same instant")
def test_mixed_calls(database: Database) -> None:
    """Each raises what is promised of it or nothing, and ledger, reports and rows agree on how often each step ran."""
    database.execute("CREATE TABLE effects (step VARCHAR(20))")
    source = MemorySource(
        [
            sql_migration(
                str(n),
                "row",
                f"INSERT INTO effects VALUES ('{n}_row up')",
                f"INSERT INTO effects VALUES ('{n}_row down')",
            )
            for n in range(1, 6)
        ]
    )
    Migrator(database.url, source).upgrade("3")
    calls: list[tuple[str, dict[str, Any]]] = [
        ("upgrade", {}),
        ("downgrade", {}),
        ("verify", {}),
        ("wait_until_current", {"timeout": 1.5}),
        ("downgrade", {"steps": 2}),
        ("status", {}),
        ("redo", {}),
        ("goto", {"to": "2"}),
    ]
    promised = {
        "downgrade": {"StalePlan", "TargetError"},
        "redo": {"StalePlan", "TargetError"},
        "goto": {"StalePlan"},
        "verify": {"NotCurrent"},
        "wait_until_current": {"NotCurrent"},
    }

    answers = mixed(database.url, source, calls * (PROCESSES // len(calls)))

    assert [a for a in answers if a.error is not None and a.error not in promised.get(a.applied[0], ())] == []
    rows = Counter(step for (step,) in database.query("SELECT step FROM effects"))
    records = [r for r in Migrator(database.url, source).history() if r.action in ("up", "down")]
    reported = Counter(step for a in answers for step in a.applied[1:]) + Counter(f"{n}_row up" for n in (1, 2, 3))
    assert rows == Counter(f"{record} {record.action}" for record in records)
    assert rows >= reported  # a call that is stale raises with the steps that it ran
    applied = {str(entry.version) for entry in Migrator(database.url, source).status().applied}
    assert applied == {str(n) for n in range(1, 6) if rows[f"{n}_row up"] > rows[f"{n}_row down"]}


@pytest.mark.kinds("sqlite")
@pytest.mark.fault("64 threads of one process upgrade as many files at the same instant")
def test_many_threads_on_files_of_their_own(database: Database, tmp_path: Path) -> None:
    """None knows of the others."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    versions, ready = _write_dml(folder), threading.Barrier(64)
    (folder / "0000_seen.sql").write_text("CREATE TABLE seen (n INTEGER)")

    def upgrade(number: int) -> tuple[int, bool]:
        migrator = Migrator(database.url.set(database=str(tmp_path / f"{number}.sqlite")), folder)
        ready.wait()
        return len(migrator.upgrade().outcomes), migrator.status().is_current

    with ThreadPoolExecutor(64) as pool:
        assert set(pool.map(upgrade, range(64))) == {(len(versions) + 1, True)}


@pytest.mark.kinds("sqlite")
def test_a_step_outside_a_transaction_runs_once(database: Database, tmp_path: Path) -> None:
    """VACUUM cannot run under a write lock, so there is another beside the file; a second run would count twice."""
    scripts = {
        "1_a.sql": "CREATE TABLE a (x INTEGER)",
        "2_b.sql": "-- dbmigrate: no-transaction\nPRAGMA journal_mode = WAL; INSERT INTO a VALUES (1); VACUUM",
        "3_c.sql": "INSERT INTO a VALUES (2)",
    }
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)

    _check(race(16, database.url, tmp_path), ["1", "2", "3"])

    assert database.query("SELECT x FROM a ORDER BY x") == [(1,), (2,)]
