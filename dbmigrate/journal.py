"""Steps outside a transaction: journalled statement by statement, so that a crash leaves at most one in doubt.

The record `begin_*` opens such a step, and the record of its end closes it; in between the journal has `started`
before and `done` or `failed` behind every statement.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from sqlalchemy.exc import DBAPIError

from dbmigrate.errors import HistoryError, LedgerConflict, LedgerError, SourceError
from dbmigrate.model import JournalEntry, Outcome, Record, StepStarted
from dbmigrate.plan import unfinished
from dbmigrate.run import Run, Tracker, failure, record_of, script_of, statements_of, step_record, writing
from dbmigrate.script import ALGORITHM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbmigrate.model import Step
    from dbmigrate.plan import History
    from dbmigrate.scanner import Statement


State = Literal["started", "done", "failed"]


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
    journal = _Journal(run, begun or step_record(run, step, f"begin_{step.direction}", before, started), known)
    tracker = Tracker(step)
    done = {entry.ordinal: entry.statement_hash for entry in known if entry.state == "done"}
    try:
        run.emit(StepStarted(step))
        if begun is None:
            journal.open()
            run.ledger.append(run.connection, journal.record)
        for statement in statements_of(run, step):
            traits = run.dialect.traits(statement)
            if statement.ordinal in done:
                if traits.session == "set":  # the session that did it is gone
                    journal.close()
                    tracker.send(run, statement, in_transaction=False)
                    tracker.leave(run)
                continue
            journal.open()
            if traits.atomic:
                journal.flush()
                tracker.send(run, statement, in_transaction=False)
                journal.add(statement, "done")
                journal.close()  # which may fail, and take the statement with it
            else:
                journal.add(statement, "started")
                journal.flush()
                if not traits.commits_before:
                    journal.close()
                tracker.send(run, statement, in_transaction=False)
                journal.is_open = False
                journal.add(statement, "done")
            tracker.leave(run)
        journal.open()
        journal.flush()
        began = journal.record.started_at or started
        record = step_record(run, step, step.direction, journal.record, began, datetime.now(UTC))
        run.ledger.append(run.connection, record)
        journal.close()
    except BaseException as error:
        raised = _interrupted(run, tracker, journal, error)
        if raised is error:
            raise
        raise raised from error
    return run.finish([Outcome(step, record, script_of(step).count, time.monotonic() - clock)])


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

    def add(self, statement: Statement, state: State, error: str | None = None) -> None:
        """Know one thing more."""
        number = len(self.entries) + 1
        mark = statement_hash(statement)
        entry = JournalEntry(self.record.seq, number, statement.ordinal, mark, state, error)
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


def _interrupted(run: Run, tracker: Tracker, journal: _Journal, error: BaseException) -> BaseException:
    """Write down what is known of a non-transactional step that stopped, and say what the error amounts to."""
    left = run.roll_back()
    if not isinstance(error, Exception):
        return error  # the journal says which statement was under way
    if run.is_lost:
        state = "The connection was lost. When the server is back status() tells whether the step is unfinished"
        return failure(run, tracker, error, state, rolled_back=False)
    try:
        return _written_down(run, tracker, journal, error, left)
    except LedgerError as trouble:
        state = f"Ledger and journal could not be used behind it ({trouble}): status() tells what is known"
        return failure(run, tracker, error, state, rolled_back=False)


def _written_down(run: Run, tracker: Tracker, journal: _Journal, error: Exception, left: str | None) -> Exception:
    head, statement = run.ledger.head(run.connection), tracker.statement
    if isinstance(error, LedgerConflict) or head > journal.record.seq:
        return error if isinstance(error, LedgerConflict) else LedgerConflict("another runner was faster")
    rest = f"; but {left}" if left else ""
    if head < journal.record.seq:  # the begin was rolled back too, so nothing else was committed
        if isinstance(error, SourceError) and not run.outcomes:
            return error
        return failure(run, tracker, error, f"Nothing of the step was committed{rest}", rolled_back=left is None)
    if statement is not None and isinstance(error, DBAPIError):
        traits = run.dialect.traits(statement)
        if journal.entries and journal.entries[-1].ordinal == statement.ordinal and traits.atomic:
            journal.entries.pop()  # it was done, and its COMMIT failed
        refused = traits.session != "unknown" and run.dialect.had_no_effect(error)
        state: State = "started" if traits.partial and not refused else "failed"
        journal.add(statement, state, run.dialect.message(error))
    journal.write_missing()
    states = [entry.state for entry in journal.entries]
    if not journal.resumed and left is None and "done" not in states and states[-1:] != ["started"]:
        _nothing_happened(run, tracker.step, journal.record)
        return failure(run, tracker, error, "No statement of the step took effect", rolled_back=True)
    finding = unfinished(journal.record, journal.entries)
    return failure(run, tracker, error, f"The step stays unfinished: {finding}{rest}", rolled_back=False)


def _nothing_happened(run: Run, step: Step, begun: Record) -> None:
    """Close a step of which no statement took effect, so that it can simply run again."""
    now = datetime.now(UTC)
    action = "resolve_unapplied" if step.direction == "up" else "resolve_applied"
    reason = "no statement of the step took effect"
    with writing(run):
        record = record_of(run, step.migration, action, begun, started_at=now, finished_at=now, reason=reason)
        run.ledger.append(run.connection, record)


def check_resumable(run: Run, step: Step, begun: Record, known: Sequence[JournalEntry]) -> None:
    """Raise HistoryError unless a step can go on behind the last statement known to be done.

    What ran must be what the script still begins with; later statements may have been corrected. What only lives in
    a session (a temporary table, a prepared statement) is gone and cannot be gone on with.
    """
    finding = unfinished(begun, known)
    if finding.in_doubt:
        raise HistoryError([finding], "a statement is in doubt")
    done = {entry.ordinal: entry.statement_hash for entry in known if entry.state == "done"}
    for statement in statements_of(run, step):
        expected = done.pop(statement.ordinal, None)
        if expected is None:
            break
        where = f"{step.body.origin}:{statement.line}: statement {statement.ordinal}"
        if expected != statement_hash(statement):
            raise HistoryError([finding], f"{where} ran already, and was edited since: restore it")
        if run.dialect.traits(statement).session == "lost":
            raise HistoryError(
                [finding],
                f"{where} made something that ended with its session, so the rest cannot go on: finish or undo the "
                f'step by hand, then call resolve("{begun.version}", applied=..., reason=...)',
            )
    if done:
        raise HistoryError(
            [finding], f"{step.body.origin}: statements that ran already are no longer in it: restore them"
        )
