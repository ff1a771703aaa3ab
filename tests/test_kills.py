"""Guarantees 1 to 3 under kill -9: the process dies at every boundary, one after the other.

A boundary is the moment before or after anything is sent: BEGIN, a statement, a row of ledger or
journal, COMMIT. After each kill come a blind `upgrade()` and, where it says so, `resume()`, which
judges the statement in doubt by the catalogue. The end must be that of a run that nobody disturbed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import sqlalchemy

from dbmigrate import HistoryError, Migrator, Unfinished
from tests.conftest import empty
from tests.processes import downgrade, run_until, upgrade

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Database

pytestmark = pytest.mark.every_driver

_DDL = {
    "0001_users.up.sql": "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR(20));\n"
    "INSERT INTO users VALUES (1, 'a%b');\nCREATE INDEX users_name ON users (name);\n",
    "0001_users.down.sql": "DROP INDEX {index};\nDELETE FROM users;\nDROP TABLE users;\n",
    "0002_rows.up.sql": "INSERT INTO users VALUES (2, 'x');\nINSERT INTO users VALUES (3, 'y');\n",
    "0002_rows.down.sql": "DELETE FROM users WHERE id > 1;\n",
    "0003_notes.up.sql": "CREATE TABLE notes (id INTEGER PRIMARY KEY);\n",
    "0003_notes.down.sql": "DROP TABLE notes;\n",
}
_OUTSIDE = {
    "0004_outside.up.sql": "-- dbmigrate: no-transaction\nPRAGMA journal_mode = WAL;\n"
    "UPDATE users SET name = name || '!';\nVACUUM;\n",
    "0004_outside.down.sql": "-- dbmigrate: no-transaction\nUPDATE users SET name = rtrim(name, '!');\n"
    "PRAGMA journal_mode = DELETE;\nVACUUM;\n",
}
_CONCURRENTLY = {
    "0004_index.up.sql": "-- dbmigrate: no-transaction\nCREATE INDEX CONCURRENTLY users_lower ON users (lower(name));\n"
    "UPDATE users SET name = name || '!';\nVACUUM users;\n",
    "0004_index.down.sql": "-- dbmigrate: no-transaction\nDROP INDEX CONCURRENTLY users_lower;\n"
    "UPDATE users SET name = rtrim(name, '!');\n",
}


def _write(folder: Path, kind: str) -> Path:
    folder.mkdir()
    files = _DDL | {"postgresql": _CONCURRENTLY, "sqlite": _OUTSIDE, "mariadb": {}}[kind]
    index = "users_name ON users" if kind == "mariadb" else "users_name"
    for name, sql in files.items():
        (folder / name).write_text(sql.replace("{index}", index))
    return folder


def _clean(database: Database) -> None:
    if database.server is not None:
        empty(database.server, database.name)
        return
    from pathlib import Path

    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(database.name + suffix).unlink(missing_ok=True)


def _state(database: Database) -> tuple[object, object]:
    """Return the catalogue and data, and what the ledger says without times and sessions."""
    ledger = database.query("SELECT seq, version, action, checksum, chain FROM dbmigrate_ledger ORDER BY seq")
    return database.dump(exclude="dbmigrate_"), ledger


def _recover(engine: sqlalchemy.Engine, folder: Path, call: str) -> int:
    """Restart blindly; resume where that is said; return how many statements were in doubt and settled by that."""
    migrator = Migrator(engine, folder)
    settled = 0
    for _ in range(10):
        try:
            if call == "up":
                migrator.upgrade()
            elif migrator.status().applied or migrator.status().errors:
                migrator.downgrade(to="base")
        except HistoryError as error:
            (finding,) = error.findings
            assert isinstance(finding, Unfinished)
            assert finding.is_judged or not finding.in_doubt
            settled += finding.in_doubt
            migrator.resume()
        else:
            return settled
    raise AssertionError("it does not come to an end")


@pytest.mark.parametrize("call", ["up", "down"])
def test_killed_at_every_boundary(database: Database, tmp_path: Path, call: str) -> None:
    """Whatever the boundary, the end is that of an undisturbed run; one statement at most is in doubt, and settled."""
    folder = _write(tmp_path / "migrations", database.kind)
    kill = partial({"up": upgrade, "down": downgrade}[call], folder=str(folder))
    engine = database.engine(poolclass=sqlalchemy.NullPool)

    def prepare() -> None:
        _clean(database)
        if call == "down":
            Migrator(engine, folder).upgrade()

    prepare()
    getattr(Migrator(engine, folder), "upgrade" if call == "up" else "downgrade")(
        **({} if call == "up" else {"to": "base"})
    )
    expected = _state(database)

    # With other drivers than the default a few boundaries, before and after this and that: what is sent is the same.
    boundary, settled, stride = 0, 0, 1 if database.is_default else 13
    while True:
        prepare()
        if not run_until(boundary, database.url, kill):
            break
        doubts = _recover(engine, folder, call)
        assert doubts <= 1
        settled += doubts
        assert _state(database) == expected, f"killed at boundary {boundary}"
        boundary += stride

    assert boundary > 30
    if database.is_default:
        assert settled > 0
