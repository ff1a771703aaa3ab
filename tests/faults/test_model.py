"""Random sequences of everything that people and machines do to migrations, against a model (model.py).

Files come, are edited, go and come back; calls of every kind are made by a newer and an older release, and are cut
short, over a connection that is gone in the middle or by SIGKILL. After each of them the ledger, what status() says,
and the catalogue with its rows are as the model has them. With DBMIGRATE_EXAMPLES=50 it looks 50 times as long, and
elsewhere each time.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import sqlalchemy
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import event

from dbmigrate import (
    Ahead,
    Edited,
    MigrationError,
    MigrationFailed,
    MigrationInProgress,
    Migrator,
    Missing,
    OutOfOrder,
    Report,
    StalePlan,
)
from tests.faults.model import (
    OUTSIDE,
    TABLES,
    Call,
    File,
    Files,
    Planned,
    RefusedError,
    Script,
    State,
    Statement,
    ordered,
    seen,
)
from tests.processes import call, run_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dbmigrate import Plan, Record
    from tests.conftest import Database, Kind
    from tests.faults.tally import Injected

#: For a longer look: so many times the examples of a default run, and new ones each time.
MORE: Final = int(os.environ.get("DBMIGRATE_EXAMPLES", "0"))

ALLOW: Final[dict[str, set[Any]]] = {
    "Ahead": {Ahead},
    "OutOfOrder": {Ahead, OutOfOrder},
    "all": {Ahead, OutOfOrder, Missing, Edited},
    "none": set(),
}
_NAMES: Final = {key: {kind.__name__ for kind in kinds} for key, kinds in ALLOW.items()}
_UNKNOWN: Final = "999"
_BEGINS: Final = ("BEGIN", "START TRANSACTION")

#: Catalogue: tables and indexes by name, without the ledger's and what comes with a table.
_THINGS: Final[dict[Kind, str]] = {
    "sqlite": "SELECT name FROM sqlite_schema WHERE name NOT GLOB 'sqlite_*' AND name NOT GLOB 'dbmigrate*'",
    "postgresql": "SELECT relname FROM pg_class LEFT JOIN pg_index ON indexrelid = oid WHERE relkind IN ('r', 'i')"
    " AND relnamespace = 'public'::regnamespace AND relname NOT LIKE 'dbmigrate%' AND indisvalid IS NOT false",
    "mariadb": "SELECT table_name FROM information_schema.tables WHERE table_schema = database()"
    " AND table_name NOT LIKE 'dbmigrate%' UNION ALL SELECT index_name FROM information_schema.statistics"
    " WHERE table_schema = database() AND table_name NOT LIKE 'dbmigrate%'",
}


@dataclass(frozen=True)
class Crash:
    """The end of a call: behind so many boundaries (see tests/processes.py), or in a process that kills itself there.

    In a call of this process they are counted from the first BEGIN; below 0 from its start.
    """

    at: int
    kill: bool = False


@dataclass(frozen=True)
class How:
    """How a call is made: by the older release or not, what it tolerates, what commits together."""

    old: bool = False
    allow: str = "Ahead"
    mode: str = "each"


class Cut(BaseException):
    """The connection is gone, and nothing of the call goes on but its clean-up, which reaches no server."""


class Cutter:
    """Closes an engine's connection at a boundary, which is what a server sees of a kill; or does something else."""

    def __init__(self, engine: sqlalchemy.Engine) -> None:
        self.arm(None)
        event.listen(engine, "before_cursor_execute", self._pass)
        event.listen(engine, "after_cursor_execute", self._pass)

    def arm(self, crash: Crash | None, act: Callable[[], object] | None = None) -> None:
        """Be ready for a call."""
        self.left = None if crash is None else crash.at if crash.at >= 0 else -1 - crash.at
        self.is_counting, self.is_cut, self.act = crash is not None and crash.at < 0, False, act

    def disarm(self, _event: object) -> None:
        """Do nothing any more."""
        self.left = None

    def _pass(self, connection: sqlalchemy.Connection, cursor: Any, statement: str, *_: Any) -> None:
        self.is_counting = self.is_counting or statement.startswith(_BEGINS)
        if self.left is None or not self.is_counting:
            return
        self.left -= 1
        if self.left >= 0:
            return
        raw: Any = connection.connection.dbapi_connection
        if self.act is not None and hasattr(raw, "info") and raw.info.transaction_status:
            return  # PostgreSQL: who builds an index concurrently would wait for the end of this transaction
        self.left = None
        if self.act is not None:
            self.act()
            return
        self.is_cut = True
        cursor.close()  # with rows to come, SQLite would hold a lock for as long as the traceback lives
        raw.close()
        raise Cut


# -- what rules are given


def _of_machine(choose: Callable[[Any], list[str]]) -> st.SearchStrategy[Any]:
    return st.runner().flatmap(lambda machine: st.sampled_from(choose(machine)))


_crash = st.one_of(st.builds(Crash, st.integers(-12, 40)), st.builds(Crash, st.integers(0, 90), st.just(value=True)))
_crashes = st.one_of(st.none(), _crash)
_allow = st.sampled_from([*["all"] * 6, "Ahead", "OutOfOrder", "none"])
_old = st.sampled_from([*[False] * 6, True])
_hows = st.builds(How, _old, _allow, st.sampled_from([*["each"] * 6, "all"]))
_targets = _of_machine(lambda machine: [*machine.versions * 9, _UNKNOWN])
_back = st.one_of(_targets, st.just("base"))
_files = _of_machine(lambda machine: ordered(machine.files))
_kinds = st.lists(
    st.sampled_from([*("row", "table", "index", "again", "doubt") * 6, "bad", "clash"]), min_size=1, max_size=4
)


def _seldom(machine: Machine) -> bool:
    """Tell whether it is time for a call that must be refused."""
    return (machine.serial + len(machine.past)) % 6 == 0


def _refusal(model: Call, name: str, arguments: dict[str, Any]) -> RefusedError | None:
    """Let the model make a call; return what it must raise."""
    try:
        getattr(model, name)(**arguments)
    except RefusedError as refused:
        return refused
    return None


def _outcome(call: Callable[[], Any], cutter: Cutter | None = None) -> tuple[BaseException | None, Any]:
    """Make a call; return its error, or its answer."""
    try:
        return None, call()
    except (Cut, MigrationError) as error:
        return error, None
    except Exception as error:
        if cutter is None or not cutter.is_cut:  # clean-up over a connection that is gone may say anything
            raise
        return error, None


def _name(error: BaseException | None) -> str | None:
    return None if error is None else type(error).__name__


class Machine(RuleBasedStateMachine):
    """A project with its folder of migrations, an older copy of that, a database, and the model of all three."""

    def __init__(self, database: Database, engine: sqlalchemy.Engine, cutter: Cutter, path: Path) -> None:
        super().__init__()
        self.database, self.engine, self.cutter, self.path = database, engine, cutter, path
        self.kind: Kind = database.kind
        self.files, self.old, self.bin = Files(), Files(), Files()
        self.versions, self.serial = list[str](), 0
        self.state = State()
        self.past: tuple[Record, ...] = ()
        self.planned: tuple[Plan, Planned, bool] | None = None
        self.copies: Counter[str] = Counter()
        self.crashes = 0
        for name in ("now", "old", "copies"):
            (path / name).mkdir(exist_ok=True)
            for file in (path / name).iterdir():
                file.unlink()
        _clear(database)
        database.execute(*TABLES.values())

    # -- files

    def _script(self, version: str, kinds: list[str], *, outside: bool) -> Script:
        outside = outside or not OUTSIDE[self.kind].isdisjoint(kinds)
        return Script(tuple(self._statement(version, kind) for kind in kinds), outside)

    def _statement(self, version: str, kind: str) -> Statement:
        if kind == "clash":
            return Statement("table", "base")
        self.serial += 1
        return Statement(kind, f"m{version}_{self.serial}")

    def _write(self) -> None:
        """Write what the folders are to have."""
        for name, files in (("now", self.files), ("old", self.old)):
            wanted = dict[str, str]()
            for file in files.values():
                for way, script in (("up", file.up), ("down", file.down)):
                    if script is not None:
                        wanted[f"{file.version}_m.{way}.sql"] = script.text(self.kind, str(self.path / "copies"))
            folder = self.path / name
            for path in folder.iterdir():
                if path.name not in wanted:
                    path.unlink()
            for file_name, text in wanted.items():
                (folder / file_name).write_text(text)

    @initialize(several=st.lists(st.tuples(_kinds, st.booleans()), min_size=1, max_size=4))
    def begin(self, several: list[tuple[list[str], bool]]) -> None:
        """Begin with some migrations, which the older copy has too."""
        for kinds, outside in several:
            self.add(0, kinds, outside, "inverse")
        self.release()

    @rule(
        back=st.sampled_from([0, 0, 0, 1, 2]),
        kinds=_kinds,
        outside=st.booleans(),
        down=st.sampled_from(["inverse", "inverse", "inverse", "inverse", "bad", "none"]),
    )
    @precondition(lambda self: len(self.files) < 7)
    def add(self, back: int, kinds: list[str], outside: bool, down: str) -> None:
        """Add a migration at the end, or before the last ones."""
        last = int(ordered(self.versions)[-1]) if self.versions else 0
        number = last - 10 * back + 5 if 0 < back <= last // 10 else last - last % 10 + 10
        while str(number) in self.versions:
            number += 1
        version = str(number)
        up = self._script(version, kinds, outside=outside)
        back_again = tuple(s.inverse(f"m{version}_{self.serial}d{n}") for n, s in enumerate(reversed(up.statements)))
        if down == "bad":
            back_again += (self._statement(version, "bad"),)
        self.versions.append(version)
        self.files[version] = File(version, up, None if down == "none" else Script(back_again, up.outside))
        self._write()

    @rule(version=_files, how=st.sampled_from(["note", "append", "mend", "shorten", "first", "down"]))
    @precondition(lambda self: self.files)
    def edit(self, version: str, how: str) -> None:
        """Edit a script: its comment, its last statement, what fails in it, or what runs first."""
        file = self.files[version]
        up, down = file.up, file.down
        statements = list(up.statements)
        row = self._statement(version, "row")
        if how == "note":
            up = Script(up.statements, up.outside, up.note + 1)
        elif how == "down" and down is not None:
            down = Script((*(s for s in down.statements if s.kind != "bad"), row), down.outside)
        else:
            if how == "mend":
                bad = [s.kind == "bad" or s.name == "base" for s in statements]
                statements = [row if is_bad else s for is_bad, s in zip(bad, statements, strict=True)]
            elif how == "shorten" and len(statements) > 1:
                statements.pop()
            elif how == "first":
                statements[0] = row
            else:
                statements.append(row)
            up = Script(tuple(statements), up.outside, up.note)
        self.files[version] = File(version, up, down)
        self._write()

    @rule()
    @precondition(lambda self: any(s.kind == "bad" or s.name == "base" for s in self._pending()))
    def mend(self) -> None:
        """Mend what fails in every script that is not applied."""
        for version in self.files.keys() - self.state.applied.keys():
            self.edit(version, "mend")

    def _pending(self) -> list[Statement]:
        return [s for v in self.files.keys() - self.state.applied.keys() for s in self.files[v].up.statements]

    @rule(version=_files)
    @precondition(lambda self: self.files)
    def delete(self, version: str) -> None:
        """Delete the files of a migration."""
        self.bin[version] = self.files.pop(version)
        self._write()

    @rule(version=_of_machine(lambda machine: machine.versions))
    @precondition(lambda self: self.versions)
    def restore(self, version: str) -> None:
        """Take deleted files back, or the up script as it was applied."""
        if version in self.bin:
            self.files[version] = self.bin.pop(version)
        elif version in self.state.applied:
            file = self.files[version]
            self.files[version] = File(version, self.state.applied[version].up, file.down)
        self._write()

    @rule()
    def release(self) -> None:
        """Let the older copy be what the folder is now."""
        self.old = dict(self.files)
        self._write()

    # -- calls

    @rule(how=_hows)
    def upgrade(self, how: How) -> None:
        """Apply what is pending."""
        self._call("upgrade", how)

    @rule(how=_hows, crash=_crash)
    def upgrade_cut(self, how: How, crash: Crash) -> None:
        """Apply what is pending, cut short."""
        self._call("upgrade", how, crash)

    @rule(to=_targets, how=_hows, crash=_crashes)
    def upgrade_to(self, to: str, how: How, crash: Crash | None) -> None:
        """Apply what is pending up to a version."""
        self._call("upgrade", how, crash, to=to)

    @rule(steps=st.sampled_from([None, 1, 2, 3]), how=_hows, crash=_crashes)
    @precondition(lambda self: self.state.applied or _seldom(self))
    def downgrade(self, steps: int | None, how: How, crash: Crash | None) -> None:
        """Take the last steps back."""
        self._call("downgrade", how, crash, steps=steps)

    @rule(to=_back, how=_hows, crash=_crashes)
    def downgrade_to(self, to: str, how: How, crash: Crash | None) -> None:
        """Take back what stands after a version."""
        self._call("downgrade", how, crash, to=to)

    @rule(to=_back, how=_hows, crash=_crashes)
    def goto(self, to: str, how: How, crash: Crash | None) -> None:
        """Go up or down."""
        self._call("goto", how, crash, to=to)

    @rule(steps=st.sampled_from([1, 1, 2]), how=_hows, crash=_crashes)
    @precondition(lambda self: self.state.applied or _seldom(self))
    def redo(self, steps: int, how: How, crash: Crash | None) -> None:
        """Take the last steps back and apply them again."""
        self._call("redo", how, crash, steps=steps)

    @rule(to=st.one_of(st.none(), _targets), how=_hows)
    @precondition(lambda self: not (self.planned and self.planned[1].head == len(self.past)))
    def plan(self, to: str | None, how: How) -> None:
        """Make a plan."""
        model = self._model(how)
        plan = self._call("plan", how, to=to)
        if plan is not None:
            model.plan(to)
            assert [str(step) for step in plan.steps] == [f"{file.version}_m up" for file in model.planned.files]
            self.planned = (plan, model.planned, how.old)

    @rule(allow=_allow, crash=_crashes)
    @precondition(lambda self: self.planned)
    def apply(self, allow: str, crash: Crash | None) -> None:
        """Carry out the last plan, however old it is."""
        assert self.planned is not None
        plan, _, old = self.planned
        self._call("apply", How(old, allow), crash, plan=plan)

    @rule(old=_old)
    @precondition(lambda self: self.state.open or _seldom(self))
    def resume(self, old: bool) -> None:
        """Go on with what did not end."""
        self._call("resume", How(old))

    @rule(crash=_crash)
    @precondition(lambda self: self.state.open)
    def resume_cut(self, crash: Crash) -> None:
        """Go on with it, cut short."""
        self._call("resume", How(), crash)

    @rule(version=_targets, old=_old, crash=_crashes)
    @precondition(_seldom)
    def baseline(self, version: str, old: bool, crash: Crash | None) -> None:
        """Record what was there before: a person makes it."""
        if not self.state.records:
            for file in self._model(How(old)).files.values():
                if int(file.version) <= int(version):
                    self._by_hand(file.up.statements)
        self._call("baseline", How(old), crash, version=version, reason="it was there")

    @rule(version=_targets, old=_old, crash=_crashes)
    @precondition(lambda self: self._is_edited() or _seldom(self))
    def accept(self, version: str, old: bool, crash: Crash | None) -> None:
        """Record that an edited file is right."""
        self._call("accept", How(old), crash, version=version, reason="it is right")

    @rule(applied=st.booleans(), old=_old, crash=_crashes)
    @precondition(lambda self: self.state.open)
    def resolve(self, applied: bool, old: bool, crash: Crash | None) -> None:
        """Finish what did not end by hand, or undo it, and say so."""
        step = self.state.open
        assert step is not None
        file = self._model(How(old)).files.get(step.version)
        if applied != (step.direction == "up"):
            self._by_hand([statement.inverse("") for statement in reversed(step.done)])
        elif file is not None and file.down is not None:
            self._by_hand(file.script(step.direction).statements[len(step.done) :])
        self._call("resolve", How(old), crash, version=step.version, applied=applied, reason="by hand")

    @rule(by_hand=st.booleans(), crash=_crashes)
    @precondition(lambda self: self.state.open and self.state.open.last)
    def resolve_statement(self, by_hand: bool, crash: Crash | None) -> None:
        """Say what is true of the statement in doubt, or of one that failed and was done by hand."""
        step = self.state.open
        assert step is not None
        said = {"statement": step.ordinal, "applied": step.took if step.last == "started" else by_hand}
        self._call("resolve", How(), crash, version=step.version, reason="I looked", **said)

    @rule(version=_targets, statement=st.sampled_from([None, 1, 2]))
    @precondition(_seldom)
    def resolve_anything(self, version: str, statement: int | None) -> None:
        """Say something about what is not so."""
        step = self.state.open
        if step is None or step.version != version or statement not in (None, step.ordinal):
            self._call("resolve", How(), version=version, statement=statement, applied=True, reason="mistaken")

    @rule(name=st.sampled_from(["upgrade", "downgrade", "redo"]), how=_hows, other=_hows, at=st.integers(0, 30))
    def meet(self, name: str, how: How, other: How, at: int) -> None:
        """Let another migrator upgrade in the middle of a call, as long as no step of that has begun."""
        arguments: dict[str, dict[str, Any]] = {"downgrade": {"to": "base"}, "redo": {"steps": 1}}
        first = arguments.get(name, {})
        came = list[tuple[str | None, State]]()
        before, alone = self.state, self._model(how)
        refused = _refusal(alone, name, first)
        self.cutter.arm(Crash(-1 - at), lambda: came.append(self._interfere(other)))
        error, _ = _outcome(lambda: getattr(self._migrator(how, on_event=self.cutter.disarm), name)(**first))
        self.cutter.arm(None)
        behind = self._model(how, came[0][1] if came else None)
        refused_behind = _refusal(behind, name, first)
        note(f"    {name}: {_name(error)}; meanwhile: {came and came[0][0]}")
        self._adopt([behind.state, *(state for _, state in came)])
        fits = [(_name(error), self.state.records) == (refused_behind and refused_behind.name, behind.state.records)]
        if behind.states[0].records != before.records and self.state is not behind.state:
            # it looked before that, and found nothing to do, or what it was to do stale
            is_idle = len(alone.states) == 1 and _name(error) == (refused and refused.name)
            fits.append(is_idle or isinstance(error, StalePlan))
        assert any(fits)

    def _interfere(self, how: How) -> tuple[str | None, State]:
        """Upgrade in the middle of another call, without waiting; return the error and where it leads to."""
        model = self._model(how)
        expected = _refusal(model, "upgrade", {})
        limits = {} if self.kind == "sqlite" else {"lock_timeout": 1}
        error, _ = _outcome(lambda: self._migrator(how, acquire_timeout=0, **limits).upgrade())
        self._take_away()
        if isinstance(error, MigrationInProgress):  # the lock is taken, which is of interest to who has something to do
            assert len(model.states) > 1 or expected is not None
            return _name(error), self.state
        assert _name(error) == (expected and expected.name)
        return _name(error), model.state

    def _is_edited(self) -> bool:
        return any(v in self.files and self.files[v].up != one.up for v, one in self.state.applied.items())

    def _by_hand(self, statements: Iterable[Statement]) -> None:
        """Make or remove what statements do, as far as it is a thing, and is not so already."""
        for statement in statements:
            if statement.kind in ("table", "untable", "index", "unindex") and not self.state.fails(statement):
                self.database.execute(statement.sql(self.kind, ""))
                self.state.take(statement)

    def _model(self, how: How, state: State | None = None) -> Call:
        return Call(self.kind, self.old if how.old else self.files, state or self.state, _NAMES[how.allow], how.mode)

    def _folder(self, how: How) -> Path:
        return self.path / ("old" if how.old else "now")

    def _migrator(self, how: How, **options: Any) -> Migrator:
        allow: Any = ALLOW[how.allow]
        mode: Any = how.mode
        return Migrator(self.engine, self._folder(how), allow=allow, transaction=mode, **options)

    def _call(self, name: str, how: How, crash: Crash | None = None, /, **arguments: Any) -> Any:
        """Make a call, and compare what it does with what the model says; return its answer."""
        model = self._model(how)
        said = {key: value for key, value in arguments.items() if key != "reason"}
        if self.planned is not None and "plan" in said:
            said["plan"] = self.planned[1]
        expected = _refusal(model, name, said)
        if crash is not None and crash.kill:
            options = {"allow": ALLOW[how.allow], "transaction": how.mode}
            end = partial(call, folder=str(self._folder(how)), name=name, arguments=arguments, options=options)
            self._end(model, is_cut=run_until(crash.at, self.database.url, end))
            return None
        self.cutter.arm(crash)
        error, answer = _outcome(lambda: getattr(self._migrator(how), name)(**arguments), self.cutter)
        is_cut = self.cutter.is_cut
        self.cutter.arm(None)
        if not is_cut:
            note(f"    {'' if error is None else f'{type(error).__name__}: {error}'}")
            assert _name(error) == (expected and expected.name)
            if isinstance(error, MigrationFailed):
                assert error.rolled_back == (expected and expected.rolled_back)
            report = getattr(error, "report", answer)
            if isinstance(report, Report):
                assert [(o.step.migration.version, o.step.direction) for o in report.outcomes] == model.ran
        self._end(model, is_cut=is_cut)
        return answer

    def _end(self, model: Call, *, is_cut: bool) -> None:
        """Go on from where a call led to, or was cut."""
        self.crashes += is_cut
        self._adopt(model.states if is_cut else [model.state])

    def _adopt(self, states: list[State]) -> None:
        """Go on from the state that the database is in; it must be one of these."""
        found = self._look()
        fitting = [state for state in states if self._seen(state) == found]
        if not fitting:
            raise AssertionError(
                f"the database is in none of these states:\n{found}\n" + "\n".join(map(str, map(self._seen, states)))
            )
        self.state = fitting[-1]

    # -- looking

    def _seen(self, state: State) -> tuple[Any, ...]:
        return seen(state, self.kind, str(self.path / "copies"))

    def _take_away(self) -> None:
        """Count the files that statements made, so that they can make them again."""
        for copy in (self.path / "copies").iterdir():
            self.copies[copy.name] += 1
            copy.unlink()

    def _look(self) -> tuple[Any, ...]:
        """Return what is in the database, as the model has it."""
        self._take_away()
        query = self.database.query
        rows = Counter(what for (what,) in query("SELECT what FROM seen"))
        things = {name for (name,) in query(_THINGS[self.kind])}
        records, journal = list[Any](), None
        if "dbmigrate_ledger" in self.database.tables():
            records = query("SELECT version, action, checksum FROM dbmigrate_ledger ORDER BY seq")
            if records and records[-1][1].startswith("begin_"):
                columns = "SELECT ordinal, state FROM dbmigrate_ledger_journal"
                journal = _read(query(f"{columns} WHERE seq = {len(records)} ORDER BY entry"))
        return records, rows + self.copies, things, journal

    @invariant()
    def is_as_the_model_says(self) -> None:
        """Ledger, catalogue, rows, findings and entries are those of the model, and nothing is open."""
        assert self._look() == self._seen(self.state)
        records = Migrator(self.engine, self.path / "now").history()
        assert records[: len(self.past)] == self.past
        assert [record.chain for record in records] == _chain(records)
        assert [record.seq for record in records] == list(range(1, len(records) + 1))
        self.past = records
        for name in ("now", "old"):
            self._compare(name)
        assert self.database.leftovers() == []

    def _compare(self, name: str) -> None:
        """Compare status() and verify()."""
        how = How(name == "old", list(ALLOW)[len(self.past) % len(ALLOW)])
        model, status = self._model(how), self._migrator(how).status()
        assert {_shown(finding) for finding in status.findings} == model.findings()
        assert {_shown(finding) for finding in status.errors} == model.errors()
        assert [(entry.version, entry.state) for entry in status.entries] == model.entries()
        assert status.is_current == (_refusal(model, "verify", {}) is None)


def _clear(database: Database) -> None:
    """Empty a database, and leave it there: that is fast."""
    if database.server is None:
        for suffix in ("", "-journal", "-dbmigrate"):
            Path(database.name + suffix).unlink(missing_ok=True)
    else:
        database.execute(*(f"DROP TABLE {table}" for table in database.tables()))


def _read(entries: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return what a journal says: how many are done, and what else is known of the next one."""
    done = {ordinal for ordinal, state in entries if state == "done"}
    assert done == set(range(1, len(done) + 1))
    ordinal, last = entries[-1] if entries else (None, "done")
    return (len(done), None, None) if last == "done" else (len(done), last, ordinal)


def _chain(records: tuple[Record, ...]) -> list[str]:
    """Return the chain of the ledger, as the design has it."""
    chain, previous = list[str](), ""
    for r in records:
        columns = (previous, str(r.seq), r.version, r.name, r.action, r.checksum, r.fingerprint, r.down_checksum)
        previous = "sha256:" + sha256("\x1f".join(column or "" for column in columns).encode()).hexdigest()
        chain.append(previous)
    return chain


def _shown(finding: Any) -> tuple[Any, ...]:
    """Return a finding as the model has it."""
    more = {
        "OutOfOrder": ("applied",),
        "Unfinished": ("direction", "statement", "in_doubt", "is_judged"),
    }.get(type(finding).__name__, ())
    return (type(finding).__name__, finding.version, *(getattr(finding, name) for name in more))


@pytest.mark.fault("a crash anywhere in a random sequence of calls")
def test_model(database: Database, tmp_path: Path, injected: Injected) -> None:
    """Whatever is done in whatever order, and wherever it is cut short, the model knows what comes of it."""
    engine = database.engine(poolclass=sqlalchemy.NullPool)
    cutter, machines = Cutter(engine), list[Machine]()

    class Project(Machine):
        """The machine over this database."""

        def __init__(self) -> None:
            super().__init__(database, engine, cutter, tmp_path)
            machines.append(self)

    run_state_machine_as_test(
        Project,
        settings=settings(
            max_examples=30 * max(MORE, 1),
            stateful_step_count=30,
            derandomize=not MORE,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        ),
    )
    injected(sum(machine.crashes for machine in machines))
