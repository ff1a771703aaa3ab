"""The front door: a `Migrator` binds a source, a ledger and a database together."""

from __future__ import annotations

import getpass
import logging
import os
import socket
import time
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from sqlalchemy import create_engine, make_url
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from dbmigrate import plan as planning
from dbmigrate.dialects import Dialect, dialect_for
from dbmigrate.errors import (
    ConfigurationError,
    HistoryError,
    LedgerConflict,
    NotCurrent,
    SourceError,
    StalePlan,
    TargetError,
)
from dbmigrate.execute import Run, check_resumable, execute, journalled, locked, wait_for
from dbmigrate.ledger import TableLedger
from dbmigrate.model import (
    VERSION,
    Ahead,
    Edited,
    Event,
    Finding,
    JournalEntry,
    Migration,
    Missing,
    OutOfOrder,
    Outcome,
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
from dbmigrate.scanner import ScriptError
from dbmigrate.script import Problem, fingerprint, inspect
from dbmigrate.source import FilesystemSource, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dbmigrate.plan import History
    from dbmigrate.script import Script

_LOGGER = logging.getLogger("dbmigrate")
_PATIENCE = 10  # times that a transaction is tried again because of another one
_TOLERABLE: tuple[type[Finding], ...] = (Ahead, Edited, Missing, OutOfOrder)


@dataclass(frozen=True, slots=True)
class _Survey:
    """Everything that is known at one moment."""

    migrations: Sequence[Migration]
    history: History
    findings: tuple[Finding, ...]
    journal: Sequence[JournalEntry]


@dataclass(frozen=True, slots=True)
class Migrator:
    """Applies the migrations of a source to a database, exactly once each, and knows what is applied.

    An immutable value without open resources: picklable when given a URL, usable from many threads and in several
    copies at once. Every call loads the source anew and opens what it needs.

    `database`: a URL (string or object), for which an engine is made and disposed of in each call, or an `Engine`,
    from which connections are checked out; one over which a step has run is closed, never handed back to the pool
    with a stranger's session state (an in-memory SQLite excepted, which is restored).

    `source`: a `Source`, or the path of a folder. `ledger`: a `TableLedger`, or the name of its table; two histories
    in one database are two migrators with two ledgers.
    """

    database: str | URL | Engine
    source: Source | str | os.PathLike[str] = "migrations"
    _: KW_ONLY
    ledger: TableLedger | str = "dbmigrate_ledger"
    #: Finding types to tolerate. `Unfinished` cannot be tolerated.
    allow: frozenset[type[Finding]] = frozenset({Ahead})
    #: "each" migration in its own transaction, or "all" pending ones in one.
    transaction: Literal["each", "all"] = "each"
    #: Seconds to wait for another migrator without seeing it make progress.
    acquire_timeout: float = 60.0
    #: Seconds that a statement of a migration may wait for a lock, and may take; the database's own limits.
    lock_timeout: float | None = None
    statement_timeout: float | None = None
    #: Called with each event as it happens; None logs to the logger "dbmigrate". If it raises, the step fails.
    on_event: Callable[[Event], None] | None = None
    #: None: by the database.
    dialect: Dialect | None = None

    def __post_init__(self) -> None:
        """Check the arguments. Raises ConfigurationError; no database is touched."""
        put = object.__setattr__
        database = self.database
        if isinstance(database, str):
            try:
                database = make_url(database)
            except ArgumentError:
                raise ConfigurationError("the database URL cannot be read; it looks like sqlite:///app.db") from None
            put(self, "database", database)
        if isinstance(database, Connection):
            raise ConfigurationError("a Connection is not supported by this version: pass its Engine or its URL")
        if not isinstance(database, URL | Engine):
            raise ConfigurationError(f"database must be a URL or an Engine, not {type(database).__name__}")
        if isinstance(database, URL) and _is_memory(database):
            raise ConfigurationError(
                "an in-memory SQLite named by URL would vanish with the call: pass the Engine that the application uses"
            )
        if isinstance(self.source, str | os.PathLike):
            put(self, "source", FilesystemSource(self.source))
        if isinstance(self.ledger, str):
            put(self, "ledger", TableLedger(self.ledger))
        put(self, "allow", frozenset(self.allow))
        if not all(kind in _TOLERABLE for kind in self.allow):
            names = ", ".join(kind.__name__ for kind in _TOLERABLE)
            raise ConfigurationError(f"allow takes the finding types {names}, and no others")
        if self.transaction not in ("each", "all"):
            raise ConfigurationError(f"transaction is 'each' or 'all', not {self.transaction!r}")
        for name in ("acquire_timeout", "lock_timeout", "statement_timeout"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ConfigurationError(f"{name} is a number of seconds, not {value!r}")
        put(self, "dialect", self.dialect or dialect_for(_url(database)))

    # -- looking ------------------------------------------------------------------------------------------------------

    def status(self) -> Status:
        """Return every migration that source or ledger knows, and every finding.

        Reads only: no lock, no write, not even the ledger table. Raises SourceError, LedgerError, ConfigurationError.
        """
        survey = self._read()
        return planning.make_status(survey.migrations, survey.history, survey.findings, self.allow)

    def verify(self) -> None:
        """Make sure that the database is what this application needs; for the start of an application.

        Reads only. Raises NotCurrent, naming what is pending and every finding that is not tolerated.
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
        return Plan(steps, survey.history.head, survey.findings)

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
            if survey.history.head != plan.head:
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
        migrations = self._source.load()
        with self._engine() as engine, self._sitting(engine) as run:
            survey = self._survey(run.connection, migrations, run.ledger)
            begun = self._unfinished(survey, run)
            step = Step(planning.find(begun.version, migrations), "up" if begun.action == "begin_up" else "down")
            if step.direction == "down" and step.migration.down is None:
                raise TargetError(f"the down script of {step.migration} is gone. Restore it. Nothing was run")
            (step,) = self._checked([step], {}, journalled=True)
            check_resumable(self._dialect, step, begun, survey.journal)
            journalled(run, step, survey.history, begun, survey.journal)
            return Report(tuple(run.outcomes), time.monotonic() - began)

    # -- recording ----------------------------------------------------------------------------------------------------

    def baseline(self, version: str, *, reason: str) -> Status:
        """Record every migration up to and including `version` as applied, and run nothing.

        For a database whose schema exists already. Needs an empty ledger. Raises TargetError for an unknown version,
        HistoryError if the ledger is not empty, otherwise what `upgrade` raises; nothing is recorded then.
        """
        migrations = self._source.load()
        last = migrations.index(planning.find(version, migrations))
        covered = self._checked([Step(m, "up") for m in migrations[: last + 1]], {}, any_kind=True)
        with self._engine() as engine, self._sitting(engine) as run, _writing(run):
            before: History | Record = planning.fold(run.ledger.read(run.connection))
            if before.chain is not None:
                raise HistoryError((), "a baseline needs an empty ledger, and this one has records; nothing was recorded")
            for step in covered:
                before = _add(run, before, step.migration, "baseline", reason, step.script)
        return self.status()

    def resolve(self, version: str, *, applied: bool, reason: str, statement: int | None = None) -> Status:
        """Say what is true of a non-transactional step that began and did not end; runs nothing.

        Without `statement`: whether the whole migration is applied now, finished or undone by hand. With it: whether
        that statement, the one in doubt, took effect; then call `resume`. Both are recorded with the reason.

        Raises TargetError if that migration is not unfinished or that statement not in doubt, MigrationInProgress if
        the session that began it is still there; nothing is recorded then.
        """
        migrations = self._source.load()
        with self._engine() as engine, self._sitting(engine) as run:
            survey = self._survey(run.connection, migrations, run.ledger)
            begun = self._unfinished(survey, run)
            if begun.version != version:
                raise TargetError(f"{version!r} is not unfinished; {begun} is. Nothing was recorded")
            with _writing(run):
                if statement is not None:
                    last = survey.journal[-1] if survey.journal else None
                    if last is None or last.state == "done" or last.ordinal != statement:
                        raise TargetError(f"statement {statement} of {begun} is not in doubt. Nothing was recorded")
                    text = f"resolved by {run.applied_by}: {reason}"
                    state: Literal["done", "failed"] = "done" if applied else "failed"
                    run.ledger.note(run.connection, [replace(last, entry=last.entry + 1, state=state, error=text)])
                else:
                    known = next((m for m in migrations if m.version == version), None)
                    script = self._look_at(Step(known, "up"))[0] if known else None
                    action = "resolve_applied" if applied else "resolve_unapplied"
                    _add(run, survey.history, known or begun, action, reason, script)
        return self.status()

    # -- inside -------------------------------------------------------------------------------------------------------

    @property
    def _dialect(self) -> Dialect:
        assert self.dialect is not None  # noqa: S101 - __post_init__ sets it
        return self.dialect

    @property
    def _source(self) -> Source:
        assert not isinstance(self.source, str | os.PathLike)  # noqa: S101 - __post_init__ sets it
        return self.source

    @property
    def _ledger(self) -> TableLedger:
        assert isinstance(self.ledger, TableLedger)  # noqa: S101 - __post_init__ sets it
        return self.ledger.at(None, self._dialect)

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        """Give an engine: the caller's, or one of ours that is disposed of at the end."""
        if isinstance(self.database, Engine):
            yield self.database
            return
        assert isinstance(self.database, URL)  # noqa: S101 - __post_init__ sets it
        try:
            engine = create_engine(self.database, poolclass=NullPool)
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise ConfigurationError(
                f"no driver for {self.database.drivername!r} is installed ({error}): install one, or name another as in "
                "postgresql+psycopg://"
            ) from error
        try:
            yield engine
        finally:
            engine.dispose()

    def _read(self) -> _Survey:
        """Look at source and ledger over one connection, which goes back as it came."""
        migrations = self._source.load()
        if not self._dialect.exists(_url(self.database)):
            return self._survey(None, migrations, self._ledger)
        with self._engine() as engine, _connect(engine) as connection:
            return self._survey(connection, migrations, self._ledger)

    def _survey(self, connection: Connection | None, migrations: Sequence[Migration], ledger: TableLedger) -> _Survey:
        history = planning.fold(ledger.read(connection) if connection is not None else ())
        journal: Sequence[JournalEntry] = ()
        if connection is not None and history.unfinished is not None:
            journal = ledger.journal(connection, history.unfinished.seq)
        marks = {m.version: self._fingerprint(m) for m in planning.changed(migrations, history)}
        return _Survey(migrations, history, planning.compare(migrations, history, marks, journal), journal)

    def _fingerprint(self, migration: Migration) -> str:
        try:
            return fingerprint(migration.up.read(), self._dialect.grammar)
        except ScriptError:
            return ""  # what cannot be cut cannot have run

    def _refuse(self, findings: tuple[Finding, ...], *, unlocked: bool = False) -> None:
        """Raise HistoryError for findings that are not tolerated.

        Without the lock an unfinished step may simply be running; whether it is dead is judged under the lock.
        """
        errors = planning.tolerate(findings, self.allow)
        if unlocked:
            errors = tuple(f for f in errors if not isinstance(f, Unfinished))
        if errors:
            raise HistoryError(errors)

    def _checked(
        self,
        steps: Sequence[Step],
        known: dict[Step, Step],
        *,
        journalled: bool = False,
        any_kind: bool = False,
    ) -> tuple[Step, ...]:
        """Read and cut every script before the first statement of any is sent; report all problems at once."""
        problems: list[Problem] = []
        checked: list[Step] = []
        for step in steps:
            if step not in known:
                script, transactional = self._look_at(step)
                problems += script.problems
                if not transactional and not self._dialect.non_transactional_steps and not any_kind:
                    reason = "no-transaction is not supported on this database yet: leave the directive out"
                    problems.append(Problem(step.body.origin, None, reason))
                known[step] = replace(step, script=script, transactional=transactional and not journalled)
            checked.append(known[step])
        if problems:
            raise SourceError(problems)
        if self.transaction == "all" and not journalled and not any_kind:
            single = [s for s in checked if not s.transactional or (s.script and s.script.foreign_keys_off)]
            if single:
                names = ", ".join(map(str, single))
                raise ConfigurationError(f"transaction='all' cannot include {names}: use 'each'. Nothing was run")
        return tuple(checked)

    def _look_at(self, step: Step) -> tuple[Script, bool]:
        body, dialect = step.body, self._dialect
        script = inspect(
            body.read(), dialect.grammar, dialect.traits, origin=body.origin, transaction=body.transaction
        )
        reason = None
        if step.direction == "up" and script.count < 1 and not script.problems:
            reason = "there is no statement in it: write one, or delete the file"
        elif script.foreign_keys_off and not dialect.switches_foreign_keys:
            reason = "foreign-keys=off is for SQLite: leave it out"
        if reason is not None:
            script = replace(script, problems=(*script.problems, Problem(body.origin, None, reason)))
        return script, not script.no_transaction and (dialect.transactional_ddl or script.atomic)

    def _run(self, choose: Callable[[_Survey], tuple[Step, ...]], *, fixed: bool = False) -> Report:
        """Plan without a lock, then under it, and carry out; again over a new session where a step used one up.

        `fixed`: the first plan is carried out or nothing; otherwise a ledger that moved is planned from again.
        """
        began = time.monotonic()
        migrations = self._source.load()
        known: dict[Step, Step] = {}
        outcomes: list[Outcome] = []
        first: Plan | None = None
        patience, head = _PATIENCE, -1
        if not self._dialect.exists(_url(self.database)):
            survey = self._survey(None, migrations, self._ledger)
            if not choose(survey):
                return Report((), time.monotonic() - began)
        with self._engine() as engine:
            ended = False
            while not ended:
                with _connect(engine) as connection:
                    if first is None or not fixed:
                        survey = self._survey(connection, migrations, self._ledger)
                        self._refuse(survey.findings, unlocked=True)
                        first = Plan(self._checked(choose(survey), known), survey.history.head)
                    if not first.steps:
                        break
                    patience, head = (patience if survey.history.head == head else _PATIENCE), survey.history.head
                    connection.rollback()
                    try:
                        with self._ours(connection, outcomes) as run:
                            run.patience = patience
                            ended = self._sit(run, migrations, first if fixed else None, choose, known)
                    except LedgerConflict:
                        if fixed:
                            raise _stale(outcomes) from None
                        patience -= 1
                        if patience < 0:
                            raise
        return Report(tuple(outcomes), time.monotonic() - began)

    def _sit(
        self,
        run: Run,
        migrations: Sequence[Migration],
        first: Plan | None,
        choose: Callable[[_Survey], tuple[Step, ...]],
        known: dict[Step, Step],
    ) -> bool:
        """Plan again under the lock, and carry out. Returns False if the rest wants a new session."""
        survey = self._survey(run.connection, migrations, run.ledger)
        if survey.history.unfinished is not None:
            self._unfinished(survey, run)
        self._refuse(survey.findings)
        if first is None:
            steps = self._checked(choose(survey), known)
        else:
            if survey.history.head != (run.outcomes[-1].record.seq if run.outcomes else first.head):
                raise _stale(run.outcomes)
            steps = first.steps[len(run.outcomes) :]
        return not steps or execute(run, steps, survey.history, together=self.transaction == "all")

    def _unfinished(self, survey: _Survey, run: Run) -> Record:
        """Return the record of the step that did not end, being sure that nobody is running it any more."""
        begun = survey.history.unfinished
        if begun is None:
            raise TargetError("no step is unfinished. Nothing was run")
        session = begun.session
        if session is not None:  # the server may give up a session's locks a moment before the session
            who = f"session {session} of {begun.applied_by}, which began {begun}, is still there"
            wait_for(run, lambda: not self._dialect.is_alive(run.connection, session), lambda: who)
        return begun

    @contextmanager
    def _sitting(self, engine: Engine) -> Iterator[Run]:
        """Give a connection of its own that is ours, locked, with a ledger in the database."""
        with _connect(engine) as connection, self._ours(connection, []) as run:
            yield run

    @contextmanager
    def _ours(self, connection: Connection, outcomes: list[Outcome]) -> Iterator[Run]:
        """Make a connection ours: autocommit, limits, ledger, lock; at the end it is closed, or restored."""
        dialect = self._dialect
        with dialect.session(
            connection,
            wait=self.acquire_timeout,
            lock_timeout=self.lock_timeout,
            statement_timeout=self.statement_timeout,
        ):
            if dialect.is_disposable(connection):
                connection.detach()  # so that closing it closes the session
            table = self._ledger
            ledger = table.at(dialect.home(connection, table.table) if table.schema is None else None, dialect)
            run = Run(
                connection,
                dialect,
                ledger,
                self.on_event or _log,
                self.acquire_timeout,
                _who(),
                dialect.session_id(connection),
                outcomes,
            )
            with locked(run, dialect.lock_key(ledger.schema, ledger.table)):
                if ledger.head(connection) == 0:
                    _create(run)
                yield run


def _url(database: str | URL | Engine) -> URL:
    assert not isinstance(database, str)  # noqa: S101 - __post_init__ made it a URL
    return database.url if isinstance(database, Engine) else database


def _is_memory(url: URL) -> bool:
    name = url.database or ""
    return url.get_backend_name() == "sqlite" and (name in ("", ":memory:") or "mode=memory" in name)


@contextmanager
def _connect(engine: Engine) -> Iterator[Connection]:
    try:
        connection = engine.connect()
    except DBAPIError as error:
        raise ConfigurationError(
            f"cannot connect to {engine.url!r}: {_without_secrets(str(error.orig), engine.url)}. Nothing was run"
        ) from error
    with connection:
        yield connection


def _without_secrets(message: str, url: URL) -> str:
    secrets = [str(url.password or ""), *(str(v) for k, v in url.query.items() if "pass" in k.lower())]
    for secret in secrets:
        message = message.replace(secret, "***") if secret else message
    return message


@contextmanager
def _writing(run: Run) -> Iterator[None]:
    """Run what is inside in a transaction."""
    wait_for(run, lambda: run.dialect.begin(run.connection))
    try:
        yield
        wait_for(run, lambda: run.dialect.commit(run.connection))
    except BaseException:
        if not run.connection.invalidated:
            run.dialect.rollback(run.connection)
        raise


def _create(run: Run) -> None:
    """Create the ledger; where somebody else is just doing so, try again and find it there."""
    for attempt in range(_PATIENCE):
        try:
            with _writing(run):
                run.ledger.create(run.connection)
        except LedgerConflict:
            if attempt == _PATIENCE - 1:
                raise
        else:
            return


def _add(
    run: Run,
    before: History | Record,
    migration: Migration | Record,
    action: str,
    reason: str,
    script: Script | None,
) -> Record:
    """Append a record that a person asked for."""
    now = datetime.now(UTC)
    of_source = isinstance(migration, Migration)
    record = Record(
        seq=(before.seq if isinstance(before, Record) else before.head) + 1,
        version=migration.version,
        name=migration.name,
        action=action,
        checksum=migration.up.checksum if of_source else migration.checksum,
        fingerprint=script.fingerprint if script else None if of_source else migration.fingerprint,
        down_checksum=(migration.down.checksum if migration.down else None) if of_source else migration.down_checksum,
        started_at=now,
        finished_at=now,
        applied_by=run.applied_by,
        session=run.session,
        tool=VERSION,
        reason=reason,
    )
    record = planning.linked(before, record)
    run.ledger.append(run.connection, record)
    return record


def _stale(outcomes: Sequence[Outcome]) -> StalePlan:
    return StalePlan(
        f"another migrator was at work: {len(outcomes)} of the steps ran here, and the rest was left. status() tells "
        "what is applied now",
        report=Report(tuple(outcomes)),
    )


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"


def _log(event: Event) -> None:
    """Tell the logger "dbmigrate" what happens; handlers and levels are the application's."""
    if isinstance(event, Waiting):
        _LOGGER.info("waiting for another migrator, %.0f s: %s", event.seconds, event.holder or "unknown")
    elif isinstance(event, StepStarted):
        _LOGGER.info("%s: started", event.step)
    elif isinstance(event, StepFinished):
        _LOGGER.info("%s: done in %.3f s", event.outcome.step, event.outcome.seconds)
