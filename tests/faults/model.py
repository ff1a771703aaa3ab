"""A migrator in plain Python, as a person would do it with paper and pencil: what each call must do.

It shares nothing with dbmigrate but the words. A `Call` goes through states, one after the other: the last is where the
call leads to, and where it is cut short the database is in one of them.
"""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from tests.conftest import Kind

Direction = Literal["up", "down"]

#: What statements do: `row` and `doubt` add a row to `seen`, whose rows are counted; `again` changes nothing, `bad`
#: fails; the others make or remove a thing of the catalogue.
_INDEXES: Final[dict[Kind, tuple[str, str]]] = {
    "sqlite": ("CREATE INDEX {0} ON base (id)", "DROP INDEX {0}"),
    "postgresql": ("CREATE INDEX CONCURRENTLY {0} ON base (id)", "DROP INDEX CONCURRENTLY {0}"),
    "mariadb": ("CREATE INDEX {0} ON base (id)", "DROP INDEX {0} ON base"),
}
#: What may be repeated.
_AGAIN: Final[dict[Kind, str]] = {"sqlite": "VACUUM", "postgresql": "VACUUM base", "mariadb": "ANALYZE TABLE base"}
#: What the catalogue does not show; on SQLite it makes a file, for there is no other such statement.
_DOUBT: Final[dict[Kind, str]] = {
    "sqlite": "VACUUM INTO '{folder}/{0}'",
    "postgresql": "DO $$ BEGIN INSERT INTO seen VALUES ('{0}'); END $$",
    "mariadb": "BEGIN NOT ATOMIC INSERT INTO seen VALUES ('{0}'); END",
}
#: What takes effect together with the transaction around it.
_ATOMIC: Final[dict[Kind, set[str]]] = {
    "sqlite": {"row", "bad", "table", "untable", "index", "unindex"},
    "postgresql": {"row", "bad", "table", "untable"},
    "mariadb": {"row", "bad"},
}
#: What cannot run inside a transaction.
OUTSIDE: Final[dict[Kind, set[str]]] = {
    "sqlite": {"again", "doubt"},
    "postgresql": {"index", "unindex", "again"},
    "mariadb": set(),
}
#: Where everything begins.
TABLES: Final = {"seen": "CREATE TABLE seen (what VARCHAR(40))", "base": "CREATE TABLE base (id INTEGER)"}
_INVERSE: Final = {"table": "untable", "index": "unindex"}


@dataclass(frozen=True)
class Statement:
    """A statement: what it does, and the name of the row or thing."""

    kind: str
    name: str

    def sql(self, kind: Kind, folder: str) -> str:
        """Return it for a kind of database."""
        texts = {
            "row": "INSERT INTO seen VALUES ('{0}')",
            "bad": "INSERT INTO nowhere VALUES ('{0}')",
            "table": "CREATE TABLE {0} (id INTEGER)",
            "untable": "DROP TABLE {0}",
            "index": _INDEXES[kind][0],
            "unindex": _INDEXES[kind][1],
            "again": _AGAIN[kind],
            "doubt": _DOUBT[kind],
        }
        return texts[self.kind].format(self.name, folder=folder)

    def inverse(self, name: str) -> Statement:
        """Return what takes it back; rows stay, and another one says that it was taken back."""
        if self.kind in _INVERSE and self.name not in TABLES:
            return Statement(_INVERSE[self.kind], self.name)
        return Statement(self.kind if self.kind in ("again", "doubt") else "row", name)


@dataclass(frozen=True)
class Script:
    """The text of one direction; `note` is the number of the comment in it."""

    statements: tuple[Statement, ...]
    outside: bool = False
    note: int = 0

    def text(self, kind: Kind, folder: str) -> str:
        """Return it as it is written to a file."""
        head = ["-- dbmigrate: no-transaction"] if self.outside else []
        return "\n".join([*head, f"-- note {self.note}", *(s.sql(kind, folder) + ";" for s in self.statements), ""])

    def is_whole(self, kind: Kind) -> bool:
        """Tell whether it is one transaction."""
        return not self.outside and (kind != "mariadb" or all(s.kind in _ATOMIC[kind] for s in self.statements))

    def means(self) -> tuple[object, ...]:
        """Return what is left of it without comments."""
        return self.statements, self.outside


@dataclass(frozen=True)
class File:
    """A migration, or the pair of its files."""

    version: str
    up: Script
    down: Script | None

    def script(self, direction: Direction) -> Script:
        """Return the script of a direction."""
        script = self.up if direction == "up" else self.down
        assert script is not None
        return script


Files = dict[str, File]


def ordered(files: Iterable[str]) -> list[str]:
    """Return versions in order."""
    return sorted(files, key=int)


@dataclass
class Applied:
    """What made a migration applied."""

    up: Script
    seq: int
    is_baseline: bool = False


@dataclass
class Open:
    """A step outside a transaction that began and did not end."""

    version: str
    direction: Direction
    #: The up script, as it was when the step began.
    up: Script
    #: The statements that are known to be done, from the first on.
    done: list[Statement] = field(default_factory=list[Statement])
    #: What else is known of the next one.
    last: Literal["started", "failed"] | None = None
    statement: Statement | None = None
    #: Of one in doubt: what is true.
    took: bool = False

    @property
    def ordinal(self) -> int:
        """The number of the next statement."""
        return len(self.done) + 1


@dataclass
class State:
    """A database: its ledger, its rows, its things."""

    #: Version, action, and the up script of the time.
    records: list[tuple[str, str, Script]] = field(default_factory=list[tuple[str, str, Script]])
    applied: dict[str, Applied] = field(default_factory=dict[str, Applied])
    open: Open | None = None
    rows: Counter[str] = field(default_factory=Counter[str])
    things: set[str] = field(default_factory=lambda: set(TABLES))

    def record(self, version: str, action: str, up: Script) -> int:
        """Write a record; return its number."""
        self.records.append((version, action, up))
        return len(self.records)

    def fails(self, statement: Statement) -> bool:
        """Tell whether a statement would fail now."""
        if statement.kind in ("table", "index"):
            return statement.name in self.things
        return statement.kind == "bad" or (statement.kind in _INVERSE.values() and statement.name not in self.things)

    def take(self, statement: Statement) -> None:
        """Let a statement take effect."""
        if statement.kind in ("row", "doubt"):
            self.rows[statement.name] += 1
        elif statement.kind in ("table", "index"):
            self.things.add(statement.name)
        elif statement.kind in _INVERSE.values():
            self.things.discard(statement.name)


def seen(state: State, kind: Kind, folder: str) -> tuple[Any, ...]:
    """Return what of a state can be seen in a database."""
    records = [(v, action, checksum(up.text(kind, folder))) for v, action, up in state.records]
    step = state.open
    journal = None if step is None else (len(step.done), step.last, step.last and step.ordinal)
    return records, +state.rows, state.things, journal


def checksum(text: str) -> str:
    """Return the checksum of a file."""
    return "sha256:" + sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Planned:
    """A plan: what would run, and how many records there were when it was made."""

    files: list[File]
    head: int


class RefusedError(Exception):
    """The call must raise this, by name."""

    def __init__(self, name: str, *, rolled_back: bool | None = None) -> None:
        super().__init__(name)
        self.name, self.rolled_back = name, rolled_back


class Call:
    """One call of a Migrator over a source; `allow`: the findings that it tolerates, `mode`: its `transaction`."""

    def __init__(
        self, kind: Kind, files: Mapping[str, File], state: State, allow: Collection[str] = (), mode: str = "each"
    ) -> None:
        self.kind: Kind = kind
        self.files, self.allow, self.mode = files, allow, mode
        self.state = deepcopy(state)
        self.states = [state]
        self.ran: list[tuple[str, Direction]] = []

    def reach(self) -> None:
        """Be in a state that a crash may leave."""
        self.states.append(deepcopy(self.state))

    # -- looking

    def findings(self) -> set[tuple[Any, ...]]:
        """Return what source and ledger disagree about: type, version, and more."""
        files, applied, step = self.files, self.state.applied, self.state.open
        order = ordered(files)
        pending = [v for v in order if v not in applied]
        found: set[tuple[Any, ...]] = {
            ("Edited", v) for v in order if v in applied and files[v].up.means() != applied[v].up.means()
        }
        known = [one.seq for v, one in applied.items() if v in files]
        unknown = {v: one.seq for v, one in applied.items() if v not in files}
        is_ahead = not pending and known != [] and all(seq > max(known) for seq in unknown.values())
        found |= {("Ahead" if is_ahead else "Missing", v) for v in unknown}
        latest = max((v for v in order if v in applied), key=int, default=None)
        if latest is not None:
            late = [v for v in pending if int(v) < int(latest) and not (step and step.version == v)]
            found |= {("OutOfOrder", v, f"{latest}_m") for v in late}
        if step is not None:
            in_doubt = step.last == "started"
            is_judged = in_doubt and step.statement is not None and step.statement.kind != "doubt"
            found.add(
                ("Unfinished", step.version, step.direction, step.ordinal if step.last else None, in_doubt, is_judged)
            )
        return found

    def entries(self) -> list[tuple[str, str]]:
        """Return every migration with its state: in the source's order, unknown ones behind what ran before them."""
        applied, step = self.state.applied, self.state.open
        groups: dict[str, list[str]] = {"": [], **{v: [v] for v in ordered(self.files)}}
        behind = ""
        for version in sorted(applied, key=lambda v: applied[v].seq):
            if version in self.files:
                behind = version
            else:
                groups[behind].append(version)
        listed = [v for group in groups.values() for v in group]
        if step is not None and step.version not in listed:
            listed.append(step.version)
        states = {v: "applied" if v in applied else "pending" for v in listed}
        return [(v, "unfinished" if step is not None and step.version == v else states[v]) for v in listed]

    def errors(self) -> set[tuple[Any, ...]]:
        """Return the findings that are not tolerated."""
        return {finding for finding in self.findings() if finding[0] not in self.allow}

    def verify(self) -> None:
        """Make sure that everything is applied."""
        if self.errors() or any(state != "applied" for _, state in self.entries()):
            raise RefusedError("NotCurrent")

    # -- choosing

    def find(self, version: str) -> File:
        """Return a migration of the source."""
        if version not in self.files:
            raise RefusedError("TargetError")
        return self.files[version]

    def up(self, to: str | None) -> list[tuple[File, Direction]]:
        """Choose what is not applied, or is half taken back, up to a version."""
        step = self.state.open
        missing = [v for v in ordered(self.files) if v not in self.state.applied or (step and step.version == v)]
        last = None if to is None else int(self.find(to).version)
        return [(self.files[v], "up") for v in missing if last is None or int(v) <= last]

    def down(self, to: str | None, steps: int = 1) -> list[tuple[File, Direction]]:
        """Choose what is to be taken back, the newest application first."""
        applied = self.state.applied
        newest = sorted(applied, key=lambda v: -applied[v].seq)
        above = [v for v in newest if not applied[v].is_baseline]
        if to is None:
            if steps > len(above):
                raise RefusedError("TargetError")
            chosen = above[:steps]
        elif to == "base":
            chosen = above
        else:
            self.find(to)
            since = applied[to].seq if to in applied else 0
            chosen = [v for v in newest if (int(v) > int(to) if v in self.files else applied[v].seq > since)]
        if any(v not in self.files or self.files[v].down is None for v in chosen):
            raise RefusedError("TargetError")
        return [(self.files[v], "down") for v in chosen]

    # -- running

    def _run(self, choose: Callable[[], list[tuple[File, Direction]]], *, redo: bool = False) -> None:
        """Run what is chosen, after everything was looked at."""
        redone = {file.version for file, _ in choose()} if redo else set[str]()
        if any(f[0] != "Unfinished" and not (f[0] == "Edited" and f[1] in redone) for f in self.errors()):
            raise RefusedError("HistoryError")
        steps = choose()
        all_whole = all(file.script(direction).is_whole(self.kind) for file, direction in steps)
        if self.mode == "all" and not all_whole:
            raise RefusedError("ConfigurationError")
        if steps and self.state.open is not None:
            raise RefusedError("HistoryError")
        if steps and (self.mode == "all" or (redo and all_whole)):
            self._transaction(steps)
            return
        for file, direction in steps:
            if file.script(direction).is_whole(self.kind):
                self._transaction([(file, direction)])
            else:
                self._outside(file, direction)

    def upgrade(self, to: str | None = None) -> None:
        """Apply what is pending."""
        self._run(lambda: self.up(to))

    def downgrade(self, to: str | None = None, steps: int | None = None) -> None:
        """Take back."""
        self._run(lambda: self.down(to, 1 if steps is None else steps))

    def goto(self, to: str) -> None:
        """Go up or down."""
        self._run(lambda: self.down(to) + (self.up(to) if to != "base" else []))

    def redo(self, steps: int) -> None:
        """Take back and apply again."""

        def choose() -> list[tuple[File, Direction]]:
            back = self.down(None, steps)
            return [*back, *((file, "up") for file, _ in reversed(back))]

        self._run(choose, redo=True)

    def plan(self, to: str | None) -> None:
        """Choose what an upgrade would run; nothing must be unfinished."""
        if self.errors():
            raise RefusedError("HistoryError")
        files = [file for file, _ in self.up(to)]
        if self.mode == "all" and not all(file.up.is_whole(self.kind) for file in files):
            raise RefusedError("ConfigurationError")
        self.planned = Planned(files, len(self.state.records))

    def apply(self, plan: Planned) -> None:
        """Carry out a plan."""

        def choose() -> list[tuple[File, Direction]]:
            if plan.head != len(self.state.records):
                raise RefusedError("StalePlan")
            for file in plan.files:
                now = self.files.get(file.version)
                if now is None or now.up != file.up:
                    raise RefusedError("SourceError")
            return [(self.files[file.version], "up") for file in plan.files]

        self._run(choose)

    def _transaction(self, steps: list[tuple[File, Direction]]) -> None:
        """Run steps that commit together."""
        before = deepcopy(self.state)
        for file, direction in steps:
            for statement in file.script(direction).statements:
                if self.state.fails(statement):
                    self.state = before
                    raise RefusedError("MigrationFailed", rolled_back=True)
                self.state.take(statement)
            self._end(file, direction)
        self.reach()

    def _end(self, file: File, direction: Direction) -> None:
        """Record that a step ran."""
        seq = self.state.record(file.version, direction, file.up)
        if direction == "up":
            self.state.applied[file.version] = Applied(file.up, seq)
        else:
            del self.state.applied[file.version]
        self.state.open = None
        self.ran.append((file.version, direction))

    def _outside(self, file: File, direction: Direction) -> None:
        """Run a step statement by statement, or go on with one."""
        statements = file.script(direction).statements
        if (step := self.state.open) is None:
            if statements[0].kind in _ATOMIC[self.kind] and self.state.fails(statements[0]):  # its begin goes with it
                raise RefusedError("MigrationFailed", rolled_back=True)
            self.state.record(file.version, f"begin_{direction}", file.up)
            step = self.state.open = Open(file.version, direction, file.up)
            self.reach()
        is_new = step.last is None and not step.done
        if step.last == "started":
            step.took = step.took and statements[len(step.done)].kind != "again"
            step.last = "failed"
            if step.took:
                self._done(step, statements[len(step.done)])
            self.reach()
        for statement in statements[len(step.done) :]:
            is_atomic = statement.kind in _ATOMIC[self.kind]
            if not is_atomic:
                step.last, step.statement, step.took = "started", statement, False
                self.reach()
            if self.state.fails(statement):
                step.last, step.statement = "failed", statement
                self.reach()
                if is_new and not step.done:
                    action = "resolve_unapplied" if direction == "up" else "resolve_applied"
                    self.state.record(file.version, action, file.up)
                    self.state.open = None
                    self.reach()
                    raise RefusedError("MigrationFailed", rolled_back=True)
                raise RefusedError("MigrationFailed", rolled_back=False)
            self.state.take(statement)
            if not is_atomic:
                step.took = True
                self.reach()
            self._done(step, statement)
            self.reach()
        self._end(file, direction)
        self.reach()

    @staticmethod
    def _done(step: Open, statement: Statement) -> None:
        """Know that a statement is done."""
        step.done.append(statement)
        step.last, step.statement, step.took = None, None, False

    def resume(self) -> None:
        """Go on with what did not end."""
        step = self.state.open
        if step is None:
            raise RefusedError("TargetError")
        file = self.find(step.version)
        if step.direction == "down" and file.down is None:
            raise RefusedError("TargetError")
        script = file.script(step.direction).statements
        ran = [*step.done, *([step.statement] if step.last == "started" else [])]
        is_open = step.last == "started" and step.statement is not None and step.statement.kind == "doubt"
        if is_open or list(script[: len(ran)]) != ran:
            raise RefusedError("HistoryError")
        self._outside(file, step.direction)

    # -- recording

    def baseline(self, version: str) -> None:
        """Record what was there before."""
        self.find(version)
        if self.state.records:
            raise RefusedError("HistoryError")
        for one in ordered(self.files):
            if int(one) <= int(version):
                up = self.files[one].up
                self.state.applied[one] = Applied(up, self.state.record(one, "baseline", up), is_baseline=True)
        self.reach()

    def accept(self, version: str) -> None:
        """Record that an edited file is right."""
        up = self.find(version).up
        if self.state.open is not None:
            raise RefusedError("HistoryError")
        known = self.state.applied.get(version)
        if known is None or known.up == up:
            raise RefusedError("TargetError")
        self.state.record(version, "accept", up)
        self.state.applied[version] = replace(known, up=up)
        self.reach()

    def resolve(self, version: str, *, applied: bool, statement: int | None = None) -> None:
        """Record what a person says is true."""
        step, known = self.state.open, self.state.applied
        if step is None or step.version != version:
            raise RefusedError("TargetError")
        if statement is None:
            up = self.files[version].up if version in self.files else step.up
            seq = self.state.record(version, f"resolve_{'' if applied else 'un'}applied", up)
            if not applied:
                known.pop(version, None)
            elif step.direction == "up":
                known[version] = Applied(up, seq)
            self.state.open = None
        else:
            if step.last is None or step.ordinal != statement or step.statement is None:
                raise RefusedError("TargetError")
            if applied:
                self._done(step, step.statement)
            else:
                step.last, step.took = "failed", False
        self.reach()
