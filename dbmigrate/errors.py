"""What can go wrong, sorted by the state that the database is left in.

    MigrationError
    ├── ConfigurationError      wrong call or configuration; no database was touched
    ├── SourceError             .origin .line .reason .problems; no database was touched
    ├── TargetError             unknown target, no way back; nothing has run
    ├── HistoryError            .findings; ledger and source disagree; nothing has run
    │   └── NotCurrent          .pending; verify(): the database is behind
    ├── StalePlan               the ledger moved under a plan; nothing more has run; .report
    ├── MigrationInProgress     .holder .report; another process is migrating and made no progress
    ├── LedgerError             the ledger is not ours, not writable, or was tampered with
    │   └── LedgerConflict      a port says: that seq is taken
    └── MigrationFailed         .step .statement .line .column .report; see .report for what did run

Every error keeps the driver's error as `__cause__`, carries values, and says what to do next. All can be pickled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dbmigrate.model import Finding, Report, plain
from dbmigrate.script import Problem, printable


class MigrationError(Exception):
    """The root of all errors of dbmigrate."""

    def __init__(self, message: str, **values: Any) -> None:  # noqa: ANN401 - each class says which
        super().__init__(printable(message))
        self.__dict__.update(values)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, ready for JSON: `format` (1, as of all values), `type`, `message`, and its values.

        The message is for people, and its words may change.
        """
        values = {name: plain(value) for name, value in vars(self).items() if not name.startswith("_")}
        return {"format": 1, "type": type(self).__name__, "message": str(self), **values}

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep message and values through pickling; subclasses have constructors of their own."""
        return (Exception.__new__, (type(self), *self.args), self.__dict__)


def counted(count: int, noun: str) -> str:
    """Return a number of things as one says it in English."""
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


class ConfigurationError(MigrationError):
    """The call or the configuration is wrong, or the database cannot be reached. No database was changed."""


class SourceError(MigrationError):
    """Migrations cannot be read, or not as they are. No database was changed.

    `problems` has every one of them, at least one; `origin`, `line` and `reason` are those of the first.
    """

    origin: str
    line: int | None
    reason: str
    problems: tuple[Problem, ...]

    def __init__(self, problems: Iterable[Problem]) -> None:
        found = tuple(problems)
        first = found[0]
        message = f"{first}. Nothing was run"
        if len(found) > 1:
            message = "\n".join([f"{len(found)} problems with the migrations; nothing was run:", *map(str, found)])
        super().__init__(message, problems=found, origin=first.origin, line=first.line, reason=first.reason)


class TargetError(MigrationError):
    """The target is unknown, or there is no way to it. Nothing has run."""


class HistoryError(MigrationError):
    """Ledger and source disagree, or there is a step that did not end. Nothing has run."""

    findings: tuple[Finding, ...]

    def __init__(self, findings: Iterable[Finding], message: str = "the ledger and the source disagree") -> None:
        found = tuple(findings)
        lines = "".join(f"\n- {type(finding).__name__}: {finding}" for finding in found)
        super().__init__(f"{message}; nothing was run:{lines}" if found else message, findings=found)


class NotCurrent(HistoryError):
    """The database is not what this application needs. Nothing has run."""

    #: The migrations that are not applied, as version_name.
    pending: tuple[str, ...]

    def __init__(self, findings: Iterable[Finding], pending: Iterable[str]) -> None:
        waiting = tuple(pending)
        few = ", ".join(waiting[:5]) + (", ..." if len(waiting) > 5 else "")  # noqa: PLR2004
        message = f"pending ({len(waiting)}): {few}" if waiting else "nothing is pending, but it is not as it should be"
        super().__init__(
            findings, f"the database is not current; {message}{'' if findings else '. Run upgrade() first'}"
        )
        self.pending = waiting


class StalePlan(MigrationError):
    """The ledger moved after the plan was made: somebody else migrated. Nothing more has run; see `report`."""

    report: Report


class MigrationInProgress(MigrationError):
    """Another process is migrating and made no progress in time. Nothing has run but the steps in `report`."""

    report: Report
    #: Who, if the database can tell: user, host, process, since when.
    holder: str | None


class LedgerError(MigrationError):
    """The ledger is not a ledger of dbmigrate, cannot be read or written, or was changed by hand."""


class LedgerConflict(LedgerError):
    """Another runner took the seq. Raised by ledgers; handled inside, by planning again."""


class MigrationFailed(MigrationError):
    """A step failed. `report` has the steps that ran before it and stay; the message says what is left of this one."""

    step: str
    #: The number of the statement in its script, from 1; None if no statement of the script was at fault.
    statement: int | None = None
    line: int | None = None
    column: int | None = None
    report: Report
    #: True if nothing of the failed step is left in the database.
    rolled_back: bool
