"""Carry out a plan: the only loop that changes anything.

Laws of this file: what runs was decided before; a transactional step and its record commit together; every statement
of any other step is in the journal before it is sent and after it has answered; whatever goes wrong, the error says
what is left in the database.
"""

from __future__ import annotations

import random
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from dbmigrate.dialects.base import send
from dbmigrate.errors import HistoryError, LedgerConflict, MigrationError, MigrationFailed, MigrationInProgress
from dbmigrate.model import (
    VERSION,
    JournalEntry,
    Outcome,
    Record,
    Report,
    StatementFinished,
    StepFinished,
    StepStarted,
    Waiting,
)
from dbmigrate.plan import linked, unfinished
from dbmigrate.scanner import position
from dbmigrate.script import ALGORITHM, selected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy.engine import Connection

    from dbmigrate.dialects import Dialect
    from dbmigrate.ledger import TableLedger
    from dbmigrate.model import Event, Step
    from dbmigrate.plan import History
    from dbmigrate.scanner import Statement
    from dbmigrate.script import Script

_FIRST_WAIT, _LONGEST_WAIT, _REMIND = 0.05, 1.0, 10.0  # seconds


@dataclass(slots=True)
class Run:
    """One connection that is ours, and what is done over it."""

    connection: Connection
    dialect: Dialect
    ledger: TableLedger
    emit: Callable[[Event], None]
    acquire_timeout: float
    applied_by: str
    session: str | None
    #: Steps that have ended, over all connections of the call.
    outcomes: list[Outcome] = field(default_factory=list)
    #: How often a transaction may still be tried again because of another one.
    patience: int = 0


@contextmanager
def locked(run: Run, key: str) -> Iterator[None]:
    """Hold the migration lock; poll for it, holding no transaction.

    Raises MigrationInProgress when nobody made progress for `acquire_timeout` seconds.
    """
    if run.dialect.begin_is_the_lock:
        yield
        return
    wait_for(run, lambda: run.dialect.try_lock(run.connection, key), lambda: run.dialect.holder(run.connection, key))
    try:
        yield
    finally:
        # A broken connection has given the lock up, or will: the server ends the session.
        if not run.connection.invalidated:
            run.dialect.unlock(run.connection, key)


def wait_for(run: Run, attempt: Callable[[], bool], holder: Callable[[], str | None] = lambda: None) -> None:
    """Repeat an attempt until it succeeds. A new row in ledger or journal restarts the clock.

    Raises MigrationInProgress when there was none for `acquire_timeout` seconds; `holder` says who is in the way.
    """
    begun = since = time.monotonic()
    said, pause = begun - _REMIND, _FIRST_WAIT
    seen: tuple[int, int] | None = None
    while not attempt():
        now = time.monotonic()
        progress = run.ledger.progress(run.connection)
        if progress != seen:
            seen, since = progress, now
        elif now - since > run.acquire_timeout:
            who = holder()
            raise MigrationInProgress(
                f"another migrator made no progress for {run.acquire_timeout:g} s{f': {who}' if who else ''}. Nothing "
                "was run here; call again when it has ended",
                holder=who,
            )
        if now - said >= _REMIND:
            said = now
            run.emit(Waiting(now - begun, holder()))
        time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, so that waiters spread out
        pause = min(pause * 1.5, _LONGEST_WAIT)


def execute(run: Run, steps: Sequence[Step], history: History, *, together: bool = False) -> bool:
    """Run steps in order, appending to `run.outcomes`; each in its own transaction, or all `together` in one.

    Returns False if it stopped early because a step may have changed the session: the rest wants a new one. Raises
    LedgerConflict if another runner was faster, MigrationFailed if a step fails; nothing of that step is left unless
    the error says so.
    """
    before: History | Record = history
    batches = [steps] if together else [[step] for step in steps]
    for number, batch in enumerate(batches, 1):
        if batch[0].transactional:
            before = _in_transaction(run, batch, before)
        else:
            before = journalled(run, batch[0], before)
        if number < len(batches) and any(_script(step).changes_session for step in batch):
            return False
    return True


def _in_transaction(run: Run, batch: Sequence[Step], before: History | Record) -> Record:
    """Run steps and append their records in one transaction."""
    head = _seq(before)
    tracker = _Tracker(batch[0])
    finished: list[Outcome] = []
    off = any(_script(step).foreign_keys_off for step in batch)
    with run.dialect.foreign_keys_off(run.connection) if off else nullcontext(_nothing) as check_foreign_keys:
        try:
            wait_for(run, lambda: run.dialect.begin(run.connection))
            if run.dialect.begin_is_the_lock and run.ledger.head(run.connection) != head:
                raise LedgerConflict("another runner was faster")  # noqa: TRY301 - handled with all the others
            for step in batch:
                tracker.enter(step)
                started, clock = datetime.now(UTC), time.monotonic()
                run.emit(StepStarted(step))
                for statement in selected(step.body.read(), run.dialect.grammar, _script(step)):
                    tracker.send(run, statement)
                check_foreign_keys()
                record = _record(run, step, step.direction, before, started, finished_at=datetime.now(UTC))
                run.ledger.append(run.connection, record)
                finished.append(Outcome(step, record, _script(step).count, time.monotonic() - clock))
                before = record
            tracker.committing = True
            wait_for(run, lambda: run.dialect.commit(run.connection))
        except BaseException as error:
            raise _undone(run, tracker, head, error) from error
    return _finish(run, finished)


def _nothing() -> None:
    """Check nothing."""


def _seq(before: History | Record) -> int:
    return before.seq if isinstance(before, Record) else before.head


def _script(step: Step) -> Script:
    assert step.script is not None  # noqa: S101 - plans are checked before they are carried out
    return step.script


def _finish(run: Run, finished: Sequence[Outcome]) -> Record:
    for outcome in finished:
        run.outcomes.append(outcome)
        run.emit(StepFinished(outcome))
    return finished[-1].record


def _record(
    run: Run, step: Step, action: str, before: History | Record, started: datetime, **more: object
) -> Record:
    m = step.migration
    record = Record(
        seq=_seq(before) + 1,
        version=m.version,
        name=m.name,
        action=action,
        checksum=m.up.checksum,
        fingerprint=_script(step).fingerprint if step.direction == "up" else None,
        down_checksum=m.down.checksum if m.down else None,
        started_at=started,
        applied_by=run.applied_by,
        session=run.session,
        tool=VERSION,
        down_sql=m.down.read() if m.down and action in ("up", "begin_up") else None,
    )
    return linked(before, replace(record, **more))  # type: ignore[arg-type]


class _Tracker:
    """Where a run is, for the error that may come."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.statement: Statement | None = None
        self.committing = False

    def enter(self, step: Step) -> None:
        self.step, self.statement = step, None

    def send(self, run: Run, statement: Statement, *, in_transaction: bool = True) -> None:
        """Send a statement, and make sure that it did not end the transaction that it runs in."""
        self.statement = statement
        clock = time.monotonic()
        send(run.connection, statement.text).close()
        if in_transaction and not run.dialect.in_transaction(run.connection):
            raise _TransactionEndedError("the statement ended the transaction (ON CONFLICT ROLLBACK or RAISE(ROLLBACK))")
        run.emit(StatementFinished(self.step, statement.ordinal, _script(self.step).last, time.monotonic() - clock))
        self.statement = None


class _TransactionEndedError(Exception):
    """A statement ended the transaction that it ran in."""


def _undone(run: Run, tracker: _Tracker, head: int, error: BaseException) -> BaseException:
    """Roll back, and say what the error amounts to: a conflict to plan again from, or a failure."""
    lost = run.connection.invalidated or run.connection.closed
    left = None if lost else run.dialect.rollback(run.connection)
    if not isinstance(error, Exception) or isinstance(error, MigrationInProgress):
        return error
    if lost:
        state = (
            "The connection was lost at COMMIT: status() tells whether the step is applied"
            if tracker.committing
            else "The connection was lost, and the server rolls the step back: nothing of it stays"
        )
        return failure(run, tracker, error, state, rolled_back=not tracker.committing)
    if isinstance(error, LedgerConflict) or run.ledger.head(run.connection) != head:
        return error if isinstance(error, LedgerConflict) else LedgerConflict("another runner was faster")
    if isinstance(error, DBAPIError) and run.dialect.is_transient(error) and run.patience > 0:
        return LedgerConflict("another transaction was in the way")
    if isinstance(error, MigrationError) and not run.outcomes:
        return error
    state = "The step was rolled back: nothing of it is left"
    if left is not None:
        state = f"The step was rolled back, but not all of it: {left}"
    return failure(run, tracker, error, state, rolled_back=left is None)


def failure(run: Run, tracker: _Tracker, error: Exception, state: str, *, rolled_back: bool) -> MigrationFailed:
    """Return the error that says where a step failed, why, what is left, and what to do."""
    statement, step = tracker.statement, tracker.step
    place, excerpt, line, column = step.body.origin, "", None, None
    reason = run.dialect.message(error) if isinstance(error, DBAPIError) else f"{type(error).__name__}: {error}"
    if isinstance(error, MigrationError | _TransactionEndedError | ValueError):
        reason = str(error)
    hint = run.dialect.hint(error) if isinstance(error, DBAPIError) else None
    if statement is not None:
        at = run.dialect.locate(error, statement) if isinstance(error, DBAPIError) else None
        text = step.body.read()
        line, column = position(text, statement.offset + (at or 0))
        place, excerpt = f"{place}:{line}:{column}", f"\n{_excerpt(text, line, column)}"
    which = f"statement {statement.ordinal} failed: " if statement is not None else "failed: "
    before = len(run.outcomes)
    return MigrationFailed(
        f"{place}: {step}: {which}{reason}{excerpt}\n{f'Hint: {hint}. ' if hint else ''}{state}. "
        f"{before} step{'' if before == 1 else 's'} of this call before it {'is' if before == 1 else 'are'} committed. "
        + ("Correct the cause and call again" if rolled_back else "status() tells what to do"),
        step=str(step),
        statement=statement.ordinal if statement is not None else None,
        line=line,
        column=column,
        report=Report(tuple(run.outcomes)),
        rolled_back=rolled_back,
    )


def _excerpt(text: str, line: int, column: int) -> str:
    """Return the line with a caret under the column; long lines are cut around it."""
    source = text.split("\n")[line - 1].rstrip("\r")
    begin = max(column - 1 - 100, 0)
    shown = source[begin : begin + 160]
    pad = "".join("\t" if c == "\t" else " " for c in source[begin : column - 1])
    return f"{line:>6} | {shown}\n       | {pad}^"


def statement_hash(statement: Statement) -> str:
    """Return SHA-256 of a statement as it is sent, with its tag."""
    return ALGORITHM + sha256(statement.text.encode()).hexdigest()


def journalled(
    run: Run, step: Step, before: History | Record, begun: Record | None = None, known: Sequence[JournalEntry] = ()
) -> Record:
    """Run a step outside a transaction, journalling every statement; or go on with one that did not end.

    A statement that rolls back with its transaction commits together with its `done`: nothing about it is ever in
    doubt. Any other is `started`, committed, before it is sent, and `done` in the next transaction. Where the database
    commits before the statement by itself, `started` rides on that commit.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    journal = _Journal(run, begun or _record(run, step, f"begin_{step.direction}", before, started), known)
    tracker = _Tracker(step)
    done = {entry.ordinal: entry.statement_hash for entry in known if entry.state == "done"}
    try:
        run.emit(StepStarted(step))
        if begun is None:
            journal.open()
            run.ledger.append(run.connection, journal.record)
        for statement in selected(step.body.read(), run.dialect.grammar, _script(step)):
            traits = run.dialect.traits(statement)
            if statement.ordinal in done:
                if traits.session == "set":  # the session that did it is gone
                    journal.close()
                    tracker.send(run, statement, in_transaction=False)
                continue
            journal.open()
            if traits.atomic:
                journal.flush()
                tracker.send(run, statement, in_transaction=False)
                journal.add(statement, "done")
                journal.close()
            else:
                journal.add(statement, "started")
                journal.flush()
                if not traits.commits_before:
                    journal.close()
                tracker.send(run, statement, in_transaction=False)
                journal.is_open = False
                journal.add(statement, "done")
        journal.open()
        journal.flush()
        began = journal.record.started_at or started
        record = _record(run, step, step.direction, journal.record, began, finished_at=datetime.now(UTC))
        run.ledger.append(run.connection, record)
        journal.close()
    except BaseException as error:
        raise _interrupted(run, tracker, journal, error) from error
    return _finish(run, [Outcome(step, record, _script(step).count, time.monotonic() - clock)])


class _Journal:
    """The journal of one step: what is known, and what of it is not written yet."""

    def __init__(self, run: Run, record: Record, known: Sequence[JournalEntry]) -> None:
        self.run, self.record, self.resumed = run, record, bool(known)
        self.entries, self.unwritten = list(known), list[JournalEntry]()
        self.is_open = False

    def open(self) -> None:
        """Begin a transaction, unless one is open."""
        if not self.is_open:
            self.run.dialect.begin(self.run.connection)
            self.is_open = True

    def close(self) -> None:
        """Write what is known, and commit."""
        self.flush()
        if self.is_open:
            self.run.dialect.commit(self.run.connection)
            self.is_open = False

    def add(self, statement: Statement, state: str, error: str | None = None) -> None:
        """Know one thing more."""
        number = len(self.entries) + 1
        mark = statement_hash(statement)
        entry = JournalEntry(self.record.seq, number, statement.ordinal, mark, state, error)  # type: ignore[arg-type]
        self.entries.append(entry)
        self.unwritten.append(entry)

    def flush(self) -> None:
        """Insert what is not written yet; it is safe with the next commit."""
        if self.unwritten:
            self.open()
            self.run.ledger.note(self.run.connection, self.unwritten)
            self.unwritten = []

    def write_missing(self) -> None:
        """Insert what a rollback took away."""
        written = {entry.entry for entry in self.run.ledger.journal(self.run.connection, self.record.seq)}
        self.unwritten = [entry for entry in self.entries if entry.entry not in written]
        self.close()


def _interrupted(run: Run, tracker: _Tracker, journal: _Journal, error: BaseException) -> BaseException:
    """Write down what is known of a non-transactional step that stopped, and say what the error amounts to."""
    statement = tracker.statement
    if not isinstance(error, Exception):
        return error  # the session is closed; the journal says which statement was under way
    if run.connection.invalidated or run.connection.closed:
        state = "The connection was lost; the journal has what is known. Call resume() when the server is back"
        return failure(run, tracker, error, state, rolled_back=False)
    run.dialect.rollback(run.connection)
    head = run.ledger.head(run.connection)
    if head < journal.record.seq:  # the begin was rolled back too, so nothing else was committed
        if isinstance(error, LedgerConflict | MigrationError) and not run.outcomes:
            return error
        return failure(run, tracker, error, "Nothing of the step was committed", rolled_back=True)
    if head > journal.record.seq or isinstance(error, LedgerConflict):
        return error if isinstance(error, LedgerConflict) else LedgerConflict("another runner was faster")
    partial = False
    if statement is not None and isinstance(error, DBAPIError):
        partial = run.dialect.traits(statement).partial
        journal.entries = [e for e in journal.entries if not (e.ordinal == statement.ordinal and e.state == "done")]
        journal.add(statement, "started" if partial else "failed", run.dialect.message(error))
    journal.write_missing()
    if not journal.resumed and not partial and not any(entry.state == "done" for entry in journal.entries):
        _nothing_happened(run, tracker.step, journal.record)
        return failure(run, tracker, error, "No statement of the step took effect", rolled_back=True)
    finding = unfinished(journal.record, journal.entries)
    return failure(run, tracker, error, f"The step stays unfinished: {finding}", rolled_back=False)


def _nothing_happened(run: Run, step: Step, begun: Record) -> None:
    """Close a step of which no statement took effect, so that it can simply run again."""
    now = datetime.now(UTC)
    action = "resolve_unapplied" if step.direction == "up" else "resolve_applied"
    reason = "no statement of the step took effect"
    run.dialect.begin(run.connection)
    run.ledger.append(run.connection, _record(run, step, action, begun, now, finished_at=now, reason=reason))
    run.dialect.commit(run.connection)


def check_resumable(dialect: Dialect, step: Step, begun: Record, known: Sequence[JournalEntry]) -> None:
    """Raise HistoryError unless a step can go on behind the last statement known to be done.

    What ran must be what the script still begins with; later statements may have been corrected. What only lives in
    a session (a temporary table, a prepared statement) is gone and cannot be gone on with.
    """
    finding = unfinished(begun, known)
    if finding.in_doubt:
        raise HistoryError([finding], "a statement is in doubt")
    done = {entry.ordinal: entry.statement_hash for entry in known if entry.state == "done"}
    for statement in selected(step.body.read(), dialect.grammar, _script(step)):
        expected = done.pop(statement.ordinal, None)
        if expected is None:
            break
        where = f"{step.body.origin}:{statement.line}: statement {statement.ordinal}"
        if expected != statement_hash(statement):
            raise HistoryError([finding], f"{where} ran already, and was edited since: restore it")
        if dialect.traits(statement).session == "lost":
            raise HistoryError(
                [finding],
                f"{where} made something that ended with its session, so the rest cannot go on: finish or undo the step "
                f'by hand, then call resolve("{begun.version}", applied=..., reason=...)',
            )
    if done:
        raise HistoryError([finding], f"{step.body.origin}: statements that ran already are no longer in it: restore them")
