"""Carry out a plan. Besides this loop only the one in journal.py changes anything.

Laws of this file: what runs was decided before; a transactional step and its record commit together, any other step is
journalled (journal.py); whatever goes wrong, the error says what is left in the database.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from dbmigrate.errors import LedgerConflict, MigrationInProgress, SourceError
from dbmigrate.journal import journalled
from dbmigrate.model import Outcome, Record, StepStarted
from dbmigrate.run import Run, Tracker, failure, script_of, statements_of, step_record, wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbmigrate.model import Step
    from dbmigrate.plan import History


def execute(run: Run, steps: Sequence[Step], before: History | Record, *, together: bool = False) -> None:
    """Run steps in order, appending to `run.outcomes`; each in its own transaction, or all `together` in one.

    Stops early behind a step that may have changed the session: the rest wants a new one. Raises LedgerConflict if
    another runner was faster, MigrationFailed if a step fails; nothing of that step is left unless the error says so.
    """
    batches = [steps] if together else [[step] for step in steps]
    for number, batch in enumerate(batches, 1):
        before = _in_transaction(run, batch, before) if batch[0].transactional else journalled(run, batch[0], before)
        if number < len(batches) and any(script_of(step).changes_session for step in batch):
            return


def _in_transaction(run: Run, batch: Sequence[Step], before: History | Record) -> Record:
    """Run steps and append their records in one transaction."""
    head = before.seq
    tracker = Tracker(batch[0])
    finished: list[Outcome] = []
    off = any(script_of(step).foreign_keys_off for step in batch)
    with run.dialect.foreign_keys_off(run.connection) if off else nullcontext(_nothing) as check_foreign_keys:
        try:
            wait_for(run, lambda: run.dialect.begin(run.connection))
            if run.dialect.begin_is_the_lock and run.ledger.head(run.connection) != head:
                raise LedgerConflict("another runner was faster")  # noqa: TRY301 - handled with all the others
            for step in batch:
                tracker.enter(step)
                started, clock = datetime.now(UTC), time.monotonic()
                run.emit(StepStarted(step))
                for statement in statements_of(run, step):
                    tracker.send(run, statement)
                    tracker.leave(run)
                check_foreign_keys()
                record = step_record(run, step, step.direction, before, started, datetime.now(UTC))
                run.ledger.append(run.connection, record)
                finished.append(Outcome(step, record, script_of(step).count, time.monotonic() - clock))
                before = record
            tracker.committing = True
            wait_for(run, lambda: run.dialect.commit(run.connection))
        except BaseException as error:
            raised = _undone(run, tracker, head, error)
            if raised is error:
                raise
            raise raised from error
    return run.finish(finished)


def _nothing() -> None:
    """Check nothing."""


def _undone(run: Run, tracker: Tracker, head: int, error: BaseException) -> BaseException:
    """Roll back, and say what the error amounts to: a conflict to plan again from, or a failure."""
    left = run.roll_back()
    if not isinstance(error, Exception) or isinstance(error, MigrationInProgress):
        return error
    if run.is_lost:
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
    if isinstance(error, SourceError) and not run.outcomes:
        return error
    state = "The step was rolled back: nothing of it is left"
    if left is not None:
        state = f"The step was rolled back, but not all of it: {left}"
    return failure(run, tracker, error, state, rolled_back=left is None)
