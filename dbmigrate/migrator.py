"""The front door: a `Migrator` binds a source, a ledger and a database together."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Literal

from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dbmigrate import plan as planning
from dbmigrate.arguments import check, read_database
from dbmigrate.connect import connect, engine_of, session
from dbmigrate.dialects import Dialect, dialect_for
from dbmigrate.errors import (
    ConfigurationError,
    HistoryError,
    LedgerConflict,
    LedgerError,
    MigrationError,
    MigrationInProgress,
    NotCurrent,
    StalePlan,
    TargetError,
)
from dbmigrate.execute import admit, execute
from dbmigrate.ledger import Ledger, LedgerBusyError, TableLedger
from dbmigrate.model import (
    Ahead,
    Direction,
    Event,
    Finding,
    Migration,
    Outcome,
    Plan,
    Record,
    Report,
    State,
    Status,
    Step,
    Unfinished,
    Waiting,
)
from dbmigrate.plan import History
from dbmigrate.run import (
    FASTER,
    PATIENCE,
    REMIND,
    Run,
    Settings,
    StoppedError,
    append,
    log,
    wait_for,
    writing,
)
from dbmigrate.source import FilesystemSource, Source, sound
from dbmigrate.survey import Known, Survey, can_be_one, checked, fingerprint_of, in_doubt, look, records

#: Seconds; see Migrator.
LOCK_TIMEOUT = 2.0


class Migrator(Settings):
    """Applies the migrations of a source to a database, exactly once each, and knows what is applied.

    An immutable value without open resources: picklable when given a URL, usable from many threads and in several
    copies at once. Every call loads the source anew and opens what it needs.

    No password is in its repr, nor in what it returns, raises, logs or tells `on_event`, nor in a pickle of those. A
    pickle of the Migrator itself is to be of use in another process, so it has the URL, with the password in it.
    """

    __slots__ = ()

    def __init__(  # noqa: PLR0913 - the one place where everything can be set
        self,
        database: str | URL | Engine | Connection,
        source: Source | str | os.PathLike[str] = "migrations",
        *,
        ledger: Ledger | str = "dbmigrate_ledger",
        allow: Collection[type[Finding]] = frozenset({Ahead}),
        transaction: Literal["each", "all"] = "each",
        acquire_timeout: float = 60.0,
        lock_timeout: float | Literal["default"] | None = "default",
        statement_timeout: float | None = None,
        retries: int = 10,
        retry_timeout: float = 300.0,
        on_event: Callable[[Event], None] | None = None,
        dialect: Dialect | None = None,
        schema_file: str | os.PathLike[str] | None = None,
    ) -> None:
        """Bind the parts together. Touches no database and no file.

        Args:
            database: A URL, for which an engine is made and disposed of in each call; or an Engine, from which
                connections are checked out. One over which a step has run is closed, never handed back to the pool
                with a stranger's session state (an in-memory SQLite excepted, which is restored).
            source: A Source, or the path of a folder.
            ledger: A Ledger, or the name of a table, which a TableLedger then keeps. Two histories in one database are
                two ledgers.
            allow: Finding types to tolerate. `Unfinished` cannot be tolerated.
            transaction: "each" migration in its own transaction, or "all" pending ones in one.
            acquire_timeout: Seconds to wait for another migrator without seeing it make progress.
            lock_timeout: Seconds that a statement of a migration may wait for a lock; the database's own limit
                (MariaDB and MySQL: whole seconds, at least 1; SQLite has none). Whoever comes after a statement that
                waits for a table waits too, be it to read: so the default is 2, and a step that ran into it is tried
                again (`retries`). In a Connection of the caller's there is no default. Not for what PostgreSQL does
                CONCURRENTLY, which keeps nobody from reading and writing (a partition, at the end of its
                DETACH, excepted). None: whatever the server says.
            statement_timeout: Seconds that a statement of a migration may take; the database's own limit
                (not on SQLite and MySQL).
            retries: How often a step is tried again that others at work made fail: a lock that could not be had in
                time, a deadlock, transactions that could not be put in an order. It was rolled back; meanwhile the
                migration lock is free. Outside a transaction only a statement that had no effect is tried again; a
                step in Python never is. The pauses grow from 0.2 to 10 seconds, and vary by half.
            retry_timeout: Seconds after the first such failure of a step in which another try may begin.
            on_event: Called with each event as it happens; if it raises before a step is committed, the step
                fails, and behind that the run stops; what it raises while another migrator is waited for comes out as
                it is, with nothing run. None: the logger "dbmigrate" is told, never configured.
            dialect: None: by the database.
            schema_file: A file that is written anew whenever a call has ended a step, also if it fails behind that
                (but not if it is stopped, as by Ctrl-C), or finds nothing to run and no such file. Its folder must be
                there: otherwise ConfigurationError says so before anything runs. It is the schema as Python, if its
                name ends with `.py` (`code` of dbmigrate.schema), as SQL, if with `.sql` (`script` of it). It is
                replaced as a whole, and only if its text differs; what it says is read under the migration lock. If it
                cannot be written, MigrationError says so, or a note on the error that came first; the steps stay
                committed. Not over a Connection, whose caller may still roll back.

        Raises:
            ConfigurationError: An argument is wrong. No database was touched.

        """
        check(source=source, ledger=ledger, allow=allow, transaction=transaction, on_event=on_event, dialect=dialect)
        check(acquire_timeout=acquire_timeout, retries=retries, retry_timeout=retry_timeout)
        check(lock_timeout=lock_timeout, statement_timeout=statement_timeout, schema_file=schema_file)
        database = read_database(database)
        dialect = dialect or dialect_for(database if isinstance(database, URL) else database.engine.url)
        if isinstance(database, Connection):
            from dbmigrate.dialects.borrowed import borrowed  # noqa: PLC0415

            dialect = borrowed(dialect.own)
        if lock_timeout == "default":
            lock_timeout = LOCK_TIMEOUT if "lock_timeout" in dialect.limits and dialect.waits else None
        for name, limit in (("lock_timeout", lock_timeout), ("statement_timeout", statement_timeout)):
            if limit is not None and name not in dialect.limits:
                raise ConfigurationError(f"this database has no {name}: leave it out")
        if schema_file is not None and (isinstance(database, Connection) or not dialect.family):
            why = "is not written in your transaction, which may still roll back: pass the Engine or the URL"
            why = why if dialect.family else "cannot be written: dbmigrate cannot read the catalogue of this database"
            raise ConfigurationError(f"a schema_file {why}")
        if isinstance(database, URL) and dialect.vanishes(database):
            raise ConfigurationError(
                "an in-memory SQLite named by URL would vanish with the call: pass the Engine that the application uses"
            )
        super().__init__(
            database,
            FilesystemSource(source) if isinstance(source, str | os.PathLike) else source,
            TableLedger(ledger) if isinstance(ledger, str) else ledger,
            frozenset(allow),
            transaction,
            acquire_timeout,
            lock_timeout,
            statement_timeout,
            retries,
            retry_timeout,
            on_event,
            dialect,
            None if schema_file is None else os.fspath(schema_file),
        )

    # -- looking ------------------------------------------------------------------------------------------------------

    def status(self) -> Status:
        """Return every migration that source or ledger knows, and every finding.

        Reads only: no lock, no write, not even the ledger table. Raises SourceError, LedgerError, ConfigurationError.
        """
        with self._looking() as (_, survey):
            return planning.make_status(survey.migrations, survey.history, survey.findings, self.allow)

    def history(self) -> tuple[Record, ...]:
        """Return the records of the ledger as they are, oldest first, without their down scripts.

        Reads only; the source is not loaded. The chain is not checked, so that a ledger that `status` refuses can
        still be looked at. Raises LedgerError, ConfigurationError.
        """
        run = Run(self)
        if not self.dialect.exists(self.url):
            return ()
        with engine_of(self.database) as engine, connect(engine, run):
            return tuple(records(run))

    def validate(self) -> tuple[Migration, ...]:
        """Read and cut every script of the source, both ways, and return its migrations; needs no database.

        For tests and commits: what is found is what `upgrade` and `downgrade` would refuse to run, in all migrations
        and not only in those that are pending. That the database accepts the scripts is not known by that. Raises
        SourceError with everything that is wrong at once.
        """
        migrations = sound(self.source.load())
        ways: tuple[Direction, ...] = ("up", "down")
        steps = [Step(m, way) for m in migrations for way in ways if way == "up" or m.down is not None]
        checked(steps, self.dialect, {}, Run(self).ledger)
        return tuple(migrations)

    def verify(self) -> None:
        """Make sure that the database is what this application needs; for the start of an application.

        Reads only. Raises NotCurrent, naming what is pending and every finding that is not tolerated; and what
        `status` raises.
        """
        self._current()

    def wait_until_current(self, timeout: float = 600.0) -> Status:
        """Wait until the database is current, as `verify` has it; for processes that start beside a migration job.

        Looks about once a second, also while the server does not accept connections yet, and never writes. Raises at
        once what waiting cannot mend (an edited or missing migration, a source that cannot be read, a table that is no
        ledger); after `timeout` seconds NotCurrent, or ConfigurationError if there was no connection to be had, saying
        what is missing. A server that takes a connection and never answers is waited for as long as its driver does:
        give the URL a connect timeout.
        """
        check(timeout=timeout)
        if not self.dialect.waits:
            raise ConfigurationError("to wait inside a transaction would hold it open: pass the Engine or the URL")
        began, said = time.monotonic(), -REMIND
        while True:
            try:
                return self._current()
            except MigrationError as error:
                waited, trouble = time.monotonic() - began, str(error)
                if waited >= timeout or not _may_pass(error):
                    error.add_note(f"waited for {waited:.0f} s")
                    raise
            if waited - said >= REMIND:
                said = waited
                (self.on_event or log)(Waiting(waited, trouble))
            time.sleep(max(min(1.0, began + timeout - time.monotonic()), 0))

    def plan(self, to: str | None = None) -> Plan:
        """Return what `upgrade(to)` would run now, checked as it would be.

        Reads only. Raises what `upgrade` raises before its first statement.
        """
        from dbmigrate.printing import printer  # noqa: PLC0415 - not needed where nothing is planned

        check(to=to)
        with self._looking() as (run, survey):
            survey.refuse(self.allow)
            steps = self._checked(run, planning.upgrade_steps(survey.migrations, survey.history, to), {})
            return Plan(steps, survey.history.seq, survey.history.chain, survey.findings, printer(run))

    # -- running ------------------------------------------------------------------------------------------------------

    def upgrade(self, to: str | None = None) -> Report:
        """Apply everything pending, or everything pending at or before version `to` in the source's order.

        Any number of processes may call this at once: each migration is applied once, and every caller returns when
        its target is reached. With nothing pending it costs one SELECT: no lock, no write.

        Raises, with nothing run: ConfigurationError, SourceError, TargetError, HistoryError, LedgerError,
        MigrationInProgress. Raises MigrationFailed when a step fails: the steps in its `report` are committed, and it
        says what is left of the failed one (nothing, where DDL is transactional).
        """
        check(to=to)
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
        count = 1 if steps is None else steps
        check(to=to, steps=count)
        return self._run(lambda survey: planning.downgrade_steps(survey.migrations, survey.history, to=to, steps=count))

    def goto(self, to: str) -> Report:
        """Make `to` the last migration that is applied: take back what stands after it, apply what is pending before.

        `to="base"` takes everything back. Raises what `downgrade` and `upgrade` raise; StalePlan only where something
        is taken back.
        """
        check(version=to)
        return self._run(lambda survey: planning.goto_steps(survey.migrations, survey.history, to))

    def redo(self, steps: int = 1) -> Report:
        """Take the last `steps` back and apply them again, with the scripts as they are now; for development.

        One transaction, if every step of it is transactional and none changes the session: a failure leaves everything
        as it was. Otherwise one by one, as `downgrade` and `upgrade` do: then do not simply repeat a call that failed,
        for it would go back one further; `upgrade` completes it. That a migration which it takes back was edited is no
        finding here; of others it is. Raises what those two raise.
        """
        check(steps=steps)
        return self._run(lambda survey: planning.redo_steps(survey.migrations, survey.history, steps), redo=True)

    def apply(self, plan: Plan) -> Report:
        """Carry out a plan exactly. Raises StalePlan if the ledger moved since; otherwise what `upgrade` raises."""
        check(plan=plan)

        def choose(survey: Survey) -> tuple[Step, ...]:
            if (survey.history.seq, survey.history.chain) != (plan.head, plan.chain):
                raise StalePlan(
                    "the ledger moved after the plan was made: plan again. Nothing was run", report=Report()
                )
            return plan.steps

        return self._run(choose, fixed=True)

    def resume(self) -> Report:
        """Go on with a non-transactional step that began and did not end, behind its last statement known to be done.

        Finishes that step and no other. A statement in doubt is settled by the catalogue: what it said of the things
        that the statement changes was written down before it was sent. Changed as the statement says, it ran; as it
        was, it did not, and runs now; an INVALID index that it left is dropped first (PostgreSQL). What a person did by
        hand meanwhile, to the very things that the statement names, is taken for its work.

        Raises TargetError if there is no such step; HistoryError if that does not tell (its finding says what was seen;
        then `resolve` it first) or a statement that ran was edited; MigrationInProgress if the session that began it is
        still there; otherwise what `upgrade` raises.
        """
        from dbmigrate.journal import check_resumable, journalled  # noqa: PLC0415 - seldom needed

        began = time.monotonic()
        with self._described() as ended, self._dead_step() as (run, survey, begun):
            run.outcomes = ended
            step = Step(planning.find(begun.version, survey.migrations), "up" if begun.action == "begin_up" else "down")
            if step.direction == "down" and step.migration.down is None:
                raise TargetError(f"the down script of {step.migration} is gone. Restore it. Nothing was run")
            (step,) = checked([step], self.dialect, {}, run.ledger)
            admit(run, [step])
            finding = next(finding for finding in survey.findings if isinstance(finding, Unfinished))
            check_resumable(run, step, finding, survey.journal)
            journalled(run, step, survey.history, begun, survey.journal or ())
        return Report(tuple(ended), time.monotonic() - began)

    # -- recording ----------------------------------------------------------------------------------------------------

    def baseline(self, version: str, *, reason: str) -> Status:
        """Record every migration up to and including `version` as applied, and run nothing.

        For a database whose schema exists already. Needs an empty ledger. Raises TargetError for an unknown version,
        HistoryError if the ledger is not empty, otherwise what `upgrade` raises; nothing is recorded then.
        """
        check(version=version, reason=reason)
        migrations = sound(self.source.load())
        last = migrations.index(planning.find(version, migrations))
        marks = [(m, fingerprint_of(m, self.dialect)) for m in migrations[: last + 1]]
        with self._session() as run, writing(run):
            before: History | Record = planning.fold(run.ledger.read(run.connection))
            if before.seq:
                raise HistoryError((), "a baseline needs an empty ledger, and there are records; nothing was recorded")
            for m, mark in marks:
                before = append(run, m, "baseline", before, reason, mark)
        return self.status()

    def accept(self, version: str, *, reason: str) -> Status:
        """Record that the edited script of an applied migration is right as it is now; runs nothing.

        Raises TargetError if that migration is not applied, not in the source, or not edited, otherwise what `status`
        raises and MigrationInProgress; nothing is recorded then.
        """
        check(version=version, reason=reason)
        migrations = sound(self.source.load())
        migration = planning.find(version, migrations)
        with self._existing(migrations) as (run, survey):
            if survey.history.unfinished is not None:  # its end must follow its begin
                findings = [finding for finding in survey.findings if isinstance(finding, Unfinished)]
                raise HistoryError(findings, "a step is unfinished; nothing was recorded")
            known = survey.history.applied.get(version)
            if known is None or known.checksum == migration.up.checksum:
                state = "not applied" if known is None else "as it was when it was applied"
                raise TargetError(f"{migration} is {state}. Nothing was recorded")
            mark = fingerprint_of(migration, self.dialect)
            with writing(run):
                append(run, migration, "accept", survey.history, reason, mark)
        return self.status()

    def resolve(self, version: str, *, applied: bool, reason: str, statement: int | None = None) -> Status:
        """Say what is true of a non-transactional step that began and did not end; runs nothing.

        Without `statement`: whether the whole migration is applied now, finished or undone by hand. With it: whether
        that statement, the one in doubt, took effect; then call `resume`. Both are recorded with the reason.

        Raises TargetError if that migration is not unfinished or that statement not in doubt, MigrationInProgress if
        the session that began it is still there; nothing is recorded then.
        """
        check(version=version, applied=applied, reason=reason, statement=statement)
        with self._dead_step() as (run, survey, begun):
            if begun.version != version:
                raise TargetError(f"{version!r} is not unfinished; {begun} is. Nothing was recorded")
            with writing(run):
                if statement is None:
                    action = "resolve_applied" if applied else "resolve_unapplied"
                    known = next((m for m in survey.migrations if m.version == version), None)
                    mark = None if known is None else fingerprint_of(known, self.dialect)
                    append(run, known or begun, action, survey.history, reason, mark)
                elif not isinstance(run.ledger, TableLedger):
                    raise LedgerError("this ledger keeps no journal: call it without statement=. Nothing was recorded")
                else:
                    last = survey.journal[-1] if survey.journal else None
                    if last is None or last.state == "done" or last.ordinal != statement:
                        raise TargetError(f"statement {statement} is not in doubt. Nothing was recorded")
                    said: State = "done" if applied else "failed"
                    entry = replace(last, entry=last.entry + 1, state=said)
                    run.ledger.note(run.connection, [replace(entry, error=f"resolved by {run.applied_by}: {reason}")])
        return self.status()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _current(self) -> Status:
        """Return the status if it is what an application needs; otherwise raise NotCurrent."""
        status = self.status()
        if not status.is_current:
            raise NotCurrent(status.errors, [f"{entry.version}_{entry.name}" for entry in status.pending])
        return status

    @contextmanager
    def _looking(self) -> Generator[tuple[Run, Survey]]:
        """Look at source and ledger over one connection, which goes back as it came."""
        migrations, run = sound(self.source.load()), Run(self)
        if not self.dialect.exists(self.url):
            yield run, look(run, migrations, empty=True)
            return
        with engine_of(self.database) as engine, connect(engine, run):
            yield run, look(run, migrations)

    def _checked(self, run: Run, steps: Sequence[Step], known: Known) -> tuple[Step, ...]:
        return checked(steps, self.dialect, known, run.ledger, one=self.transaction == "all")

    def _run(self, choose: Callable[[Survey], tuple[Step, ...]], *, fixed: bool = False, redo: bool = False) -> Report:
        """Plan without a lock, and carry out under it; over a new session where a step used one up.

        `fixed`: the first plan is carried out or nothing, as whenever something is taken back; otherwise a ledger that
        moved is planned from again. `redo`: in one transaction, if that is possible.
        """
        run = Run(self)
        migrations, known = sound(self.source.load()), Known()

        def chosen(survey: Survey, *, unlocked: bool = False) -> tuple[Sequence[Step], History]:
            # what redo takes back was perhaps edited: that is what it is for
            redone = {step.migration.version for step in choose(survey)} if redo else set[str]()
            survey.refuse(self.allow, unlocked=unlocked, redone=redone)
            return self._checked(run, choose(survey), known), survey.history

        is_new = not self.dialect.exists(self.url)
        if is_new and not chosen(look(run, migrations, empty=True))[0]:  # a connection would create it
            return run.report
        course: tuple[Sequence[Step], History | Record] | None = None  # steps, and what they follow
        seq, one = -1, False
        with self._described() as run.outcomes, engine_of(self.database) as engine:
            while course is None or course[0]:
                try:
                    with connect(engine, run) as connection:
                        if course is None:
                            course = chosen(look(run, migrations, brief=True), unlocked=True)
                            if self.dialect.waits:
                                connection.rollback()
                            if not course[0]:
                                break
                            fixed = fixed or any(step.direction == "down" for step in course[0])
                            one = self.transaction == "all" or (redo and can_be_one(course[0]))
                        if course[1].seq != seq:
                            seq, run.patience = course[1].seq, 0 if fixed or not self.dialect.waits else PATIENCE
                        run.outside = not all(step.transactional for step in course[0])
                        with session(run):
                            course = _settled(run, course)
                            if fixed and run.head != course[1].seq:
                                raise _stale(run)
                            if run.head != course[1].seq or getattr(course[1], "unfinished", None):
                                course = chosen(self._finished(run, migrations))
                            course = execute(run, *course, together=one)
                except StoppedError as stopped:
                    course = stopped.go_on(run)
                except LedgerConflict as conflict:
                    _make_sense(run, conflict, fixed=fixed)
                    course, run.patience = None, run.patience - 1
                except MigrationError as error:
                    _complete(run, error)
                    raise
        return run.report

    def _described(self) -> AbstractContextManager[list[Outcome]]:
        """Give a list for the steps that end in what is inside; if there are any, the schema file is written.

        It is also written if there is none yet.
        """
        if self.schema_file is None:
            return nullcontext([])
        from dbmigrate.schema.file import kept  # noqa: PLC0415 - only where there is one

        return kept(self.schema_file, partial(self._session, create=False))

    def _finished(self, run: Run, migrations: Sequence[Migration]) -> Survey:
        """Look again under the lock, when nobody is running the step that did not end, if there is one."""
        survey = look(run, migrations)
        begun = survey.history.unfinished
        if begun is None:
            return survey
        if (number := begun.session) is not None:  # the server may give up its locks a moment before the session itself
            who = f"session {number} of {begun.applied_by}, which began {begun}, is still there"
            wait_for(run, lambda: not self.dialect.is_alive(run.connection, number), lambda: who)
        if sql := in_doubt(survey, self.dialect):  # a pooler's session outlives who sent it, and who resumed it
            what = f"a session at work on {begun}"
            wait_for(run, lambda: not self.dialect.is_running(run.connection, sql), lambda: what)
        if self.dialect.begin_is_the_lock and not run.outside:  # or we have that lock
            with self.dialect.lock_beside(run.connection) as try_lock:
                wait_for(run, try_lock, lambda: f"{begun.applied_by}, who began {begun}")
        return look(run, migrations)  # it may have ended meanwhile

    @contextmanager
    def _session(self, *, create: bool = True, outside: bool = False) -> Generator[Run]:
        """Give a locked session; without `create` the ledger may be missing; `outside`: see Run."""
        run = Run(self, outside=outside)
        try:
            with engine_of(self.database) as engine, connect(engine, run), session(run, create=create):
                yield run
        except LedgerConflict as conflict:
            run.patience = 0
            _make_sense(run, conflict, fixed=False)

    @contextmanager
    def _existing(self, migrations: Sequence[Migration], *, outside: bool = False) -> Generator[tuple[Run, Survey]]:
        """Give a locked session of a database that is there (a connection would create it), and what is known in it."""
        if not self.dialect.exists(self.url):
            raise TargetError("there is no database yet, so nothing is applied or unfinished. Nothing was run")
        with self._session(create=False, outside=outside) as run:
            yield run, self._finished(run, migrations)

    @contextmanager
    def _dead_step(self) -> Generator[tuple[Run, Survey, Record]]:
        """Give a locked session, what is known in it, and the step that did not end and that nobody runs any more."""
        with self._existing(sound(self.source.load()), outside=True) as (run, survey):
            if survey.history.unfinished is None:
                raise TargetError("no step is unfinished. Nothing was run")
            yield run, survey, survey.history.unfinished


def _settled(run: Run, course: tuple[Sequence[Step], History | Record]) -> tuple[Sequence[Step], History | Record]:
    """Return the course behind a COMMIT that got no answer, if that was why we are here, by what the ledger says.

    Nobody has the lock before the transaction has ended that it stood for, so whoever has it now sees how that ended.
    """
    if not run.losses or run.losses[-1].is_settled:
        return course
    lost, (steps, before) = run.losses[-1], course
    last = lost.outcomes[-1].record
    # The same step run by somebody else meanwhile has the same chain: session and time tell them apart.
    is_there = any(
        (record.seq, record.chain) == (last.seq, last.chain)
        and record.session in (None, last.session)
        and record.started_at in (None, last.started_at)
        for record in records(run)
    )
    lost.is_settled = True
    if not is_there:
        return steps, before
    run.finish(lost.outcomes)
    return steps[len(lost.outcomes) :], last


def _complete(run: Run, error: MigrationError) -> None:
    """Add to an error what ran before; where it could not be found out whether a step was committed, raise that."""
    if run.outcomes and not hasattr(error, "report") and run.done not in str(error):
        error.add_note(f"{run.done}.")
    if run.losses and not run.losses[-1].is_settled:
        failure = run.losses[-1].failure
        failure.add_note(f"To look again failed: {error}")
        raise failure from run.losses[-1].__cause__


def _make_sense(run: Run, conflict: LedgerConflict, *, fixed: bool) -> None:
    """Raise what it means that somebody else was faster, unless there is patience left to plan again; then pause."""
    if fixed:
        raise _stale(run, str(conflict)) from None
    if not run.dialect.waits:
        reason = f"{conflict}: roll your transaction back, and call again"
        raise MigrationInProgress(reason, holder=None, report=Report()) from conflict
    if run.patience == 0:
        conflict.add_note(f"{run.done}; call again.")
        raise conflict
    time.sleep(min(0.02 * 2 ** (PATIENCE - run.patience), 1.0) * random.uniform(0.5, 1.5))  # noqa: S311 - spreads them


def _may_pass(error: MigrationError) -> bool:
    """Tell whether an error may be gone in a moment: a step that runs, no connection to be had, a busy database."""
    if isinstance(error, NotCurrent):
        return all(isinstance(finding, Unfinished) for finding in error.findings)
    cause = error.__cause__
    if isinstance(cause, DBAPIError):
        return cause.connection_invalidated or type(error) in (ConfigurationError, MigrationError)
    return isinstance(cause, LedgerBusyError | PoolTimeout)


def _stale(run: Run, why: str = FASTER) -> StalePlan:
    return StalePlan(
        f"{why}: {len(run.outcomes)} of the steps ran here, and the rest was left. "
        f"{'' if run.dialect.waits else 'Roll your transaction back. '}status() tells what is applied now",
        report=run.report,
    )
