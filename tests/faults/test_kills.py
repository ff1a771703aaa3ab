"""Guarantees 1 to 3 under kill -9: the process dies at a boundary of a call, one after the other.

Of upgrade(), downgrade() and short calls it is every boundary, of those that are made of these each fifth.

A boundary is the moment before or after anything is sent: BEGIN, a statement, a row of ledger or journal, COMMIT. After
each kill come a blind restart and, where it says so, `resume()`, which judges the statement in doubt by the catalogue.
The end must be that of a run that nobody disturbed.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import sqlalchemy
from sqlalchemy import event

from dbmigrate import HistoryError, MigrationError, MigrationFailed, Migrator, TargetError, Unfinished
from dbmigrate.dialects import dialect_for
from dbmigrate.scanner import statements
from tests.conftest import empty
from tests.processes import create_ledger, make, run_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Database
    from tests.faults.tally import Injected

pytestmark = pytest.mark.every_driver

_FILES: Final = {
    "0001_users.up.sql": "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR(20));\n"
    "INSERT INTO users VALUES (1, 'a%b');\nCREATE INDEX users_name ON users (name);\n",
    "0001_users.down.sql": "DROP INDEX {index};\nDELETE FROM users;\nDROP TABLE users;\n",
    "0002_rows.up.sql": "INSERT INTO users VALUES (2, 'x');\nINSERT INTO users VALUES (3, 'y');\n",
    "0002_rows.down.sql": "DELETE FROM users WHERE id > 1;\n",
    "0003_notes.up.sql": "CREATE TABLE notes (id INTEGER PRIMARY KEY);\n",
    "0003_notes.down.sql": "DROP TABLE notes;\n",
}
#: What is in no transaction: each kind of statement that the catalogue tells of, and rows that would show if they came
#: twice.
_OUTSIDE: Final = {
    "sqlite": {
        "0004_outside.up.sql": "-- dbmigrate: no-transaction\nPRAGMA journal_mode = WAL;\n"
        "UPDATE users SET name = name || '!';\nVACUUM;\n",
        "0004_outside.down.sql": "-- dbmigrate: no-transaction\nUPDATE users SET name = substr(name, 1, "
        "length(name) - 1);\nPRAGMA journal_mode = DELETE;\nVACUUM;\n",
    },
    "postgresql": {
        "0004_outside.up.sql": "-- dbmigrate: no-transaction\n"
        "CREATE UNIQUE INDEX CONCURRENTLY users_lower ON users (lower(name));\n"
        "UPDATE users SET name = name || '!';\nREINDEX INDEX CONCURRENTLY users_lower;\n"
        "CREATE TABLE parts (id INTEGER) PARTITION BY RANGE (id);\n"
        "CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (10);\n"
        "ALTER TABLE parts DETACH PARTITION part CONCURRENTLY;\nVACUUM users;\n",
        "0004_outside.down.sql": "-- dbmigrate: no-transaction\nDROP INDEX CONCURRENTLY users_lower;\n"
        "UPDATE users SET name = left(name, -1);\nDROP TABLE parts, part;\nVACUUM users;\n",
    },
    "mariadb": {
        "0004_orders.up.sql": "CREATE TABLE orders (id INTEGER PRIMARY KEY, buyer INTEGER, note VARCHAR(20));\n"
        "ALTER TABLE orders ADD COLUMN total INTEGER NOT NULL DEFAULT 0, ADD INDEX totals (total);\n"
        "INSERT INTO orders VALUES (1, 1, 'x', 2);\n"
        "ALTER TABLE orders ADD CONSTRAINT buyers FOREIGN KEY (buyer) REFERENCES users (id);\n"
        "ALTER TABLE orders ADD CONSTRAINT positive CHECK (total >= 0);\n"
        "ALTER TABLE orders ADD CONSTRAINT once UNIQUE (note);\n"
        "ALTER TABLE orders MODIFY note VARCHAR(40);\n"
        "CREATE VIEW bills AS SELECT id, total FROM orders;\nUPDATE orders SET total = total + 1;\n"
        "RENAME TABLE notes TO remarks;\n",
        "0004_orders.down.sql": "RENAME TABLE remarks TO notes;\nDROP VIEW bills;\n"
        "UPDATE orders SET total = total - 1;\nALTER TABLE orders CHANGE note remark VARCHAR(20);\n"
        "ALTER TABLE orders DROP CONSTRAINT once;\nALTER TABLE orders DROP CONSTRAINT positive;\n"
        "ALTER TABLE orders DROP FOREIGN KEY buyers;\nDROP INDEX totals ON orders;\n"
        "ALTER TABLE orders DROP COLUMN total;\nDROP TABLE orders;\n",
    },
}
#: The statement that 0004 begins with.
_FIRST: Final = {"sqlite": "PRAGMA journal_mode", "postgresql": "CREATE UNIQUE INDEX", "mariadb": "CREATE TABLE orders"}
#: What makes 0004 fail behind its beginning, and what mends that; on PostgreSQL an INVALID index is left.
_SPOILT: Final = {
    "sqlite": (
        "CREATE TRIGGER no BEFORE UPDATE ON users BEGIN SELECT RAISE(ABORT, 'no'); END",
        "DROP TRIGGER no",
    ),
    "postgresql": ("INSERT INTO users VALUES (9, 'X')", "DELETE FROM users WHERE id = 9"),
    "mariadb": ("CREATE TABLE bills (id INTEGER)", "DROP TABLE bills"),
}


@dataclass(frozen=True)
class _World:
    """A database and its migrations."""

    database: Database
    engine: sqlalchemy.Engine
    folder: Path

    @property
    def migrator(self) -> Migrator:
        """What the undisturbed calls are made with."""
        return Migrator(self.engine, self.folder)

    def write(self, files: dict[str, str]) -> None:
        """Write migrations."""
        index = "users_name ON users" if self.database.kind == "mariadb" else "users_name"
        for name, sql in files.items():
            (self.folder / name).write_text(sql.replace("{index}", index))

    def clean(self) -> None:
        """Make the database empty."""
        if self.database.server is not None:
            empty(self.database.server, self.database.name)
            return
        for suffix in ("", "-journal", "-wal", "-shm", "-dbmigrate"):
            Path(self.database.name + suffix).unlink(missing_ok=True)

    def state(self) -> tuple[object, object]:
        """Return the catalogue and data, and what the ledger says without times and sessions."""
        ledger = self.database.query("SELECT seq, version, action, checksum, chain FROM dbmigrate_ledger ORDER BY seq")
        return self.database.dump(exclude="dbmigrate_"), ledger

    def outside(self, direction: str) -> set[tuple[str, int]]:
        """Return the statements that can be in doubt, by version and number."""
        dialect = dialect_for(self.database.url)
        return {
            (file.name[:4], statement.ordinal)
            for file in self.folder.glob(f"*.{direction}.sql")
            for statement in statements(file.read_text(), dialect.grammar)
            if not dialect.traits(statement).atomic
        }


# Before the call that is killed


def _nothing(world: _World) -> None:
    """Begin with an empty database."""


def _upgraded(world: _World) -> None:
    """Begin with everything applied."""
    world.migrator.upgrade()


def _edited(world: _World) -> None:
    """Begin with a migration that was edited since."""
    name = "0003_notes.up.sql"
    world.write({name: _FILES[name]})
    world.migrator.upgrade()
    world.write({name: "CREATE TABLE notes (id BIGINT PRIMARY KEY)"})


def _doubtful(world: _World) -> None:
    """Begin with the last step unfinished: its process was killed behind its first statement, which took effect."""
    upgrade = partial(make, folder=str(world.folder), method="upgrade")
    assert run_until(1, world.database.url, upgrade, since=_FIRST[world.database.kind])
    (finding,) = world.migrator.status().findings
    assert isinstance(finding, Unfinished)
    assert (finding.statement, finding.in_doubt) == (1, True)


def _failed(world: _World) -> None:
    """Begin with the last step unfinished: a statement of it failed, and the cause is gone."""
    spoil, mend = _SPOILT[world.database.kind]

    def look(*arguments: Any) -> None:
        if arguments[2].startswith(_FIRST[world.database.kind]):
            world.database.execute(spoil)

    event.listen(world.engine, "before_cursor_execute", look)
    with pytest.raises(MigrationFailed):
        world.migrator.upgrade()
    event.remove(world.engine, "before_cursor_execute", look)
    world.database.execute(mend)


# The blind restart


@contextlib.contextmanager
def _done_by(kind: type[MigrationError], words: str) -> Iterator[None]:
    """Let an error pass which says that the call that was killed had done its work."""
    try:
        yield
    except kind as error:
        assert words in str(error)


def _upgrade(world: _World) -> None:
    world.migrator.upgrade()


def _downgrade(world: _World) -> None:
    status = world.migrator.status()
    if status.applied or status.errors:
        world.migrator.downgrade(to="base")


def _baseline(world: _World) -> None:
    with _done_by(HistoryError, "a baseline needs an empty ledger"):
        world.migrator.baseline("0002", reason="it was there")


def _accept(world: _World) -> None:
    with _done_by(TargetError, "as it was when it was applied"):
        world.migrator.accept("0003", reason="it is right")


def _resolve(world: _World) -> None:
    with _done_by(TargetError, "no step is unfinished"):
        world.migrator.resolve("0004", applied=True, reason="done by hand")


def _resolve_statement(world: _World) -> None:
    with _done_by(TargetError, "statement 1 is not in doubt"):
        world.migrator.resolve("0004", statement=1, applied=True, reason="it is there")
    world.migrator.resume()


@dataclass(frozen=True)
class _Case:
    """A call that is killed."""

    fault: str
    kill: Callable[..., None]
    begin: Callable[[_World], None]
    restart: Callable[[_World], None]
    #: How many migrations there are.
    count: int = 4
    #: Statements of these scripts are in doubt sometime, each one.
    doubts: str = ""
    #: What redo may have done: as many steps, or so many.
    fewer: tuple[int, ...] = ()


_LOOK: Final = partial(make, method="status")
_WHOLE: Final[dict[str, Any]] = {"version": "0004", "applied": True, "reason": "done by hand"}
_CASES: Final = {
    "up": _Case("upgrade()", partial(make, method="upgrade"), _nothing, _upgrade, doubts="up"),
    "down": _Case("downgrade()", partial(make, method="downgrade", to="base"), _upgraded, _downgrade, doubts="down"),
    "redo": _Case("redo()", partial(make, method="redo", steps=2), _upgraded, _upgrade, fewer=(0, 1)),
    "redo-one": _Case("redo()", partial(make, method="redo", steps=2), _upgraded, _upgrade, count=3, fewer=(0,)),
    "resume": _Case("resume()", partial(make, method="resume"), _doubtful, _upgrade),
    "resume-failed": _Case("resume()", partial(make, method="resume"), _failed, _upgrade),
    "ledger": _Case("the creation of the ledger", create_ledger, _nothing, _upgrade, count=1),
    "baseline": _Case(
        "baseline()",
        partial(make, method="baseline", version="0002", reason="it was there"),
        _nothing,
        _baseline,
        count=3,
    ),
    "accept": _Case(
        "accept()", partial(make, method="accept", version="0003", reason="it is right"), _edited, _accept, count=3
    ),
    "resolve": _Case("resolve()", partial(make, method="resolve", **_WHOLE), _doubtful, _resolve),
    "resolve-statement": _Case(
        "resolve()", partial(make, method="resolve", statement=1, **_WHOLE), _doubtful, _resolve_statement
    ),
}


def _recover(world: _World, restart: Callable[[_World], None]) -> list[Unfinished]:
    """Restart blindly; resume where that is said; return which statements were in doubt and settled by that."""
    doubts = list[Unfinished]()
    for _ in range(10):
        try:
            restart(world)
        except HistoryError as error:
            (finding,) = error.findings
            assert isinstance(finding, Unfinished)
            assert finding.is_judged or not finding.in_doubt
            world.migrator.resume()
            doubts += [finding] * finding.in_doubt
        else:
            return doubts
    raise AssertionError("it does not come to an end")


def _right(world: _World, case: _Case) -> list[tuple[object, object]]:
    """Return the states that are right in the end: that of a run that nobody disturbs, and of a redo of fewer steps."""
    # where DDL is no transaction each step of redo is one by itself
    fewer = (0, 1) if case.fewer and world.database.kind == "mariadb" else case.fewer
    found = list[tuple[object, object]]()
    calls: list[Callable[..., None]] = [case.kill, *(partial(case.kill, steps=n) if n else _LOOK for n in fewer)]
    for one in calls:
        world.clean()
        case.begin(world)
        assert not run_until(-1, world.database.url, partial(one, folder=str(world.folder)))
        assert _recover(world, case.restart) == []
        found.append(world.state())
    return found


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=pytest.mark.fault(f"kill -9 at a boundary of {case.fault}"))
        for name, case in _CASES.items()
    ],
)
def test_killed_at_every_boundary(database: Database, tmp_path: Path, injected: Injected, case: _Case) -> None:
    """Whatever the boundary, the end is that of an undisturbed run; one statement at most is in doubt, and settled."""
    world = _World(database, database.engine(poolclass=sqlalchemy.NullPool), tmp_path)
    world.write(dict(list((_FILES | _OUTSIDE[database.kind]).items())[: 2 * case.count]))
    kill = partial(case.kill, folder=str(tmp_path))
    right = _right(world, case)

    # A few of them do, before and after this and that, with other drivers than the default, for what is sent is the
    # same; and more where a long call is made of the steps of upgrade() and downgrade(), which are killed at each.
    stride = 1 if case.doubts or case.count < len(_FILES) // 2 + 1 else 5
    if not database.is_default:
        stride = 13 if case.doubts else 29
    boundary, seen = 0, set[tuple[str, int]]()
    while True:
        world.clean()
        case.begin(world)
        if not run_until(boundary, database.url, kill):
            break
        doubts = _recover(world, case.restart)
        seen |= {(doubt.version, doubt.statement or 0) for doubt in doubts}
        is_right = world.state() in right
        injected(1, doubts=len(doubts), settled=len(doubts), wrongly=0 if is_right else len(doubts))
        assert len(doubts) <= 1
        assert is_right, f"killed at boundary {boundary}: {world.state()} is none of {right}"
        boundary += stride

    assert boundary > 10
    if case.doubts and database.is_default:
        assert seen == world.outside(case.doubts)
