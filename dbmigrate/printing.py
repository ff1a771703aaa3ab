"""A plan as a script for the database's own client program.

Laws of this file: nothing is asked and nothing is written, the same plan gives the same text; the record of a step is
written first in it, and cannot be written unless the ledger is as the plan found it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from dbmigrate.connect import limits
from dbmigrate.dialects import Dialect
from dbmigrate.dialects.client import Client
from dbmigrate.errors import ConfigurationError
from dbmigrate.journal import statement_hash
from dbmigrate.ledger import TableLedger
from dbmigrate.model import VERSION, Plan, Record, Step
from dbmigrate.plan import History, fold
from dbmigrate.python import PythonBody
from dbmigrate.run import Run, script_of, statements_of, step_record
from dbmigrate.scanner import Statement

_HEAD = """\
-- Printed by dbmigrate {version}: {steps}.
-- For the database whose ledger {ledger}; anywhere else it stops before a migration runs.
-- Run it with: {call}
-- It stops at the first error, and then status() tells what is applied. An error about seq, which is NULL, means
-- that the ledger is not as it was when this was printed, or that another migrator is at work."""


def printer(run: Run) -> Callable[[Plan], str]:
    """Return what prints plans for the database that a run looks at; it keeps no connection, and can be pickled."""
    dialect, ledger, settings = run.dialect.own, run.ledger, list[str]()
    if not isinstance(ledger, TableLedger) or dialect.client is None:
        return _refuse
    home, connection = None, getattr(run, "connection", None)
    if connection is not None:  # None: there is no database yet
        if ledger.schema is None:
            home = dialect.home(connection, ledger.table)
        dialect.check(connection)
        settings = [f"{sql};" for sql in (*dialect.settings(connection), *limits(run))]
    given, place = run.settings, ledger.at(home, dialect)
    together = given.transaction == "all"
    return _Script(dialect, dialect.client, place, tuple(settings), given.acquire_timeout, given.lock_timeout, together)


def _refuse(plan: Plan) -> str:  # noqa: ARG001
    raise ConfigurationError("only for a TableLedger, and a database whose client is known, a plan can be printed")


@dataclass(slots=True)
class _Script:
    """What is known of a database when a plan is made; and one script in the making."""

    dialect: Dialect
    client: Client
    ledger: TableLedger
    #: What a session begins with.
    settings: tuple[str, ...]
    #: Seconds to wait where the client can.
    wait: float
    #: Seconds that a statement may wait for a lock.
    lock_timeout: float | None
    #: All steps are one transaction.
    together: bool
    #: What the next record follows.
    before: History | Record = field(default_factory=lambda: fold(()))
    #: What cannot be printed, and why.
    unfit: list[str] = field(default_factory=list[str])

    def __call__(self, plan: Plan) -> str:
        if not plan:
            return "-- There is nothing to run.\n"
        script = replace(self, before=History({}, None, plan.head, plan.chain), unfit=[])
        text = "\n".join((*script.lines(plan.steps), ""))
        if script.unfit:
            unfit = "; ".join(script.unfit)
            raise ConfigurationError(
                f"{unfit}. Call apply() with this plan, or print a plan that ends before. Nothing was run"
            )
        return self.client.script(text)

    def lines(self, steps: Sequence[Step]) -> Iterator[str]:
        """Yield the lines, in order."""
        head, chain = self.before.seq, self.before.chain
        ledger = f"ends with record {head} ({chain})" if head else "is empty or missing"
        names = f"{steps[0]} to {steps[-1]}, {len(steps)} steps" if steps[1:] else str(steps[0])
        yield _HEAD.format(version=VERSION, steps=names, ledger=ledger, call=self.client.call)
        yield from self.client.head(self.wait)
        yield from self.settings
        if not head:
            yield from (f"{sql};" for sql in self.ledger.definitions(self.dialect))
        size = len(steps) if self.together else 1
        for place in range(0, len(steps), size):
            batch = steps[place : place + size]
            yield ""
            yield from self._in_transaction(batch) if batch[0].transactional else self._journalled(batch[0])
            if steps[place + size :]:
                yield from self._behind(batch[0])

    def _in_transaction(self, batch: Sequence[Step]) -> Iterator[str]:
        off = any(script_of(step).foreign_keys_off for step in batch)
        if off:
            yield self.client.foreign_keys_off
        yield f"{self.dialect.begin_sql};"
        for step in batch:
            yield f"-- {step}"
            yield self._record(step, step.direction)
            yield from (text for _, text in self._statements(step))
            if off:
                yield self.client.foreign_key_check
        yield f"{self.dialect.commit_sql};"

    def _journalled(self, step: Step) -> Iterator[str]:
        dialect, number = self.dialect, 0
        if dialect.begin_is_the_lock:
            self.unfit.append(f"{step} is no transaction, and a script cannot hold the lock beside the file")
        yield f"-- {step}"
        yield self._record(step, f"begin_{step.direction}")
        seq = self.before.seq

        def note(statement: Statement, state: str) -> str:
            nonlocal number
            number += 1
            known = {"seq": seq, "entry": number, "ordinal": statement.ordinal, "state": f"'{state}'"}
            known |= {"statement_hash": f"'{statement_hash(statement)}'", "at": self.client.now}
            return self._insert("_journal", {name: str(value) for name, value in known.items()})

        for statement, text in self._statements(step):
            if dialect.traits(statement).atomic:
                yield f"{dialect.begin_sql};\n{text}\n{note(statement, 'done')}\n{dialect.commit_sql};"
            else:
                lift, limit = self._patience(statement)
                yield f"{note(statement, 'started')}\n{lift}{text}\n{limit}{note(statement, 'done')}"
        yield self._record(step, step.direction, f"SELECT started_at FROM {self._ledger()} WHERE seq = {seq}")

    def _patience(self, statement: Statement) -> tuple[str, str]:
        """Return what lifts the lock timeout for a statement that nobody waits behind, and what sets it again."""
        found = () if self.lock_timeout is None else self.dialect.patience(statement, self.lock_timeout)
        return (f"{found[0]};\n", f"{found[1]};\n") if found else ("", "")

    def _behind(self, step: Step) -> Iterator[str]:
        """Make the session for the next step."""
        changed = script_of(step).changes_session is not None and not isinstance(step.body, PythonBody)
        if changed and self.client.renew is None:
            self.unfit.append(f"{step} changes its session, and what follows it wants another one")
        elif changed:
            yield f"\n-- a new session for the next step\n{self.client.renew}"
        if changed or script_of(step).foreign_keys_off:
            yield from self.settings

    def _statements(self, step: Step) -> Iterator[tuple[Statement, str]]:
        """Yield the statements of a step, and how they are printed."""
        if isinstance(step.body, PythonBody):
            self.unfit.append(f"{step} is Python, which no client runs")
            return
        for statement in statements_of(step, self.dialect.grammar):
            try:
                yield statement, self.client.statement(statement, self.dialect.grammar)
            except ValueError as error:
                self.unfit.append(f"{step}, statement {statement.ordinal}: {error}")

    def _record(self, step: Step, action: str, since: str | None = None) -> str:
        """Write the next record; `since` asks when the step began, if not now."""
        dialect, client, tail = self.dialect, self.client, self.before.chain or ""
        record = step_record(None, step, action, self.before)
        last = f"SELECT chain FROM {self._ledger()} ORDER BY seq DESC LIMIT 1"
        wanted = [f"coalesce({_asked(last)}, '') = {client.literal(tail)}"]
        lock = dialect.lock_sql(dialect.lock_key(self.ledger.schema, self.ledger.table))
        wanted += [lock] if lock else []
        known = {c.name: value for c in fields(Record) if (value := getattr(record, c.name)) is not None}
        values = {name: client.literal(str(value)) for name, value in known.items()}
        values |= {
            "seq": f"CASE WHEN {' AND '.join(wanted)} THEN {record.seq} END",
            "started_at": _asked(since) if since else client.now,
            "finished_at": "NULL" if action.startswith("begin_") else client.now,
            "applied_by": client.user,
            "reason": "'printed'",
        }
        self.before = record
        return self._insert("", values)

    def _insert(self, suffix: str, values: Mapping[str, str]) -> str:
        return f"INSERT INTO {self._ledger(suffix)} ({', '.join(values)})\nVALUES ({', '.join(values.values())});"

    def _ledger(self, suffix: str = "") -> str:
        return self.ledger.name(self.dialect, suffix)


def _asked(query: str) -> str:
    """Return a subquery that may be about the table that is written to."""
    return f"(SELECT * FROM ({query}) AS ledger)"
