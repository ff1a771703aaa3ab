"""Steps outside a transaction: journalled statement by statement, so that a crash leaves at most one in doubt.

The record `begin_*` opens such a step, and the record of its end closes it; in between the journal has `started`
before and `done` or `failed` behind every statement.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from sqlalchemy.exc import DBAPIError

from dbmigrate.dialects.base import StepError, send
from dbmigrate.dialects.evidence import Seen, Verdict, differences, judge, written
from dbmigrate.errors import HistoryError, LedgerConflict, LedgerError, MigrationInProgress, SourceError
from dbmigrate.ledger import TableLedger
from dbmigrate.model import JournalEntry, Record, State, Step, Unfinished
from dbmigrate.plan import History, unfinished
from dbmigrate.python import PythonBody
from dbmigrate.run import (
    FASTER,
    Run,
    Tracker,
    begin,
    blockers_of,
    give_up,
    has_another_try,
    script_of,
    statements_of,
    step_record,
    traits_of,
    wait_for,
    writing,
)
from dbmigrate.scanner import Statement
from dbmigrate.script import ALGORITHM, Traits


def statement_hash(statement: Statement) -> str:
    """Return SHA-256 of a statement as it is sent, with its tag."""
    return ALGORITHM + sha256(statement.text.encode()).hexdigest()


def journalled(
    run: Run, step: Step, before: History | Record, begun: Record | None = None, known: Sequence[JournalEntry] = ()
) -> Record:
    """Run a step outside a transaction, journalling every statement; or go on with one that did not end.

    A statement that rolls back with its transaction commits together with its `done`: nothing about it is ever in
    doubt. Any other is `started`, committed, before it is sent, and `done` in the next transaction. Where the database
    commits before the statement by itself, `started` rides on that commit. With it goes what the catalogue says of
    what the statement changes: from that a statement in doubt is judged when the step is resumed.
    """
    journal = _Journal(run, step, begun or step_record(run, step, f"begin_{step.direction}", before), known)
    done = {entry.ordinal for entry in known if entry.state == "done"}
    doubt = known[-1] if known and known[-1].state == "started" else None
    inside = isinstance(step.body, PythonBody) and not script_of(step).no_transaction  # and "done" commits with it
    try:
        journal.enter(step)
        if begun is None:
            journal.begin()
        for statement in statements_of(step, run.dialect.grammar):
            traits = traits_of(run, step, statement)
            if statement.ordinal in done:
                if traits.session == "set":  # the session that did it is gone
                    journal.close()
                    journal.send(statement, in_transaction=False)
                    journal.leave()
                continue
            if doubt is not None and statement.ordinal == doubt.ordinal and journal.took_effect(statement, doubt):
                continue
            while True:
                try:
                    journal.carry_out(statement, traits, inside=inside)
                except DBAPIError as error:
                    if not journal.can_try_again(statement, traits, error):
                        raise
                else:
                    break
            # not behind a query of MariaDB, of which FOUND_ROWS() may be asked: that comes at the end
            if traits.session == "unknown" and (run.dialect.transactional_ddl or not traits.atomic):
                journal.keep_lock()
            journal.leave()
        if script_of(step).changes_session:
            journal.keep_lock()
        journal.open()
        journal.flush()
        outcome = journal.end(journal.record, journal.record.started_at)
        journal.close()
    except BaseException as error:
        journal.interrupted(error)
        raise
    return run.finish([outcome])


class _Journal(Tracker):
    """The journal of one step: what is known, and what of it is not written yet."""

    def __init__(self, run: Run, step: Step, record: Record, known: Sequence[JournalEntry]) -> None:
        super().__init__(run, step)
        self.record, self.resumed = record, bool(known)
        self.entries, self.unwritten = list(known), list[JournalEntry]()
        self.is_open = False
        #: What a rollback could not take back.
        self.left: str | None = None

    def open(self) -> None:
        """Begin a transaction, unless one is open."""
        if not self.is_open:
            begin(self.run)
            self.is_open = True

    def close(self) -> None:
        """Write what is known, and commit."""
        self.flush()
        if self.is_open:
            wait_for(self.run, lambda: self.run.dialect.commit(self.run.connection))
            self.is_open = False

    def begin(self) -> None:
        """Append the record that the step begins; it is safe with the next commit."""
        self.open()
        self.run.ledger.append(self.run.connection, self.record)

    def carry_out(self, statement: Statement, traits: Traits, *, inside: bool) -> None:
        """Send a statement, and know that it is done; `inside`: in a transaction that has nothing else in it."""
        self.open()
        if traits.atomic:
            self.flush()
            self.send(statement, in_transaction=False)
            self.add(statement, "done")
            self.close()  # which may fail, and take the statement with it
            return
        catalogue = self.look(statement)
        self.add(statement, "started", catalogue=catalogue)
        self.flush()
        if not traits.commits_before:
            self.close()
        if inside:
            self.open()
        lift, limit = self._patience(statement)
        for sql in lift:
            send(self.run.connection, sql)
        self.send(statement, in_transaction=False)
        for sql in limit:
            send(self.run.connection, sql)
        self.is_open = inside
        self.add(statement, "done")
        if catalogue is None and not inside:  # nobody but a person could tell, so it does not wait for another commit
            self.close()

    def _patience(self, statement: Statement) -> tuple[Sequence[str], Sequence[str]]:
        """Return what lifts our lock timeout for a statement that nobody waits behind, and what sets it again."""
        run, seconds = self.run, self.run.settings.lock_timeout
        if seconds is None or isinstance(self.step.body, PythonBody) or not run.dialect.has_session:
            return (), ()
        sql = run.dialect.patience(statement, seconds)
        return sql[:1], sql[1:]

    def can_try_again(self, statement: Statement, traits: Traits, error: DBAPIError) -> bool:
        """Pause, if only others made a statement fail and nothing of it is left, until it is to be sent again."""
        run = self.run
        if traits.partial or run.is_lost or not run.dialect.is_transient(error):
            return False
        self.roll_back()
        if self.left is not None or run.is_lost:
            return False
        head, blockers = run.ledger.head(run.connection), blockers_of(run, statement)
        if head > self.record.seq:
            return False
        if head < self.record.seq:
            self.begin()
        self.know_again(statement if traits.atomic else None)
        if not traits.atomic:
            self.add(statement, "failed", run.dialect.message(error))
        self.close()
        return has_another_try(run, self.step, run.dialect.message(error), blockers)

    def roll_back(self) -> None:
        """Roll back what is open."""
        self.left, self.is_open = self.run.roll_back() or self.left, False

    def know_again(self, statement: Statement | None) -> None:
        """Have what a rollback took away written again; not that a statement is done which it took back."""
        written = {entry.entry for entry in self.run.ledger.journal(self.run.connection, self.record.seq) or ()}
        last = self.entries[-1:]
        if statement is not None and any(e.ordinal == statement.ordinal and e.entry not in written for e in last):
            self.entries.pop()  # its COMMIT failed; what is written says that it failed in an earlier call
        self.unwritten = [entry for entry in self.entries if entry.entry not in written]

    def add(self, statement: Statement, state: State, error: str | None = None, catalogue: str | None = None) -> None:
        """Know one thing more."""
        number, mark = len(self.entries) + 1, statement_hash(statement)
        entry = JournalEntry(self.record.seq, number, statement.ordinal, mark, state, error, catalogue)
        self.entries.append(entry)
        self.unwritten.append(entry)

    def look(self, statement: Statement) -> str | None:
        """Return what the catalogue says of what a statement is about to change, if that will tell whether it ran."""
        run, effect = self.run, None if isinstance(self.step.body, PythonBody) else self.run.dialect.effect(statement)
        seen = None if effect is None else run.dialect.look(run.connection, effect)
        if effect is None or seen is None:
            return None
        self.statement = statement
        if (reason := run.dialect.objection(effect, seen)) is not None:
            raise StepError(reason)
        return written(seen)

    def judge(self, statement: Statement, catalogue: str | None) -> tuple[Verdict | None, Seen, Seen]:
        """Say whether a statement took effect, and what the catalogue said before and says now."""
        effect = self.run.dialect.effect(statement)
        if catalogue is None or effect is None:
            return None, {}, {}
        before, now = json.loads(catalogue), self.run.dialect.look(self.run.connection, effect)
        return (None, before, {}) if now is None else (judge(effect, before, now), before, now)

    def took_effect(self, statement: Statement, doubt: JournalEntry) -> bool:
        """Settle whether the statement in doubt took effect, having removed what it left behind if it did not.

        Raises HistoryError if the catalogue does not tell.
        """
        run, finding = self.run, unfinished(self.record, [doubt])
        where = f"{self.step.body.origin}:{statement.line}: {' '.join(statement.text[:60].split())}"
        finding = replace(finding, where=where)
        if doubt.statement_hash != statement_hash(statement):
            raise HistoryError([finding], f"{where}: the statement in doubt was edited since: restore it")
        self.close()
        verdict, before, now = self.judge(statement, doubt.catalogue)
        effect = run.dialect.effect(statement)
        removed = () if effect is None else run.dialect.leftovers(effect, before, now)
        if removed:
            lift, limit = self._patience(statement)
            for sql in (*lift, *removed, *limit):
                send(run.connection, sql)
            verdict, before, now = self.judge(statement, doubt.catalogue)
        if verdict is None:
            raise HistoryError([replace(finding, seen=tuple(differences(before, now)))], "a statement is in doubt")
        how = f"the catalogue says: {verdict}{''.join(f'; {sql}' for sql in removed)}"
        self.add(statement, "done" if verdict == "done" else "failed", how)
        self.close()
        return verdict == "done"

    def flush(self) -> None:
        """Insert what is not written yet; it is safe with the next commit."""
        if self.unwritten:
            self.open()
            assert isinstance(self.run.ledger, TableLedger)  # noqa: S101 - who has no journal runs no step this way
            self.run.ledger.note(self.run.connection, self.unwritten)
            self.unwritten = []

    def interrupted(self, error: BaseException) -> None:
        """Write down what is known of a step that stopped, and raise what the error amounts to, if not itself."""
        self.roll_back()
        if not isinstance(error, Exception) or isinstance(error, HistoryError):
            return  # the journal says which statement was under way, or in doubt
        if self.run.is_lost:
            state = "The connection was lost. When the server is back status() tells whether the step is unfinished"
            raise self.failure(error, state, rolled_back=False) from error
        try:
            raised = self._written_down(error, self.left)
        except LedgerError as trouble:
            state = f"Ledger and journal could not be used behind it ({trouble}): status() tells what is known"
            raised = self.failure(error, state, rolled_back=False)
        if raised is not error:
            raise raised from error

    def _written_down(self, error: Exception, left: str | None) -> Exception:
        run, head, statement = self.run, self.run.ledger.head(self.run.connection), self.statement
        if isinstance(error, LedgerConflict) and head == self.record.seq:
            state = "The step stays unfinished, and nothing more of it was sent. status() tells what is known"
            return self.failure(error, state, rolled_back=False)
        if isinstance(error, LedgerConflict):
            return error
        if head > self.record.seq:
            return LedgerConflict(FASTER)
        rest = f"; but {left}" if left else ""
        self.know_again(None)
        if head < self.record.seq:  # the begin was rolled back too, so nothing else was committed
            if left is None and (
                isinstance(error, LedgerError | MigrationInProgress)
                or (isinstance(error, SourceError) and not run.outcomes)
            ):
                return error
            return self.failure(error, f"Nothing of the step was committed{rest}", rolled_back=left is None)
        if statement is not None and (isinstance(error, DBAPIError) or isinstance(self.step.body, PythonBody)):
            traits = traits_of(run, self.step, statement)
            if traits.atomic:
                self.know_again(statement)
            refused, text = False, f"{type(error).__name__}: {error}"
            if isinstance(error, DBAPIError):
                refused = traits.session != "unknown" and run.dialect.had_no_effect(error)
                text = run.dialect.message(error)
            catalogue = next((e.catalogue for e in self.entries[::-1] if e.ordinal == statement.ordinal), None)
            if traits.partial and not refused and catalogue is not None:
                _, before, now = self.judge(statement, catalogue)
                if (effect := run.dialect.effect(statement)) is not None:
                    refused = before == now and effect.places != ()
                    removing = run.dialect.leftovers(effect, before, now)
                    text += "".join(f"; resume() begins with {sql}" for sql in removing)
            self.add(statement, "failed" if refused or not traits.partial else "started", text, catalogue)
        self.close()
        states = [entry.state for entry in self.entries]
        if not self.resumed and left is None and "done" not in states and states[-1:] != ["started"]:
            with writing(run):
                give_up(run, self.step, self.record, "no statement of the step took effect")
            return self.failure(error, "No statement of the step took effect", rolled_back=True)
        finding = unfinished(self.record, self.entries)
        return self.failure(error, f"The step stays unfinished: {finding}{rest}", rolled_back=False)


def check_resumable(run: Run, step: Step, finding: Unfinished, known: Sequence[JournalEntry] | None) -> None:
    """Raise HistoryError unless a step can go on behind the last statement known to be done, or to be judged.

    What ran must be what the script still begins with; later statements may have been corrected. What only lives in
    a session (a temporary table, a prepared statement) is gone and cannot be gone on with.
    """
    if finding.in_doubt and not finding.is_judged:
        raise HistoryError([finding], "a statement is in doubt")
    done = {entry.ordinal: entry.statement_hash for entry in known or () if entry.state == "done"}
    for statement in statements_of(step, run.dialect.grammar):
        expected = done.pop(statement.ordinal, None)
        if expected is None:
            break
        where = f"{step.body.origin}:{statement.line}: statement {statement.ordinal}"
        if expected != statement_hash(statement):
            raise HistoryError([finding], f"{where} ran already, and was edited since: restore it")
        if traits_of(run, step, statement).session == "lost":
            raise HistoryError(
                [finding],
                f"{where} made something that ended with its session, so the rest cannot go on: finish or undo the "
                f'step by hand, then call resolve("{finding.version}", applied=..., reason=...)',
            )
    else:  # no statement is left
        if finding.in_doubt:
            raise HistoryError([finding], f"{step.body.origin}: the statement in doubt is no longer in it: restore it")
    if done:
        raise HistoryError(
            [finding], f"{step.body.origin}: statements that ran already are no longer in it: restore them"
        )
