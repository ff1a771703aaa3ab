"""The values that flow through dbmigrate.

Law of this file: everything is frozen, can name itself, and decides nothing. Deciding is in plan.py, acting in
execute.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal, Protocol

from dbmigrate.script import Script

VERSION = "0.1.0"

Direction = Literal["up", "down"]
State = Literal["started", "done", "failed"]


class Body(Protocol):
    """The script of one direction, read when it is needed."""

    @property
    def origin(self) -> str:
        """What to call it in messages: a path, a resource."""
        ...

    @property
    def checksum(self) -> str | None:
        """SHA-256 of its bytes (without byte order mark, CRLF as LF), with its tag; of an up script, when loaded.

        None: there are no bytes, and no edit can be noticed.
        """
        ...

    @property
    def transaction(self) -> bool:
        """False if a file beside it (metadata.toml) says that it must not run in a transaction."""
        ...

    def read(self) -> str:
        """Return its text. Raises SourceError if it cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class TextBody:
    """A script that is in memory."""

    origin: str
    checksum: str
    text: str = field(repr=False)
    transaction: bool = True

    def read(self) -> str:
        """Return the text."""
        return self.text


class _Value:
    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values: dict, list, str, int, float, bool and None, ready for JSON.

        Its keys are `format`, `type` and the names of its fields. `format` is 1 as long as keys are only added: one
        that is taken away, renamed or given another meaning makes it 2. `type` names the class, also of each value
        inside. Times are ISO 8601 in UTC, and `seconds` are seconds. A finding also has its `message`, for people,
        whose words may change; a status has `is_current`. No script, URL or password is in it.
        """
        return {"format": 1, **plain(self)}


def plain(value: Any) -> Any:  # noqa: ANN401 - what JSON knows
    """Return a value of ours, or a tuple of such, as `to_dict` has it."""
    if is_dataclass(value) and not isinstance(value, type):
        found = {field.name: plain(getattr(value, field.name)) for field in fields(value) if field.repr}
        if isinstance(value, Finding):
            found["message"] = str(value)
        if isinstance(value, Status):
            found["is_current"] = value.is_current
        return {"type": type(value).__name__, **found}
    if isinstance(value, tuple):
        return [plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value.isoformat() if isinstance(value, datetime) else value


@dataclass(frozen=True, slots=True, init=False, repr=False, eq=False)  # those below have their own
class _Named(_Value):
    """What is about one migration."""

    #: An opaque string; the order of versions is the source's business.
    version: str
    name: str

    def __str__(self) -> str:
        return f"{self.version}_{self.name}"


@dataclass(frozen=True, slots=True)
class Migration(_Named):
    """One versioned change of a schema. As a dictionary: `version` and `name`, without the scripts."""

    up: Body = field(repr=False)
    #: None: it cannot be taken back.
    down: Body | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Record(_Value):
    """One row of the ledger. Rows are inserted, never updated or deleted.

    What a ledger does not keep is None. As a dictionary it has all columns but `down_sql`.
    """

    #: 1, 2, 3, ...: as the primary key it is what makes "exactly once" true.
    seq: int
    version: str
    name: str
    #: What happened. `begin_*` opens a non-transactional step; `up`, `down` or `resolve_*` closes it.
    action: str
    #: Checksum and fingerprint of the up script, checksum of the down script, when this was recorded.
    checksum: str | None = None
    fingerprint: str | None = None
    down_checksum: str | None = None
    #: SHA-256 over the previous record's chain and the columns above.
    chain: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    #: user@host of the process that wrote it.
    applied_by: str | None = None
    #: The database session that wrote it, so that its death can be told.
    session: str | None = None
    #: The version of dbmigrate that wrote it.
    tool: str | None = None
    reason: str | None = None
    #: The down script as it was; written, and not read back with the rest.
    down_sql: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.version}_{self.name}"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One row of the journal: what is known of one statement of a non-transactional step."""

    #: The `seq` of the record that began the step.
    seq: int
    #: 1, 2, 3, ... within the step.
    entry: int
    #: The statement's number in its script.
    ordinal: int
    #: SHA-256 of the statement as it was sent.
    statement_hash: str
    state: State
    #: The database's error, or the reason a person gave.
    error: str | None = None
    #: What the catalogue said before it was sent, of what it changes (JSON). None: nothing there could tell.
    catalogue: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Finding(_Named):
    """A disagreement between source and ledger. Its type says which; `str` of it says what to do."""

    #: What it is, and what to do about it.
    advice: ClassVar[str] = ""

    def __str__(self) -> str:
        return f"{self.version}_{self.name}: {self.advice.format(self)}"


class Edited(Finding):
    """The script of an applied migration is no longer the one that ran, in more than comments and space."""

    __slots__ = ()
    advice = (
        "the script was edited after it was applied. Restore the file, and put the change into a new migration; only "
        "if the database is as the script says now, call accept()"
    )


class Missing(Finding):
    """An applied migration is not in the source."""

    __slots__ = ()
    advice = "applied, but not in the source. Restore its file"


class Ahead(Finding):
    """The database is ahead of this source: applied after all that it knows, with nothing pending."""

    __slots__ = ()
    advice = "applied by a newer release. Deploy a release that knows it"


@dataclass(frozen=True, slots=True)
class OutOfOrder(Finding):
    """A pending migration stands before one that is applied already."""

    applied: str
    advice = "pending, but it stands before {0.applied}, which is applied. Give it a newer version, or allow OutOfOrder"


@dataclass(frozen=True, slots=True)
class Unfinished(Finding):
    """A non-transactional step began and did not end: its process was killed, or a statement failed."""

    direction: Direction
    #: The number of the statement that failed, or of the one in doubt.
    statement: int | None = None
    #: Whether it is unknown if that statement took effect.
    in_doubt: bool = False
    error: str | None = None
    #: That statement in its script: file, line, and how it begins.
    where: str | None = None
    #: What the catalogue said before that statement is known: resume() compares it with what it says now.
    is_judged: bool = False
    #: What that comparison found, if it did not tell.
    seen: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = (
            f"{self.version}_{self.name}: its {self.direction} script began and has not ended: it is running now, or "
            "was interrupted"
        )
        if self.in_doubt and self.statement is None:
            return (
                f"{what}; how far it came is not known, for there is no journal that can be read. Look at the "
                f'database, finish or undo it by hand, then call resolve("{self.version}", applied=..., reason=...)'
            )
        if self.statement is None:
            return f"{what}. No statement is in doubt: call resume() to go on where it stopped"
        which = f"statement {self.statement}{f' ({self.where})' if self.where else ''}"
        if not self.in_doubt:
            advice = "Correct the cause, or that statement in the script, and call resume(); what ran before it stays"
            return f"{what}: {which} failed with: {self.error}. {advice}"
        error = f" ({self.error})" if self.error else ""
        sent = f"{what}; {which} was sent, and whether it took effect is not known{error}"
        if self.is_judged and not self.seen:
            return f"{sent}. Call resume(): it compares the catalogue with what it was before, and asks if it must"
        lines = "".join(f"\n    {line}" for line in self.seen)
        call = f'resolve("{self.version}", statement={self.statement}, applied='
        ask = (
            f"Look at the database, and say which is true: {call}True, reason=...) if it took effect, {call}False, "
            "reason=...) if nothing of it did. Then call resume()"
        )
        return f"{sent}{lines}\n{ask}" if lines else f"{sent}. {ask}"


@dataclass(frozen=True, slots=True)
class Step(_Value):
    """One migration in one direction. As a dictionary: without what is known of its script."""

    migration: Migration
    direction: Direction
    #: What is known of its script; filled in when the plan is checked.
    script: Script | None = field(default=None, repr=False)
    #: Whether its statements and its record commit together; also filled in then.
    transactional: bool = True

    @property
    def body(self) -> Body:
        """The script that this step runs."""
        body = self.migration.up if self.direction == "up" else self.migration.down
        assert body is not None  # noqa: S101 - the planner refuses steps without a way back
        return body

    def __str__(self) -> str:
        return f"{self.migration} {self.direction}"


@dataclass(frozen=True, slots=True)
class Plan(_Value):
    """The steps that would run, decided in advance, in that order. Making one writes nothing; it may be empty."""

    steps: tuple[Step, ...]
    #: The ledger's last `seq` that it was made from; apply() refuses the plan once that has moved.
    head: int
    #: The chain value of that record: another database's ledger has another one.
    chain: str | None = None
    #: Findings that were tolerated.
    findings: tuple[Finding, ...] = ()
    #: Prints a plan for the database that it was made for (printing.py); Migrator.plan() gives it.
    _print: Callable[[Plan], str] | None = field(default=None, repr=False, compare=False)

    def __bool__(self) -> bool:
        return bool(self.steps)

    def sql(self) -> str:
        """Return a script that does to the database what `apply` would, for `psql -X -f`, `mariadb <` or `sqlite3 <`.

        The same plan always gives the same text. Its head says for which ledger it is and how to run it; write it as
        UTF-8, with line ends as they are. Steps are transactions, or are journalled, as those of `apply` are, and write
        the same rows to the ledger. Each row is written first in its step, and only behind the very record that it
        follows and with the migration lock taken, otherwise the client fails there: a script that is stale, or is run
        twice, changes nothing. (The ledger is created before that where there was none.) The client stops at the first
        error; then `status`, `resume` and `resolve` work as after an `upgrade` that was killed, and the rest wants a
        new plan. So of a failed statement outside a transaction a person has to say whether it took effect.

        Not done: it waits for no other migrator, tries nothing again, and does not look for a pooler or a cluster. Its
        session begins with the search_path, sql_mode or foreign_keys that the plan's connection had (foreign_keys not
        where there was no SQLite file yet) and with the timeouts of the Migrator, and with no other setting of the
        application's; what it makes belongs to whoever runs it. The times in the ledger are those at which its rows
        were written. On MariaDB it is for the database of the plan, by name, and says EXECUTE IMMEDIATE, which MySQL
        does not have, where the client would drop something: carriage returns in strings, comments in routines.

        Writes nothing and opens no connection. Raises ConfigurationError if the ledger is not a TableLedger, or naming
        all steps that cannot be printed: those in Python, those that the client would misread, and on SQLite those that
        change their session, unless they are the last. Raises SourceError if a script is not what it was when the plan
        was made, and ValueError if this plan does not come from a Migrator.
        """
        if self._print is None:
            raise ValueError("only a plan of Migrator.plan() knows the database to print for")
        return self._print(self)


@dataclass(frozen=True, slots=True)
class Outcome(_Value):
    """A step that ran to its end and is in the ledger. There is none of a step that failed."""

    step: Step
    #: What the ledger says of it, without the down script.
    record: Record
    #: How many of its script ran; of a resumed step all, of one in Python 1.
    statements: int
    #: Wall time of the step: of one in a transaction without its COMMIT, of a resumed one since it was resumed.
    seconds: float


@dataclass(frozen=True, slots=True)
class Report(_Value):
    """What happened: the steps that ran and are committed and recorded, in order; also after a failure.

    It is false if there were none.
    """

    outcomes: tuple[Outcome, ...] = ()
    #: Wall time of the whole call, waiting included.
    seconds: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.outcomes)


@dataclass(frozen=True, slots=True)
class StatusEntry(_Named):
    """One migration, as source and ledger see it."""

    state: Literal["applied", "pending", "unfinished"]
    #: None: the source does not know it.
    migration: Migration | None
    #: The record that made it applied or unfinished.
    record: Record | None
    finding: Finding | None = None

    def __str__(self) -> str:
        note = f"  ({type(self.finding).__name__})" if self.finding else ""
        return f"{self.state:<10} {self.version}_{self.name}{note}"


@dataclass(frozen=True, slots=True)
class Status(_Value):
    """Every migration that source or ledger knows, in the source's order, at one moment."""

    entries: tuple[StatusEntry, ...]
    findings: tuple[Finding, ...]
    #: Findings that are not tolerated.
    errors: tuple[Finding, ...]

    @property
    def applied(self) -> tuple[StatusEntry, ...]:
        """What is applied now."""
        return tuple(entry for entry in self.entries if entry.state == "applied")

    @property
    def pending(self) -> tuple[StatusEntry, ...]:
        """What is not applied yet."""
        return tuple(entry for entry in self.entries if entry.state == "pending")

    @property
    def is_current(self) -> bool:
        """Nothing is pending, and there is no finding that is not tolerated."""
        return not self.errors and all(entry.state == "applied" for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Waiting(_Value):
    """Event: another migrator is in the way; said at once, and about once in 10 seconds.

    Also what `wait_until_current` waits for.
    """

    #: How long it has been so.
    seconds: float
    #: Who or what that is, for people; None where the database does not tell.
    holder: str | None


@dataclass(frozen=True, slots=True)
class StepStarted(_Value):
    """Event: a step is about to run. Raising from `on_event` here fails the step before its first statement.

    It is said again if the step was rolled back because of others at work, and starts anew. Of a step that fails
    there is no further event: the call raises.
    """

    step: Step


@dataclass(frozen=True, slots=True)
class Retrying(_Value):
    """Event: a step was rolled back because of others at work in the database, and will be tried again after a pause.

    A lock could not be had in time, there was a deadlock, or transactions could not be put in an order. Of a step
    outside a transaction it is only a statement without effect that is tried again. Raising from `on_event` here ends
    the call: nothing more is run, and what it raises comes out, of a step outside a transaction as MigrationFailed.
    """

    step: Step
    #: What the database said.
    error: str
    #: How many tries there were, and how many there can be.
    tries: int
    most: int
    #: Seconds until the next one.
    pause: float
    #: Sessions that had locks on what the statement names, for people; none where the database does not tell.
    blockers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StatementFinished(_Value):
    """Event: a statement of a step ran; in a transaction it is not committed yet.

    They come in the order of the script, between the start of their step and its end; of a step in Python there is
    one. Raising from `on_event` here fails the step.
    """

    step: Step
    #: Its number in the script, and the number of the last one to run.
    ordinal: int
    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StepFinished(_Value):
    """Event: a step ran and is committed; in a Connection of the caller's: it is done in the caller's transaction.

    Raising from `on_event` here stops the run behind it.

    Where several steps commit together, theirs come behind that commit, in order.
    """

    outcome: Outcome


Event = Waiting | StepStarted | StatementFinished | Retrying | StepFinished
