"""Look before anything runs: at source and ledger, and at every script that is to run; report all problems at once."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from dbmigrate.dialects import Dialect
from dbmigrate.errors import ConfigurationError, HistoryError, LedgerError, MigrationInProgress, SourceError
from dbmigrate.layouts.folder import unreadable
from dbmigrate.ledger import LedgerBusyError, PlainLedger, TableLedger
from dbmigrate.model import Body, Direction, Edited, Finding, JournalEntry, Migration, Record, Report, Step, Unfinished
from dbmigrate.plan import History, changed, compare, fold, tolerate
from dbmigrate.python import PythonBody
from dbmigrate.run import Run, is_whole, script_of
from dbmigrate.scanner import ScriptError, Statement, statements
from dbmigrate.script import CHANGED, Problem, fingerprint, inspect

#: So many short scripts are not cut again when they run; more would be memory that grows with their number.
_KEPT = 1000
#: Steps that were looked at, by version and direction.
Known = dict[tuple[str, Direction], Step]


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything that is known at one moment."""

    migrations: Sequence[Migration]
    history: History
    findings: tuple[Finding, ...]
    #: Of the step that did not end. None: the ledger keeps none, or it cannot be read.
    journal: Sequence[JournalEntry] | None

    def refuse(self, allow: Collection[type[Finding]], *, unlocked: bool = False, redone: Collection[str] = ()) -> None:
        """Raise HistoryError for findings that are not tolerated; that versions to be `redone` were edited is.

        Without the lock an unfinished step may simply be running; whether it is dead is judged under the lock.
        """
        errors = [f for f in tolerate(self.findings, allow) if not (isinstance(f, Edited) and f.version in redone)]
        if unlocked:
            errors = [finding for finding in errors if not isinstance(finding, Unfinished)]
        if errors:
            raise HistoryError(errors)


def look(run: Run, migrations: Sequence[Migration], *, empty: bool = False, brief: bool = False) -> Survey:
    """Compare source and ledger over a run's connection; `empty`: there is no database yet."""
    dialect = run.dialect
    journal: Sequence[JournalEntry] | None = ()
    history = fold(() if empty else records(run, brief=brief))
    if history.unfinished is not None:
        try:
            journal = run.ledger.journal(run.connection, history.unfinished.seq)
        except LedgerBusyError:
            raise
        except LedgerError:  # who may read the ledger only still learns that a step is not finished
            journal = None
    marks = {m.version: fingerprint_of(m, dialect) for m in changed(migrations, history)}
    findings = compare(migrations, history, marks, journal)
    if journal:
        findings = tuple(_locate(finding, migrations, dialect) for finding in findings)
    return Survey(migrations, history, findings, journal)


def records(run: Run, *, brief: bool = False) -> Sequence[Record]:
    """Read the ledger; while another process writes to an SQLite file, readers may have to wait."""
    limit = run.settings.acquire_timeout if run.dialect.waits else 0
    until = time.monotonic() + limit
    while True:
        try:
            return run.ledger.read(run.connection, brief=brief)
        except LedgerBusyError as busy:
            if time.monotonic() >= until:
                reason = f"{busy}, and could not be for {limit:g} s. Nothing was run here"
                if not run.dialect.waits:
                    reason = f"{busy}: roll your transaction back, and call again. Nothing was run"
                raise MigrationInProgress(reason, holder=None, report=Report()) from busy
            time.sleep(0.05)


def checked(
    steps: Iterable[Step],
    dialect: Dialect,
    known: Known,
    ledger: TableLedger | PlainLedger | None = None,
    *,
    one: bool = False,
) -> tuple[Step, ...]:
    """Return the steps with what is known of their scripts; `known` remembers those that were looked at.

    Raises SourceError with everything that is wrong with any of them, and ConfigurationError if they are to run in
    `one` transaction and cannot. No text is kept, but of a number of short scripts.
    """
    steps = tuple(steps)
    for step in steps:
        if (step.migration.version, step.direction) not in known:
            known[step.migration.version, step.direction] = _look_at(step, dialect, ledger, keep=len(known) < _KEPT)
    ready = tuple(known[step.migration.version, step.direction] for step in steps)
    if problems := [problem for step in ready for problem in script_of(step).problems]:
        raise SourceError(problems)
    alone = [str(step) for step in ready if not step.transactional or script_of(step).foreign_keys_off]
    if one:
        alone += _leaking(ready[:-1])
    if alone and not dialect.waits:
        raise ConfigurationError(
            f"{', '.join(alone)} cannot run inside the transaction of a Connection: pass its Engine. Nothing was run"
        )
    if not dialect.waits and (leaking := _leaking(ready)):
        raise ConfigurationError(
            f"what {', '.join(leaking)} makes of the session would stay with the Connection: pass its Engine, or say "
            "SET LOCAL where there is one. Nothing was run"
        )
    if one and alone:
        raise ConfigurationError(f"transaction='all' cannot include {', '.join(alone)}: use 'each'. Nothing was run")
    return ready


def can_be_one(steps: Sequence[Step]) -> bool:
    """Tell whether steps can share a transaction: none needs another, none hands a changed session to the next."""
    return not _leaking(steps[:-1]) and all(step.transactional for step in steps)


def _leaking(steps: Iterable[Step]) -> list[str]:
    """Return the steps that surely leave something behind in their session."""
    return [str(step) for step in steps if script_of(step).changes_session in ("set", "lost")]


def _look_at(step: Step, dialect: Dialect, ledger: TableLedger | PlainLedger | None, *, keep: bool) -> Step:
    body = step.body
    if isinstance(body, PythonBody):
        script = body.look()
    else:
        script = inspect(
            body.read(),
            dialect.grammar,
            dialect.traits,
            origin=body.origin,
            transaction=body.transaction,
            ledger=ledger.table if isinstance(ledger, TableLedger) else None,
            keep=keep,
        )
    transactional, down, reason = is_whole(script, dialect), step.migration.down, None
    if step.direction == "up" and body.checksum not in (None, script.checksum):
        reason = CHANGED
    elif step.direction == "up" and script.count < 1 and not script.problems:
        reason = "there is no statement in it: write one, or delete the file"
    elif dialect.waits and script.foreign_keys_off and not dialect.switches_foreign_keys:
        reason = "foreign-keys=off is for SQLite: leave it out"
    more = [] if reason is None else [Problem(body.origin, None, reason)]
    if step.direction == "up" and down is not None:  # recorded with the step, so it must be text; cut when it is to run
        more += unreadable(down)
    if more:
        script = replace(script, problems=(*script.problems, *more))
    transactional = transactional and (ledger is None or ledger.transactional)
    return Step(step.migration, step.direction, script, transactional)


def _locate(finding: Finding, migrations: Iterable[Migration], dialect: Dialect) -> Finding:
    """Return a finding that also says where the statement is that failed or is in doubt, if the source still has it."""
    if not isinstance(finding, Unfinished) or finding.statement is None:
        return finding
    body = _body(finding, migrations)
    if isinstance(body, PythonBody):
        return replace(finding, where=body.origin)
    found = _statement(finding, body, dialect)
    if body is None or found is None:
        return finding
    return replace(finding, where=f"{body.origin}:{found.line}: {' '.join(found.text[:60].split())}")


def in_doubt(survey: Survey, dialect: Dialect) -> Sequence[str]:
    """Return the text of the statement in doubt, as far as the source has it; without a journal it may be any."""
    for finding in survey.findings:
        if isinstance(finding, Unfinished) and finding.in_doubt:
            body = _body(finding, survey.migrations)
            found = _cut(body, dialect) if finding.statement is None else [_statement(finding, body, dialect)]
            return [statement.text for statement in found if statement is not None]
    return ()


def _body(finding: Unfinished, migrations: Iterable[Migration]) -> Body | None:
    return next(
        (m.up if finding.direction == "up" else m.down for m in migrations if m.version == finding.version), None
    )


def _statement(finding: Unfinished, body: Body | None, dialect: Dialect) -> Statement | None:
    return next((s for s in _cut(body, dialect) if s.ordinal == finding.statement), None)


def _cut(body: Body | None, dialect: Dialect) -> Iterator[Statement]:
    """Yield the statements of a script, as far as it can be cut: what is wrong with it is said when it is to run."""
    if body is not None and not isinstance(body, PythonBody):
        with suppress(ScriptError, SourceError):
            yield from statements(body.read(), dialect.grammar)


def fingerprint_of(migration: Migration, dialect: Dialect) -> str | None:
    """Return the fingerprint of an up script; None if it cannot be cut, for then it is not what ran, and of Python."""
    if isinstance(migration.up, PythonBody):
        return None
    try:
        return fingerprint(migration.up.read(), dialect.grammar)
    except ScriptError:
        return None
