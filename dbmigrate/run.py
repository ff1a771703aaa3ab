"""What every step needs while it runs: whose connection, where it is, how to wait, what to say when it fails."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy.engine import URL, Connection, CursorResult, Engine
from sqlalchemy.exc import DBAPIError

from dbmigrate.dialects import Dialect
from dbmigrate.dialects.base import AS_WRITTEN, EndedError, StepError, send
from dbmigrate.errors import LedgerConflict, MigrationError, MigrationFailed, MigrationInProgress, SourceError, counted
from dbmigrate.ledger import Ledger, PlainLedger, TableLedger
from dbmigrate.model import (
    VERSION,
    Event,
    Finding,
    Migration,
    Outcome,
    Record,
    Report,
    Retrying,
    StatementFinished,
    Step,
    StepFinished,
    StepStarted,
    Waiting,
)
from dbmigrate.plan import History, linked
from dbmigrate.python import PythonBody, call, line_of
from dbmigrate.scanner import Grammar, Statement, position, statements
from dbmigrate.script import CHANGED, Problem, Script, Traits, checksum_of
from dbmigrate.source import Source

_LOGGER = logging.getLogger("dbmigrate")
_FIRST_WAIT, _LONGEST_WAIT, REMIND = 0.05, 1.0, 10.0  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0  # seconds
#: Times that a transaction is tried again because of another one, while nothing else moves.
PATIENCE = 10
FASTER = "another runner was faster"
_MARK = "dbmigrate_function"
_FUNCTION = Traits(atomic=False, partial=True, session="unknown")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a Migrator was given, checked and complete."""

    database: URL | Engine | Connection = field(repr=False)  # a URL can hold secrets in more than its password
    source: Source
    ledger: Ledger
    allow: frozenset[type[Finding]]
    transaction: Literal["each", "all"]
    acquire_timeout: float
    lock_timeout: float | None
    statement_timeout: float | None
    retries: int
    retry_timeout: float
    on_event: Callable[[Event], None] | None
    dialect: Dialect
    schema_file: str | None

    @property
    def url(self) -> URL:
        """The URL of the database."""
        if isinstance(self.database, URL):
            return self.database
        return self.database.engine.url


@dataclass(slots=True)
class Run:
    """One call of a Migrator: the connection that is ours just now, and what was done over it and those before."""

    settings: Settings
    connection: Connection = field(init=False)
    #: What this database is like, over that connection.
    dialect: Dialect = field(init=False)
    #: Its place is settled by the first session, and stays.
    ledger: TableLedger | PlainLedger = field(init=False)
    #: What tells this session from all others, where the database can tell.
    session: str | None = None
    applied_by: str | None = None
    #: The ledger's last seq when the lock was taken.
    head: int = 0
    #: Steps that have ended.
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    patience: int = PATIENCE
    #: A step outside a transaction is to run, or to be judged: where BEGIN is the lock, another is needed beside it.
    outside: bool = False
    lost: bool = False
    #: Tells whether the lock is still there, where another connection than this one has it ...
    has_lock: Callable[[], bool] = lambda: True
    #: ... and where it is this one, whose lock a function can give up.
    keeps_lock: Callable[[], bool] = lambda: True
    #: What each transaction begins with, where settings do not last longer.
    local: Sequence[str] = ()
    #: What was set in the session when the transaction began, if the next one may have another session.
    kept: Sequence[tuple[str, str]] = ()
    #: The step that others at work made fail, how often, and when that was the first time.
    tried: Step | None = None
    tries: int = 0
    tried_since: float = 0.0
    #: When the call began.
    began: float = field(default_factory=time.monotonic)
    #: Each COMMIT that got no answer.
    losses: list[LostAtCommitError] = field(default_factory=list[Any])

    def __post_init__(self) -> None:
        port, self.dialect = self.settings.ledger, self.settings.dialect
        ledger = port if isinstance(port, TableLedger) else PlainLedger(port, type(port).__qualname__)
        self.ledger = ledger.at(None, self.dialect)

    @property
    def done(self) -> str:
        """What a message can say of the steps of this call."""
        count = len(self.outcomes)
        return f"{counted(count, 'step')} of this call had been committed before" if count else "Nothing was run"

    @property
    def report(self) -> Report:
        """What happened so far."""
        return Report(tuple(self.outcomes), time.monotonic() - self.began)

    def emit(self, event: Event) -> None:
        """Tell who listens what happens."""
        (self.settings.on_event or log)(event)

    @property
    def is_lost(self) -> bool:
        """The connection is gone, and the server ends its session."""
        return self.lost or self.connection.invalidated or self.connection.closed

    def roll_back(self) -> str | None:
        """Roll back what is open. Return a warning if something could not be.

        A session that cannot even do that is lost, and the server rolls back when it ends.
        """
        if not self.is_lost:
            try:
                return self.dialect.rollback(self.connection)
            except DBAPIError:
                self.lost = True
        return None

    def finish(self, outcomes: Sequence[Outcome]) -> Record:
        """Report steps that are committed; return the last record."""
        self.tries = 0
        for outcome in outcomes:
            self.outcomes.append(outcome)
            try:
                self.emit(StepFinished(outcome))
            except Exception as error:
                reason = f"{outcome.step} is committed; then on_event failed: {type(error).__name__}: {error}"
                failed = {"step": str(outcome.step), "report": self.report, "rolled_back": False}
                raise MigrationFailed(reason, **failed) from error
        return self.outcomes[-1].record


class StoppedError(Exception):
    """A step did not come to its end, and the run may go on from there over another session."""

    def __init__(self, failure: MigrationFailed) -> None:
        super().__init__(str(failure))
        #: What is to be raised where it cannot.
        self.failure = failure
        #: The steps from that on, and what they follow; execute() knows.
        self.course: tuple[Sequence[Step], History | Record]

    def go_on(self, run: Run) -> tuple[Sequence[Step], History | Record]:
        """Return the course to go on with, or raise the failure."""
        raise NotImplementedError


class LostAtCommitError(StoppedError):
    """The connection was lost while a transaction was being committed: only the ledger tells whether it was."""

    def __init__(self, outcomes: Sequence[Outcome], failure: MigrationFailed) -> None:
        super().__init__(failure)
        #: What is to be reported if it was.
        self.outcomes = outcomes
        self.is_settled = False

    def go_on(self, run: Run) -> tuple[Sequence[Step], History | Record]:
        """Have it looked up under the lock."""
        run.losses.append(self)
        if len(run.losses) > PATIENCE:
            raise self.failure from self.__cause__
        return self.course


class InTheWayError(StoppedError):
    """A step was rolled back only because of others at work in the database, and can be tried again."""

    def __init__(self, step: Step, reason: str, blockers: Sequence[str], failure: MigrationFailed) -> None:
        super().__init__(failure)
        self.step, self.reason, self.blockers = step, reason, blockers

    def go_on(self, run: Run) -> tuple[Sequence[Step], History | Record]:
        """Pause, without session and lock."""
        if not has_another_try(run, self.step, self.reason, self.blockers):
            raise self.failure from self.__cause__
        return self.course


def has_another_try(run: Run, step: Step, reason: str, blockers: Sequence[str]) -> bool:
    """Pause, having said so, until a step is to be tried again. False: `retries` or `retry_timeout` are used up."""
    now, settings = time.monotonic(), run.settings
    if run.tries == 0 or run.tried != step:
        run.tried, run.tries, run.tried_since = step, 0, now
    run.tries += 1
    pause = min(_FIRST_PAUSE * 2 ** (run.tries - 1), _LONGEST_PAUSE) * random.uniform(0.5, 1.5)  # noqa: S311
    if run.tries > settings.retries or now + pause - run.tried_since > settings.retry_timeout:
        return False
    run.emit(Retrying(step, reason, run.tries, settings.retries + 1, pause, tuple(blockers)))
    time.sleep(pause)
    return True


def blockers_of(run: Run, statement: Statement | None) -> Sequence[str]:
    """Return who had locks on what a statement names, as far as the database tells."""
    try:
        return () if statement is None else run.dialect.blockers(run.connection, statement.text)
    except DBAPIError:
        return ()  # what the step failed with is worth more than who was in its way


def wait_for(run: Run, attempt: Callable[[], bool], holder: Callable[[], str | None] = lambda: None) -> None:
    """Repeat an attempt until it succeeds. A new row in ledger or journal restarts the clock.

    Raises MigrationInProgress when there was none for `acquire_timeout` seconds; `holder` says who is in the way.
    """
    begun = since = time.monotonic()
    patience = run.settings.acquire_timeout
    said, pause = begun - REMIND, _FIRST_WAIT
    seen: tuple[int, int] | None = None
    while not attempt():
        now = time.monotonic()
        progress = run.ledger.progress(run.connection)
        if progress != seen:
            seen, since = progress, now
        if now - since > patience or not run.dialect.waits:
            who, count = holder(), len(run.outcomes)
            raise MigrationInProgress(
                f"another migrator {f'made no progress for {patience:g} s' if run.dialect.waits else 'is at work'}"
                f"{f': {who}' if who else ''}. "
                f"{f'Steps of this call that are committed: {count}' if count else 'Nothing was run here'}; call again "
                "when it has ended",
                holder=who,
                report=run.report,
            )
        if now - said >= REMIND:
            said = now
            run.emit(Waiting(now - begun, holder()))
        time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, so that waiters spread out
        pause = min(pause * 1.5, _LONGEST_WAIT)


def _make_sure(run: Run) -> None:
    if not run.has_lock():
        raise LedgerConflict(
            "the connection beside this one (which a pooler may close: see idle_transaction_timeout of PgBouncer) that "
            "had the migration lock was lost"
        )


def begin(run: Run) -> None:
    """Open a transaction. Raises LedgerConflict if another connection had the lock, and has it no more."""
    _make_sure(run)
    wait_for(run, lambda: run.dialect.begin(run.connection))
    run.kept = run.dialect.kept(run.connection)
    set_local(run)


def set_local(run: Run) -> None:
    """Send what a transaction begins with."""
    for sql in run.local:
        send(run.connection, sql)


@contextmanager
def writing(run: Run) -> Generator[None]:
    """Run what is inside in a transaction."""
    begin(run)
    try:
        yield
        wait_for(run, lambda: run.dialect.commit(run.connection))
    except BaseException:
        run.roll_back()
        raise


def record_of(
    run: Run | None,
    about: Migration | Record,
    action: str,
    before: History | Record,
    **more: Any,  # noqa: ANN401
) -> Record:
    """Return the next record about a migration, or about what an earlier record says; `more` are other columns.

    Without a run, when it was and who it was are left open.
    """
    if isinstance(about, Record):
        marks = {name: getattr(about, name) for name in ("checksum", "fingerprint", "down_checksum")}
    else:
        marks = {"checksum": about.up.checksum}
        if about.down is not None and "down_checksum" not in more:
            marks["down_checksum"] = about.down.checksum
    values: dict[str, Any] = {**marks, "tool": VERSION}
    if run is not None:
        now = datetime.now(UTC)
        values |= {"started_at": now, "finished_at": None if action.startswith("begin_") else now}
        values |= {"applied_by": run.applied_by, "session": run.session}
    return linked(before, Record(before.seq + 1, about.version, about.name, action, **values | more))


def step_record(run: Run | None, step: Step, action: str, before: History | Record, **more: Any) -> Record:  # noqa: ANN401
    """Return the next record about a step; going up it carries the way back."""
    if step.direction == "up":
        more["fingerprint"], down = script_of(step).fingerprint or None, step.migration.down
        if down is not None and not isinstance(down, PythonBody):
            text = down.read()
            more |= {"down_sql": text, "down_checksum": checksum_of(text)}
    return record_of(run, step.migration, action, before, **more)


def append(
    run: Run, about: Migration | Record, action: str, before: History | Record, reason: str, mark: str | None = None
) -> Record:
    """Append a record of what was said, not run; `mark` is the fingerprint, where it is not that of `about`."""
    more = {} if mark is None else {"fingerprint": mark}
    record = record_of(run, about, action, before, reason=reason, **more)
    run.ledger.append(run.connection, record)
    return record


def give_up(run: Run, step: Step, before: History | Record, reason: str) -> None:
    """Close a step that began and of which nothing is left, so that it can simply run again."""
    append(run, step.migration, f"resolve_{'un' if step.direction == 'up' else ''}applied", before, reason)


def script_of(step: Step) -> Script:
    """Return what is known of a step's script."""
    assert step.script is not None  # noqa: S101 - plans are checked before they are carried out
    return step.script


def statements_of(step: Step, grammar: Grammar) -> Iterator[Statement]:
    """Yield the statements of a step. Raises SourceError if its file is not what was looked at before."""
    text, script = step.body.read(), script_of(step)
    if checksum_of(text) != script.checksum:
        raise SourceError([Problem(step.body.origin, None, CHANGED)])
    if isinstance(step.body, PythonBody):  # one statement, as far as we are concerned
        return iter([Statement(text or step.body.origin, 1, 0, 1, 1, ())])
    found = statements(text, grammar) if script.kept is None else script.kept
    return (s for s in found if script.first <= s.ordinal <= script.last)


def is_whole(script: Script, dialect: Dialect) -> bool:
    """Tell whether the statements of a script take effect, or not, in one transaction."""
    return not script.no_transaction and (dialect.transactional_ddl or script.atomic)


def traits_of(run: Run, step: Step, statement: Statement) -> Traits:
    """Return what a statement does to its transaction and session; of a function nothing is known."""
    return _FUNCTION if isinstance(step.body, PythonBody) else run.dialect.traits(statement)


class Tracker:
    """Where a run is, for the error that may come."""

    def __init__(self, run: Run, step: Step) -> None:
        self.run, self.step = run, step
        self.statement: Statement | None = None
        self.clock = 0.0

    def enter(self, step: Step) -> None:
        """Be at the start of a step."""
        self.step, self.statement = step, None
        self.began, self.began_at = time.monotonic(), datetime.now(UTC)
        self.run.emit(StepStarted(step))

    def end(self, before: History | Record, began_at: datetime | None = None) -> Outcome:
        """Append the record of a step that ran; return what is to be reported when that is committed."""
        step = self.step
        record = step_record(self.run, step, step.direction, before, started_at=began_at or self.began_at)
        self.run.ledger.append(self.run.connection, record)
        if record.down_sql is not None:  # a report of a thousand steps shall not hold a thousand scripts
            record = replace(record, down_sql=None)
        return Outcome(step, record, script_of(step).count, time.monotonic() - self.began)

    def send(self, statement: Statement, *, in_transaction: bool = True) -> None:
        """Send a statement, and make sure that it did not end the transaction that it runs in."""
        _make_sure(self.run)
        self.statement, self.clock = statement, time.monotonic()
        # Not through send(): a traceback is part of the interface, and is kept short.
        if isinstance(self.step.body, PythonBody):
            self._call(self.step.body, statement.text)
        else:
            result = self.run.connection.exec_driver_sql(statement.text, execution_options=AS_WRITTEN)
            if result.returns_rows:
                _drain(self.run, result)
        if in_transaction and not self.run.dialect.in_transaction(self.run.connection):
            raise StepError("the statement ended the transaction (ON CONFLICT ROLLBACK or RAISE(ROLLBACK))")

    def keep_lock(self) -> None:
        """Make sure that a function that was called has not given up the lock."""
        if not self.run.keeps_lock():
            raise StepError("a function gave up the lock that keeps other migrators out: leave that out")

    def _call(self, body: PythonBody, text: str) -> None:
        """Call a function, and make sure that it did not end the transaction either."""
        connection = self.run.connection
        if self.step.transactional:
            send(connection, f"SAVEPOINT {_MARK}")
        try:
            call(body, connection, text, transaction=not script_of(self.step).no_transaction)
        finally:
            if not connection.connection.is_valid:  # the function lost what both connections stand on
                connection.invalidate()
        if connection.invalidated:
            raise StepError("the function lost the connection of the step")
        if self.step.transactional:
            try:
                send(connection, f"RELEASE SAVEPOINT {_MARK}")
            except DBAPIError as error:
                kind = StepError if self.run.dialect.is_spoiled(error) else EndedError
                raise kind("the function ended or spoiled the transaction of the step") from error

    def leave(self) -> None:
        """Report a statement whose effect is as certain as it can be."""
        if self.statement is not None:
            ordinal, self.statement = self.statement.ordinal, None
            last, seconds = script_of(self.step).last, time.monotonic() - self.clock
            self.run.emit(StatementFinished(self.step, ordinal, last, seconds))

    def failure(self, error: Exception, state: str, *, rolled_back: bool) -> MigrationFailed:
        """Return the error that says where a step failed, why, what is left, and what to do."""
        statement, step, dialect, before = self.statement, self.step, self.run.dialect, len(self.run.outcomes)
        place, excerpt, hint, at, line, column = step.body.origin, "", None, None, None, None
        reason = f"{type(error).__name__}: {error}"
        if isinstance(step.body, PythonBody) and statement is not None:
            statement, line = None, line_of(step.body, error.__traceback__)
            if line is not None:
                place, excerpt = f"{step.body.filename}:{line}", _excerpt(step, line)
        if isinstance(error, DBAPIError):
            reason, hint = dialect.message(error), dialect.hint(error)
            at = dialect.locate(error, statement) if statement is not None else None
        elif isinstance(error, MigrationError | StepError):
            reason = error.reason if isinstance(error, SourceError) else str(error)
        if statement is not None:
            line, column = position(statement.text, at or 0)
            line, column = line + statement.line - 1, column + (statement.column - 1 if line == 1 else 0)
            place, excerpt = f"{place}:{line}:{column}", _excerpt(step, line, column)
        which = f"statement {statement.ordinal} failed: " if statement is not None else "failed: "
        again = "Correct the cause and call again" if rolled_back else "status() tells what to do"
        if rolled_back and any(outcome.step.direction == "down" for outcome in self.run.outcomes):
            again = "Correct the cause, look at status(), and go on with goto(): the same call would go back further"
        where = f"{'is' if before == 1 else 'are'} {'committed' if dialect.waits else 'done in your transaction'}"
        ran = f"{counted(before, 'step')} of this call before it {where}. " if before else ""
        return MigrationFailed(
            f"{place}: {step}: {which}{reason}{excerpt}\n{f'Hint: {hint}. ' if hint else ''}{state}. {ran}{again}",
            step=str(step),
            statement=statement.ordinal if statement is not None else None,
            line=line,
            column=column,
            report=self.run.report,
            rolled_back=rolled_back,
        )


def _drain(run: Run, result: CursorResult[Any]) -> None:
    """Read all that a statement answers; what it fails with there is an error of the statement as any other."""
    connection, driver = run.connection, run.connection.dialect.loaded_dbapi
    cursor: Any = result.cursor
    try:
        run.dialect.drain(cursor)
    except driver.Error as error:
        if connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, cursor):
            connection.invalidate()
        raise DBAPIError.instance(None, None, error, driver.Error, dialect=connection.dialect) from error  # type: ignore[call-overload,unused-ignore]
    result.close()


def _excerpt(step: Step, line: int, column: int = 0) -> str:
    """Return the line with a caret under the column, if there is one; long lines are cut around it."""
    try:
        text = step.body.read()
    except SourceError:
        return ""  # the file is gone meanwhile; what failed is worth more than how it looked
    if not text or checksum_of(text) != script_of(step).checksum:
        return ""
    source = text.split("\n")[line - 1].rstrip("\r")
    begin = max(column - 1 - 100, 0)
    shown = source[begin : begin + 160]
    pad = "".join("\t" if c == "\t" else " " for c in source[begin : column - 1])
    return f"\n{line:>6} | {shown}" + (f"\n       | {pad}^" if column else "")


def log(event: Event) -> None:
    """Tell the logger "dbmigrate" what happens; handlers and levels are the application's."""
    if isinstance(event, Waiting):
        _LOGGER.info("waiting for another migrator, %.0f s: %s", event.seconds, event.holder or "unknown")
    elif isinstance(event, Retrying):
        whom = "; ".join(event.blockers) or "unknown"
        tries = f"try {event.tries} of {event.most}, next in {event.pause:.1f} s"
        _LOGGER.warning("%s: %s (%s); in its way: %s", event.step, event.error, tries, whom)
    elif isinstance(event, StepStarted):
        _LOGGER.info("%s: started", event.step)
    elif isinstance(event, StepFinished):
        _LOGGER.info("%s: done in %.3f s", event.outcome.step, event.outcome.seconds)
