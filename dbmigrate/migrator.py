"""The front door: a `Migrator` binds a source, a ledger and a database together."""

from __future__ import annotations

import logging
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from sqlalchemy import make_url
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import ArgumentError

from dbmigrate import plan as planning
from dbmigrate.check import checked, fingerprint_of, locate
from dbmigrate.connect import connect, engine_of, session, url_of
from dbmigrate.dialects import Dialect, dialect_for
from dbmigrate.errors import (
    ConfigurationError,
    HistoryError,
    LedgerConflict,
    LedgerError,
    MigrationInProgress,
    NotCurrent,
    SourceError,
    StalePlan,
    TargetError,
)
from dbmigrate.execute import execute
from dbmigrate.journal import check_resumable, journalled
from dbmigrate.ledger import LedgerBusyError, TableLedger
from dbmigrate.model import (
    Ahead,
    Edited,
    Event,
    Finding,
    JournalEntry,
    Migration,
    Missing,
    Outcome,
    OutOfOrder,
    Plan,
    Record,
    Report,
    Status,
    Step,
    StepFinished,
    StepStarted,
    Unfinished,
    Waiting,
)
from dbmigrate.run import PATIENCE, Run, record_of, script_of, wait_for, writing
from dbmigrate.source import FilesystemSource, Source, sound

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Sequence

    from dbmigrate.plan import History

_LOGGER = logging.getLogger("dbmigrate")
_TOLERABLE: tuple[type[Finding], ...] = (Ahead, Edited, Missing, OutOfOrder)


@dataclass(frozen=True, slots=True)
class _Survey:
    """Everything that is known at one moment."""

    migrations: Sequence[Migration]
    history: History
    findings: tuple[Finding, ...]
    journal: Sequence[JournalEntry]


@dataclass(frozen=True, slots=True)
class _Course:
    """Steps to run, and what they follow."""

    steps: tuple[Step, ...]
    before: History | Record

    @property
    def is_interrupted(self) -> bool:
        """There seems to be a step that did not end."""
        return isinstance(self.before, planning.History) and self.before.unfinished is not None


@dataclass(frozen=True, slots=True, init=False)
class Migrator:
    """Applies the migrations of a source to a database, exactly once each, and knows what is applied.

    An immutable value without open resources: picklable when given a URL, usable from many threads and in several
    copies at once. Every call loads the source anew and opens what it needs.
    """

    database: URL | Engine = field(repr=False)  # a URL can hold secrets in more than its password
    source: Source
    ledger: TableLedger
    allow: frozenset[type[Finding]]
    transaction: Literal["each", "all"]
    acquire_timeout: float
    lock_timeout: float | None
    statement_timeout: float | None
    on_event: Callable[[Event], None] | None
    dialect: Dialect

    def __init__(  # noqa: PLR0913 - the one place where everything can be set
        self,
        database: str | URL | Engine,
        source: Source | str | os.PathLike[str] = "migrations",
        *,
        ledger: TableLedger | str = "dbmigrate_ledger",
        allow: Collection[type[Finding]] = frozenset({Ahead}),
        transaction: Literal["each", "all"] = "each",
        acquire_timeout: float = 60.0,
        lock_timeout: float | None = None,
        statement_timeout: float | None = None,
        on_event: Callable[[Event], None] | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        """Bind the parts together. Touches no database and no file.

        Args:
            database: A URL, for which an engine is made and disposed of in each call; or an Engine, from which
                connections are checked out. One over which a step has run is closed, never handed back to the pool
                with a stranger's session state (an in-memory SQLite excepted, which is restored).
            source: A Source, or the path of a folder.
            ledger: A TableLedger, or the name of its table. Two histories in one database are two ledgers.
            allow: Finding types to tolerate. `Unfinished` cannot be tolerated.
            transaction: "each" migration in its own transaction, or "all" pending ones in one.
            acquire_timeout: Seconds to wait for another migrator without seeing it make progress.
            lock_timeout: Seconds that a statement of a migration may wait for a lock; the database's own limit
                (MariaDB and MySQL: whole seconds, at least 1; SQLite has none).
            statement_timeout: Seconds that a statement of a migration may take; the database's own limit
                (not on SQLite and MySQL).
            on_event: Called with each event as it happens; if it raises before a step is committed, the step
                fails, and behind that the run stops. None: the logger "dbmigrate" is told, never configured.
            dialect: None: by the database.

        Raises:
            ConfigurationError: An argument is wrong. No database was touched.

        """
        if isinstance(database, str):
            try:
                database = make_url(database)
            except (ArgumentError, ValueError):  # its text may hold a password
                raise ConfigurationError("the database URL cannot be read; it looks like sqlite:///app.db") from None
        _check_database(database)
        dialect = dialect or dialect_for(url_of(database))
        if isinstance(database, URL) and dialect.vanishes(database):
            raise ConfigurationError(
                "an in-memory SQLite named by URL would vanish with the call: pass the Engine that the application uses"
            )
        if not all(kind in _TOLERABLE for kind in allow):
            names = ", ".join(kind.__name__ for kind in _TOLERABLE)
            raise ConfigurationError(f"allow takes the finding types {names}, and no others")
        if transaction not in ("each", "all"):
            raise ConfigurationError(f"transaction is 'each' or 'all', not {transaction!r}")
        limits = {
            "acquire_timeout": acquire_timeout,
            "lock_timeout": lock_timeout,
            "statement_timeout": statement_timeout,
        }
        for name, seconds in limits.items():
            number = isinstance(seconds, int | float) and 0 <= seconds < 1e6  # noqa: PLR2004 - eleven days
            if not number and (seconds is not None or name == "acquire_timeout"):
                raise ConfigurationError(f"{name} is a number of seconds, not {seconds!r}")
        values: dict[str, object] = {
            "database": database,
            "source": FilesystemSource(source) if isinstance(source, str | os.PathLike) else source,
            "ledger": TableLedger(ledger) if isinstance(ledger, str) else ledger,
            "allow": frozenset(allow),
            "transaction": transaction,
            "on_event": on_event,
            "dialect": dialect,
            **limits,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    # -- looking ------------------------------------------------------------------------------------------------------

    def status(self) -> Status:
        """Return every migration that source or ledger knows, and every finding.

        Reads only: no lock, no write, not even the ledger table. Raises SourceError, LedgerError, ConfigurationError.
        """
        survey = self._read()
        return planning.make_status(survey.migrations, survey.history, survey.findings, self.allow)

    def verify(self) -> None:
        """Make sure that the database is what this application needs; for the start of an application.

        Reads only. Raises NotCurrent, naming what is pending and every finding that is not tolerated; and what
        `status` raises.
        """
        status = self.status()
        if not status.is_current:
            raise NotCurrent(status.errors, [f"{entry.version}_{entry.name}" for entry in status.pending])

    def plan(self, to: str | None = None) -> Plan:
        """Return what `upgrade(to)` would run now, checked as it would be.

        Reads only. Raises what `upgrade` raises before its first statement.
        """
        survey = self._read()
        self._refuse(survey.findings)
        steps = self._checked(planning.upgrade_steps(survey.migrations, survey.history, to), {})
        return Plan(steps, survey.history.seq, survey.history.chain, survey.findings)

    # -- running ------------------------------------------------------------------------------------------------------

    def upgrade(self, to: str | None = None) -> Report:
        """Apply everything pending, or everything pending at or before version `to` in the source's order.

        Any number of processes may call this at once: each migration is applied once, and every caller returns when
        its target is reached. With nothing pending it costs one SELECT: no lock, no write.

        Raises, with nothing run: ConfigurationError, SourceError, TargetError, HistoryError, LedgerError,
        MigrationInProgress. Raises MigrationFailed when a step fails: the steps in its `report` are committed, and it
        says what is left of the failed one (nothing, where DDL is transactional).
        """
        return self._run(lambda survey: planning.upgrade_steps(survey.migrations, survey.history, to))

    def downgrade(self, *, to: str | None = None, steps: int | None = None) -> Report:
        """Take back the last step, the last `steps`, or everything applied that stands after version `to`.

        The newest application goes first. `to="base"` takes everything back down to the baseline, if there is one.
        Runs the down scripts of the source. Raises TargetError, with nothing run, when one on the way has none;
        StalePlan when somebody else migrated meanwhile, so that two calls at once do not go back twice; otherwise
        what `upgrade` raises.
        """
        if to is not None and steps is not None:
            raise ConfigurationError("downgrade takes to= or steps=, not both")
        if steps is not None and steps < 1:
            raise ConfigurationError(f"steps must be at least 1, not {steps}")
        count = 1 if steps is None else steps
        return self._run(
            lambda survey: planning.downgrade_steps(survey.migrations, survey.history, to=to, steps=count), fixed=True
        )

    def apply(self, plan: Plan) -> Report:
        """Carry out a plan exactly. Raises StalePlan if the ledger moved since; otherwise what `upgrade` raises."""

        def choose(survey: _Survey) -> tuple[Step, ...]:
            if (survey.history.seq, survey.history.chain) != (plan.head, plan.chain):
                raise StalePlan("the ledger moved after the plan was made: plan again", report=Report())
            return plan.steps

        return self._run(choose, fixed=True)

    def resume(self) -> Report:
        """Go on with a non-transactional step that began and did not end, behind its last statement known to be done.

        Finishes that step and no other. Raises TargetError if there is none; HistoryError if a statement is in doubt
        (then `resolve` it first) or a statement that ran was edited; MigrationInProgress if the session that began it
        is still there; otherwise what `upgrade` raises.
        """
        began = time.monotonic()
        with self._dead_step() as (run, survey, begun):
            step = Step(planning.find(begun.version, survey.migrations), "up" if begun.action == "begin_up" else "down")
            if step.direction == "down" and step.migration.down is None:
                raise TargetError(f"the down script of {step.migration} is gone. Restore it. Nothing was run")
            (step,) = checked([step], self.dialect, {}, self.ledger.table)
            check_resumable(run, step, begun, survey.journal)
            journalled(run, step, survey.history, begun, survey.journal)
            return Report(tuple(run.outcomes), time.monotonic() - began)

    # -- recording ----------------------------------------------------------------------------------------------------

    def baseline(self, version: str, *, reason: str) -> Status:
        """Record every migration up to and including `version` as applied, and run nothing.

        For a database whose schema exists already. Needs an empty ledger. Raises TargetError for an unknown version,
        HistoryError if the ledger is not empty, otherwise what `upgrade` raises; nothing is recorded then.
        """
        migrations = sound(self.source.load())
        last = migrations.index(planning.find(version, migrations))
        marks = [(m, fingerprint_of(m, self.dialect) or None) for m in migrations[: last + 1]]
        with (
            engine_of(self.database) as engine,
            connect(engine) as connection,
            self._session(connection, []) as run,
            writing(run),
        ):
            before: History | Record = planning.fold(run.ledger.read(connection))
            if before.seq:
                raise HistoryError(
                    (), "a baseline needs an empty ledger, and this one has records; nothing was recorded"
                )
            for m, mark in marks:
                before = _add(run, m, "baseline", before, reason, mark)
        return self.status()

    def resolve(self, version: str, *, applied: bool, reason: str, statement: int | None = None) -> Status:
        """Say what is true of a non-transactional step that began and did not end; runs nothing.

        Without `statement`: whether the whole migration is applied now, finished or undone by hand. With it: whether
        that statement, the one in doubt, took effect; then call `resume`. Both are recorded with the reason.

        Raises TargetError if that migration is not unfinished or that statement not in doubt, MigrationInProgress if
        the session that began it is still there; nothing is recorded then.
        """
        with self._dead_step() as (run, survey, begun):
            if begun.version != version:
                raise TargetError(f"{version!r} is not unfinished; {begun} is. Nothing was recorded")
            with writing(run):
                if statement is None:
                    action = "resolve_applied" if applied else "resolve_unapplied"
                    known = next((m for m in survey.migrations if m.version == version), None)
                    mark = fingerprint_of(known, self.dialect) if known else None
                    _add(run, known or begun, action, survey.history, reason, mark)
                else:
                    self._resolve_statement(run, survey, statement, applied=applied, reason=reason)
        return self.status()

    def _resolve_statement(self, run: Run, survey: _Survey, statement: int, *, applied: bool, reason: str) -> None:
        last = survey.journal[-1] if survey.journal else None
        if last is None or last.state == "done" or last.ordinal != statement:
            raise TargetError(f"statement {statement} is not in doubt. Nothing was recorded")
        text = f"resolved by {run.applied_by}: {reason}"
        entry = replace(last, entry=last.entry + 1, state="done" if applied else "failed", error=text)
        run.ledger.note(run.connection, [entry])

    # -- inside -------------------------------------------------------------------------------------------------------

    def _read(self) -> _Survey:
        """Look at source and ledger over one connection, which goes back as it came."""
        migrations = sound(self.source.load())
        if not self.dialect.exists(url_of(self.database)):
            return self._survey(None, migrations, self.ledger)
        with engine_of(self.database) as engine, connect(engine) as connection:
            return self._survey(connection, migrations, self.ledger.at(None, self.dialect))

    def _survey(
        self,
        connection: Connection | None,
        migrations: Sequence[Migration],
        ledger: TableLedger,
        *,
        brief: bool = False,
    ) -> _Survey:
        history = planning.fold(self._records(connection, ledger, brief=brief) if connection is not None else ())
        journal: Sequence[JournalEntry] = ()
        if connection is not None and history.unfinished is not None:
            journal = ledger.journal(connection, history.unfinished.seq)
        marks = {m.version: fingerprint_of(m, self.dialect) for m in planning.changed(migrations, history)}
        findings = planning.compare(migrations, history, marks, journal)
        if journal:
            findings = tuple(locate(finding, migrations, self.dialect) for finding in findings)
        return _Survey(migrations, history, findings, journal)

    def _records(self, connection: Connection, ledger: TableLedger, *, brief: bool) -> Sequence[Record]:
        """Read the ledger; while another process writes to an SQLite file, readers may have to wait."""
        until = time.monotonic() + self.acquire_timeout
        while True:
            try:
                return ledger.read(connection, brief=brief)
            except LedgerBusyError as busy:
                if time.monotonic() >= until:
                    reason = f"{busy}, and could not be for {self.acquire_timeout:g} s. Nothing was run here"
                    raise MigrationInProgress(reason, holder=None, report=Report()) from busy
                time.sleep(0.05)

    def _refuse(self, findings: tuple[Finding, ...], *, unlocked: bool = False) -> None:
        """Raise HistoryError for findings that are not tolerated.

        Without the lock an unfinished step may simply be running; whether it is dead is judged under the lock.
        """
        errors = planning.tolerate(findings, self.allow)
        if unlocked:
            errors = tuple(f for f in errors if not isinstance(f, Unfinished))
        if errors:
            raise HistoryError(errors)

    def _checked(self, steps: Sequence[Step], known: dict[Step, Step]) -> tuple[Step, ...]:
        """Return the steps, ready to run. Raises SourceError, and ConfigurationError if they cannot be one."""
        ready = checked(steps, self.dialect, known, self.ledger.table)
        if self.transaction == "all":
            alone = [str(step) for step in ready if not step.transactional or script_of(step).foreign_keys_off]
            if alone:
                names = ", ".join(alone)
                raise ConfigurationError(f"transaction='all' cannot include {names}: use 'each'. Nothing was run")
        return ready

    def _run(self, choose: Callable[[_Survey], tuple[Step, ...]], *, fixed: bool = False) -> Report:
        """Plan without a lock, and carry out under it; over a new session where a step used one up.

        `fixed`: the first plan is carried out or nothing; otherwise a ledger that moved is planned from again.
        """
        began = time.monotonic()
        migrations = sound(self.source.load())
        known: dict[Step, Step] = {}
        outcomes: list[Outcome] = []

        def steps_of(survey: _Survey, *, unlocked: bool = False) -> tuple[Step, ...]:
            self._refuse(survey.findings, unlocked=unlocked)
            return self._checked(choose(survey), known)

        is_new = not self.dialect.exists(url_of(self.database))
        if is_new and not steps_of(self._survey(None, migrations, self.ledger)):  # a connection would create it
            return Report((), time.monotonic() - began)
        course: _Course | None = None
        patience, seq, ledger = PATIENCE, -1, self.ledger
        with engine_of(self.database) as engine:
            while course is None or course.steps:
                with connect(engine) as connection:
                    if course is None:
                        survey = self._survey(connection, migrations, self.ledger.at(None, self.dialect), brief=True)
                        course = _Course(steps_of(survey, unlocked=True), survey.history)
                        connection.rollback()
                        if not course.steps:
                            break
                    patience, seq = (patience if course.before.seq == seq else PATIENCE), course.before.seq
                    try:
                        with self._session(connection, outcomes, 0 if fixed else patience, ledger) as run:
                            ledger = run.ledger
                            if run.head != seq or course.is_interrupted:
                                if fixed and run.head != seq:
                                    raise _stale(outcomes)
                                survey = self._survey(connection, migrations, run.ledger)
                                if survey.history.unfinished is not None:
                                    self._dead(survey, run)
                                    survey = self._survey(connection, migrations, run.ledger)
                                course = _Course(steps_of(survey), survey.history)
                            course = self._carry_out(run, course)
                    except LedgerConflict:
                        if fixed:
                            raise _stale(outcomes) from None
                        if patience == 0:
                            raise
                        course, patience = None, patience - 1
                    except (HistoryError, SourceError, LedgerError) as error:
                        if outcomes:
                            error.add_note(f"{len(outcomes)} steps of this call had been committed before.")
                        raise
        return Report(tuple(outcomes), time.monotonic() - began)

    def _carry_out(self, run: Run, course: _Course) -> _Course:
        """Run as many steps as one session may; return what is left of them."""
        count = len(run.outcomes)
        execute(run, course.steps, course.before, together=self.transaction == "all")
        rest = course.steps[len(run.outcomes) - count :]
        return _Course(rest, run.outcomes[-1].record if rest else course.before)

    def _dead(self, survey: _Survey, run: Run) -> Record:
        """Return the record of the step that did not end, being sure that nobody is running it any more."""
        begun = survey.history.unfinished
        if begun is None:
            raise TargetError("no step is unfinished. Nothing was run")
        number = begun.session
        if number is not None:  # the server may give up a session's locks a moment before the session
            who = f"session {number} of {begun.applied_by}, which began {begun}, is still there"
            wait_for(run, lambda: not self.dialect.is_alive(run.connection, number), lambda: who)
        return begun

    @contextmanager
    def _dead_step(self) -> Generator[tuple[Run, _Survey, Record]]:
        """Give a locked session, what is known in it, and the step that did not end and that nobody runs any more."""
        migrations = sound(self.source.load())
        if not self.dialect.exists(url_of(self.database)):  # a connection would create it
            raise TargetError("there is no database, so no step is unfinished. Nothing was run")
        with engine_of(self.database) as engine, connect(engine) as connection, self._session(connection, []) as run:
            self._dead(self._survey(connection, migrations, run.ledger), run)
            survey = self._survey(connection, migrations, run.ledger)  # it may have ended meanwhile
            yield run, survey, self._dead(survey, run)

    @contextmanager
    def _session(
        self,
        connection: Connection,
        outcomes: list[Outcome],
        patience: int = PATIENCE,
        ledger: TableLedger | None = None,
    ) -> Generator[Run]:
        """Make a connection ours, locked, with a ledger, which stays where an earlier session found it."""
        with session(
            connection,
            self.dialect,
            ledger or self.ledger,
            self.on_event or _log,
            acquire_timeout=self.acquire_timeout,
            lock_timeout=self.lock_timeout,
            statement_timeout=self.statement_timeout,
            outcomes=outcomes,
        ) as run:
            run.patience = patience
            yield run


def _check_database(database: object) -> None:
    if isinstance(database, Connection):
        raise ConfigurationError("a Connection is not supported by this version: pass its Engine or its URL")
    if not isinstance(database, URL | Engine):
        raise ConfigurationError(f"database must be a URL or an Engine, not {type(database).__name__}")


def _add(
    run: Run, about: Migration | Record, action: str, before: History | Record, reason: str, mark: str | None
) -> Record:
    """Append a record that a person asked for."""
    now = datetime.now(UTC)
    more = {} if mark is None else {"fingerprint": mark}
    record = record_of(run, about, action, before, started_at=now, finished_at=now, reason=reason, **more)
    run.ledger.append(run.connection, record)
    return record


def _stale(outcomes: Sequence[Outcome]) -> StalePlan:
    return StalePlan(
        f"another migrator was at work: {len(outcomes)} of the steps ran here, and the rest was left. status() tells "
        "what is applied now",
        report=Report(tuple(outcomes)),
    )


def _log(event: Event) -> None:
    """Tell the logger "dbmigrate" what happens; handlers and levels are the application's."""
    if isinstance(event, Waiting):
        _LOGGER.info("waiting for another migrator, %.0f s: %s", event.seconds, event.holder or "unknown")
    elif isinstance(event, StepStarted):
        _LOGGER.info("%s: started", event.step)
    elif isinstance(event, StepFinished):
        _LOGGER.info("%s: done in %.3f s", event.outcome.step, event.outcome.seconds)
