"""The hand-written loop over a driver that dbmigrate is measured against.

It promises what dbmigrate does: every file is hashed and compared with what was applied, each
migration commits together with its row of the ledger, and a lock keeps others out: BEGIN IMMEDIATE
with a second look at the ledger on SQLite, an advisory lock on PostgreSQL, GET_LOCK on MariaDB.

It is naive where that is enough for generated files: names are not checked, statements end where a
line ends with a semicolon, and errors are the driver's. A journal, which on MariaDB says after a
crash how far a migration got, is kept when it is asked for.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEDGER = (
    "CREATE TABLE IF NOT EXISTS loop_ledger (version VARCHAR(100) NOT NULL PRIMARY KEY, "
    "checksum VARCHAR(64) NOT NULL, down_checksum VARCHAR(64), applied_at VARCHAR(40) NOT NULL)"
)
_BEGUN = "CREATE TABLE IF NOT EXISTS loop_begun (version VARCHAR(100) NOT NULL PRIMARY KEY)"
_JOURNAL = (
    "CREATE TABLE IF NOT EXISTS loop_journal (version VARCHAR(100) NOT NULL, "
    "entry INTEGER NOT NULL, hash VARCHAR(64) NOT NULL, state VARCHAR(16) NOT NULL, "
    "PRIMARY KEY (version, entry))"
)


class Script(NamedTuple):
    """A migration as the loop sees it."""

    version: str
    up: bytes
    checksum: str
    down_checksum: str | None
    down: bytes | None


def load(folder: str) -> list[Script]:
    """Read and hash every file."""
    ups: dict[str, bytes] = {}
    downs: dict[str, bytes] = {}
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - pathlib is slower
        with open(f"{folder}/{name}", "rb") as file:  # noqa: PTH123
            data = file.read()
        version = name.partition("_")[0]
        if name.endswith(".down.sql"):
            downs[version] = data
        else:
            ups[version] = data
    scripts = []
    for version, up in ups.items():
        down = downs.get(version)
        down_checksum = None if down is None else sha256(down).hexdigest()
        scripts.append(Script(version, up, sha256(up).hexdigest(), down_checksum, down))
    return scripts


class Loop:
    """The loop over one connection, which must be in autocommit."""

    def __init__(self, kind: str, connection: Any, *, journal: bool = False) -> None:
        self._kind = kind
        self._cursor = connection.cursor()
        self._journal = journal
        self._mark = "?" if kind == "sqlite" else "%s"

    def upgrade(self, folder: str) -> int:
        """Apply everything pending; return how many that were."""
        scripts = load(folder)
        if not self._pending(scripts):
            return 0
        with self._locked():
            self._cursor.execute(_LEDGER)
            if self._journal:
                self._cursor.execute(_BEGUN)
                self._cursor.execute(_JOURNAL)
            pending = self._pending(scripts)
            for script in pending:
                (self._apply_journalled if self._journal else self._apply)(script)
        return len(pending)

    def revert(self, folder: str) -> int:
        """Take everything back, newest first; return how many that were."""
        scripts = load(folder)
        if not self._applied(scripts):
            return 0
        with self._locked():
            applied = self._applied(scripts)
            for script in reversed(applied):
                self._revert(script)
        return len(applied)

    def mark_applied(self, folder: str) -> None:
        """Record everything as applied."""
        rows = [(s.version, s.checksum, s.down_checksum, "2026") for s in load(folder)]
        self._cursor.execute(_LEDGER)
        self._cursor.execute("BEGIN")
        self._cursor.executemany(self._insert("loop_ledger", 4), rows)
        self._cursor.execute("COMMIT")

    def _pending(self, scripts: list[Script]) -> list[Script]:
        known = self._compare(scripts)
        return [script for script in scripts if script.version not in known]

    def _applied(self, scripts: list[Script]) -> list[Script]:
        known = self._compare(scripts)
        return [script for script in scripts if script.version in known]

    def _compare(self, scripts: list[Script]) -> dict[str, tuple[str, str | None]]:
        known = self._read()
        for script in scripts:
            found = known.get(script.version)
            if found is not None and found != (script.checksum, script.down_checksum):
                raise ValueError(f"{script.version} was edited")
        return known

    def _read(self) -> dict[str, tuple[str, str | None]]:
        try:
            self._cursor.execute("SELECT version, checksum, down_checksum FROM loop_ledger")
        except Exception as error:
            if not any(text in str(error) for text in ("no such", "not exist", "doesn't exist")):
                raise
            return {}
        return {version: (up, down) for version, up, down in self._cursor.fetchall()}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._kind == "postgresql":
            self._cursor.execute("SELECT pg_advisory_lock(4711)")
        elif self._kind == "mariadb":
            self._cursor.execute("SELECT GET_LOCK('loop', 60)")
        yield
        if self._kind == "postgresql":
            self._cursor.execute("SELECT pg_advisory_unlock(4711)")
        elif self._kind == "mariadb":
            self._cursor.execute("SELECT RELEASE_LOCK('loop')")

    def _apply(self, script: Script) -> None:
        if not self._begin(script, applied=False):
            return
        for statement in _statements(script.up):
            self._cursor.execute(statement)
        self._record(script)
        self._cursor.execute("COMMIT")

    def _revert(self, script: Script) -> None:
        if script.down is None:
            raise ValueError(f"{script.version} has no way back")
        if not self._begin(script, applied=True):
            return
        for statement in _statements(script.down):
            self._cursor.execute(statement)
        self._cursor.execute(f"DELETE FROM loop_ledger WHERE version = {self._mark}", (script.version,))
        self._cursor.execute("COMMIT")

    def _begin(self, script: Script, *, applied: bool) -> bool:
        """Begin a transaction, unless somebody else was quicker."""
        execute = self._cursor.execute
        if self._kind != "sqlite":
            execute("BEGIN")
            return True
        execute("BEGIN IMMEDIATE")
        execute("SELECT 1 FROM loop_ledger WHERE version = ?", (script.version,))
        if (self._cursor.fetchone() is not None) is applied:
            return True
        execute("ROLLBACK")
        return False

    def _apply_journalled(self, script: Script) -> None:
        """Write down each statement before and after it; its own commit makes "started" safe."""
        execute, entry = self._cursor.execute, 0
        rows: list[tuple[str, int, str, str]] = []

        def note(state: str) -> None:
            nonlocal entry
            entry += 1
            rows.append((script.version, entry, sha256(statement.encode()).hexdigest(), state))

        def flush() -> None:
            if rows:
                self._cursor.executemany(self._insert("loop_journal", 4), rows)
                rows.clear()

        execute("BEGIN")
        execute(self._insert("loop_begun", 1), (script.version,))
        is_open = True
        for statement in _statements(script.up):
            if not is_open:
                execute("BEGIN")
            if statement.startswith("INSERT"):
                flush()
                execute(statement)
                note("done")
                flush()
                execute("COMMIT")
            else:
                note("started")
                flush()
                execute(statement)
                note("done")
            is_open = False
        execute("BEGIN")
        flush()
        self._record(script)
        execute("COMMIT")

    def _record(self, script: Script) -> None:
        row = (script.version, script.checksum, script.down_checksum, "2026-11-23 10:15:00")
        self._cursor.execute(self._insert("loop_ledger", 4), row)

    def _insert(self, table: str, columns: int) -> str:
        return f"INSERT INTO {table} VALUES ({', '.join([self._mark] * columns)})"


def _statements(text: bytes) -> list[str]:
    return [s for s in text.decode().split(";\n") if s]
