"""Carry out a plan. Besides this loop only the one in journal.py changes anything.

Laws of this file: what runs was decided before; a transactional step and its record commit together, any other step is
journalled (journal.py); whatever goes wrong, the error says what is left in the database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress

from sqlalchemy.exc import DBAPIError

from dbmigrate.dialects.base import EndedError
from dbmigrate.errors import (
    ConfigurationError,
    LedgerConflict,
    LedgerError,
    MigrationError,
    MigrationInProgress,
    SourceError,
    counted,
)
from dbmigrate.ledger import TableLedger
from dbmigrate.model import Outcome, Record, Step
from dbmigrate.plan import History, unfinished
from dbmigrate.python import PythonBody
from dbmigrate.run import (
    FASTER,
    InTheWayError,
    LostAtCommitError,
    Run,
    StoppedError,
    Tracker,
    begin,
    blockers_of,
    give_up,
    is_whole,
    script_of,
    set_local,
    statements_of,
    step_record,
    wait_for,
    writing,
)


def execute(
    run: Run, steps: Sequence[Step], before: History | Record, *, together: bool = False
) -> tuple[Sequence[Step], History | Record]:
    """Run steps in order, appending to `run.outcomes`; each in its own transaction, or all `together` in one.

    Stops behind a step that may have changed the session: the rest, which is returned with what it follows, wants a new
    one. Raises LedgerConflict if another runner was faster, LostAtCommitError if it is not known whether a step was
    committed and InTheWayError if one can be tried again, MigrationFailed if a step fails; nothing of that step is left
    unless the error says so.
    """
    admit(run, steps)
    place = 0
    while place < len(steps):
        batch = steps if together else steps[place : place + 1]
        if batch[0].transactional:
            try:
                before = _in_transaction(run, batch, before)
            except StoppedError as stopped:
                stopped.course = (steps[place:], before)
                raise
        elif isinstance(run.ledger, TableLedger):
            from dbmigrate.journal import journalled  # noqa: PLC0415 - most steps are transactions

            before = journalled(run, batch[0], before)
        else:
            before = run.ledger.behind(run.connection, _beside(run, batch[0], before))
        place += len(batch)
        if any(script_of(step).changes_session for step in batch):
            break
    return steps[place:], before


def admit(run: Run, steps: Sequence[Step]) -> None:
    """Refuse steps outside a transaction that may change their session, where the next one to have it is a stranger."""
    strange = [str(step) for step in steps if not step.transactional and script_of(step).changes_session]
    if strange and not run.dialect.has_session:
        raise ConfigurationError(
            f"this connection goes through a pooler, and what {', '.join(strange)} makes of the session would stay "
            "with whoever gets it next: take SET and functions out of what runs outside a transaction, or give "
            f"dbmigrate a URL that leads directly to the server. {run.done}"
        )


def _in_transaction(run: Run, batch: Sequence[Step], before: History | Record) -> History | Record:
    """Run steps and append their records in one transaction; return what the next step follows, as seen in there."""
    head, committing = before.seq, False
    tracker, finished = Tracker(run, batch[0]), list[Outcome]()
    with _foreign_keys(run, batch) as check_foreign_keys:
        try:
            begin(run)
            if run.dialect.begin_is_the_lock and run.ledger.head(run.connection) != head:
                raise LedgerConflict(FASTER)  # noqa: TRY301 - handled with all the others
            if not (run.dialect.waits or run.outcomes):
                _try_out(run, batch[0], before)
            for step in batch:
                tracker.enter(step)
                for statement in statements_of(step, run.dialect.grammar):
                    tracker.send(statement)
                    tracker.leave()
                check_foreign_keys()
                if script_of(step).changes_session:
                    tracker.keep_lock()
                    if not run.dialect.has_session:
                        run.dialect.reset(run.connection, run.kept)
                        set_local(run)
                finished.append(tracker.end(before))
                before = finished[-1].record
            after = run.ledger.behind(run.connection, finished[-1].record)
            committing = True
            wait_for(run, lambda: run.dialect.commit(run.connection))
        except BaseException as error:
            _undo(run, tracker, head, error, finished if committing else [], batch)
            raise
    run.finish(finished)
    return after


def _try_out(run: Run, step: Step, before: History | Record) -> None:
    """Claim the next seq and take that back: a snapshot of the caller's may show a ledger that is older than the lock.

    It hides the records that came since, but keys are checked against all there are.
    """
    run.ledger.append(run.connection, step_record(run, step, step.direction, before))
    run.roll_back()
    run.dialect.begin(run.connection)


def _beside(run: Run, step: Step, before: History | Record) -> Record:
    """Run a step whose record does not commit with it, where there is no journal: begun is recorded before it runs."""
    tracker, whole = Tracker(run, step), is_whole(script_of(step), run.dialect)
    begun = step_record(run, step, f"begin_{step.direction}", before)
    run.ledger.append(run.connection, begun)
    before = run.ledger.behind(run.connection, begun)
    committing = False
    try:
        with _foreign_keys(run, [step]) as check_foreign_keys, writing(run) if whole else nullcontext():
            tracker.enter(step)
            for statement in statements_of(step, run.dialect.grammar):
                tracker.send(statement, in_transaction=whole)
                tracker.leave()
            check_foreign_keys()
            committing = True
    except BaseException as error:
        is_failure = isinstance(error, Exception)
        state = f"The step stays unfinished: {unfinished(begun, None)}"
        if rolled_back := whole and not (committing and (run.is_lost or not is_failure)):
            with nullcontext() if is_failure else suppress(MigrationError):
                give_up(run, step, before, "the step was rolled back")
            state = "The step was rolled back: nothing of it is left"
        if not isinstance(error, Exception):
            raise
        raise tracker.failure(error, state, rolled_back=rolled_back) from error
    try:
        outcome = tracker.end(before, begun.started_at)
    except MigrationError as error:
        state = f"It ran, but its end is not recorded. It stays unfinished: {unfinished(begun, None)}"
        raise tracker.failure(error, state, rolled_back=False) from error
    return run.finish([outcome])


def _foreign_keys(run: Run, steps: Sequence[Step]) -> AbstractContextManager[Callable[[], object]]:
    """Switch them off around a transaction if one of its steps says so; what is entered checks them then."""
    off = any(script_of(step).foreign_keys_off for step in steps)
    return run.dialect.foreign_keys_off(run.connection) if off else nullcontext(lambda: None)


def _rolls_back(run: Run, step: Step) -> bool:
    """Tell whether nothing that a step did can be left, so that it may be tried again; a function may do anything."""
    if isinstance(step.body, PythonBody):
        return False
    return not any(run.dialect.reaches_out(statement) for statement in statements_of(step, run.dialect.grammar))


def _undo(
    run: Run, tracker: Tracker, head: int, error: BaseException, committing: Sequence[Outcome], batch: Sequence[Step]
) -> None:
    """Roll back, and raise what the error amounts to: a conflict to plan again from, or a failure; or itself."""
    left = run.roll_back()
    if not isinstance(error, Exception) or isinstance(error, MigrationInProgress | LedgerConflict):
        return
    if isinstance(error, EndedError):
        state = "What the function did before that may be committed, without a record: look at the database"
        raise tracker.failure(error, state, rolled_back=False) from error
    if run.is_lost:
        state = "The connection was lost, and the server rolls the step back: nothing of it stays"
        if committing:
            when = "" if run.dialect.has_session else ", when the server has ended what it was at"
            state = f"The connection was lost at COMMIT: status() tells whether the step is applied{when}"
        failure = tracker.failure(error, state, rolled_back=not committing)
        raise (LostAtCommitError(committing, failure) if committing and run.dialect.waits else failure) from error
    if not (run.dialect.waits or run.dialect.in_transaction(run.connection)):
        state = "It ended the transaction of the Connection: nothing of that is left, the caller's own work included"
        raise tracker.failure(error, state, rolled_back=True) from error
    if run.ledger.head(run.connection) != head:
        raise LedgerConflict(FASTER) from error
    is_transient = isinstance(error, DBAPIError) and run.dialect.is_transient(error)
    if is_transient and not run.dialect.waits:
        raise LedgerConflict("another transaction was in the way") from error
    if left is None and (isinstance(error, LedgerError) or (isinstance(error, SourceError) and not run.outcomes)):
        return  # nothing of the step is left, and it was not at fault
    state = "nothing of it is left" if left is None else f"but not all of it: {left}"
    blockers = blockers_of(run, tracker.statement) if is_transient else ()
    if run.tries or blockers:
        state += f", after {counted(run.tries + 1, 'attempt')}; in its way: {'; '.join(blockers) or 'unknown'}"
    failure = tracker.failure(error, f"The step was rolled back: {state}", rolled_back=left is None)
    if isinstance(error, DBAPIError) and is_transient and left is None and all(_rolls_back(run, s) for s in batch):
        raise InTheWayError(tracker.step, run.dialect.message(error), blockers, failure) from error
    raise failure from error
