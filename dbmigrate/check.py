"""Look at every script before the first statement of any is sent, and report all problems at once."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from dbmigrate.errors import SourceError
from dbmigrate.layouts.folder import unreadable
from dbmigrate.model import Unfinished
from dbmigrate.scanner import ScriptError, statements
from dbmigrate.script import Problem, fingerprint, inspect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dbmigrate.dialects import Dialect
    from dbmigrate.model import Finding, Migration, Step

CHANGED = "the file changed while it was in use: call again"


def checked(
    steps: Iterable[Step], dialect: Dialect, known: dict[Step, Step], ledger: str | None = None
) -> tuple[Step, ...]:
    """Return the steps with what is known of their scripts; `known` remembers those that were looked at.

    Raises SourceError with everything that is wrong with any of them. No text is kept.
    """
    steps = tuple(steps)
    for step in steps:
        if step not in known:
            known[step] = _look_at(step, dialect, ledger)
    problems = [problem for step in steps if (script := known[step].script) for problem in script.problems]
    # The way back is recorded with the step, so it must be text; it is cut when it is to run.
    problems += [p for s in steps if s.direction == "up" and (down := s.migration.down) for p in unreadable(down)]
    if problems:
        raise SourceError(problems)
    return tuple(known[step] for step in steps)


def _look_at(step: Step, dialect: Dialect, ledger: str | None) -> Step:
    body = step.body
    text, wanted = body.read(), body.transaction
    script = inspect(text, dialect.grammar, dialect.traits, origin=body.origin, transaction=wanted, ledger=ledger)
    transactional = not script.no_transaction and (dialect.transactional_ddl or script.atomic)
    reason = None
    if step.direction == "up" and script.checksum != body.checksum:
        reason = CHANGED
    elif step.direction == "up" and script.count < 1 and not script.problems:
        reason = "there is no statement in it: write one, or delete the file"
    elif script.foreign_keys_off and not dialect.switches_foreign_keys:
        reason = "foreign-keys=off is for SQLite: leave it out"
    elif not transactional and not dialect.non_transactional_steps:
        reason = "no-transaction is not supported on this database yet: leave the directive out"
    if reason is not None:
        script = replace(script, problems=(*script.problems, Problem(body.origin, None, reason)))
    return replace(step, script=script, transactional=transactional)


def locate(finding: Finding, migrations: Iterable[Migration], dialect: Dialect) -> Finding:
    """Return a finding that also says where the statement is that failed or is in doubt, if the source still has it."""
    if not isinstance(finding, Unfinished) or finding.statement is None:
        return finding
    bodies = (m.up if finding.direction == "up" else m.down for m in migrations if m.version == finding.version)
    body = next(bodies, None)
    if body is None:
        return finding
    try:
        for found in islice(statements(body.read(), dialect.grammar), finding.statement - 1, finding.statement):
            return replace(finding, where=f"{body.origin}:{found.line}: {' '.join(found.text[:60].split())}")
    except (ScriptError, SourceError):
        pass  # what is wrong with the file is said when it is to run
    return finding


def fingerprint_of(migration: Migration, dialect: Dialect) -> str:
    """Return the fingerprint of an up script; "" if it cannot be cut, for then it is not what ran."""
    try:
        return fingerprint(migration.up.read(), dialect.grammar)
    except ScriptError:
        return ""
