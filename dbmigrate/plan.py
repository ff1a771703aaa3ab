"""What should run: decided from values alone.

Law of this file: no database, no clock, no files. A source's migrations and a ledger's records come in, findings and
steps come out; the same values always give the same plan.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from operator import itemgetter
from typing import Literal

from dbmigrate.errors import LedgerError, TargetError, counted
from dbmigrate.model import (
    Ahead,
    Edited,
    Finding,
    JournalEntry,
    Migration,
    Missing,
    OutOfOrder,
    Record,
    Status,
    StatusEntry,
    Step,
    Unfinished,
)
from dbmigrate.script import ALGORITHM

#: The target of a downgrade that takes everything back.
BASE = "base"


@dataclass(frozen=True, slots=True)
class History:
    """What a ledger's records add up to."""

    #: The record that made each version applied, in order of application.
    applied: Mapping[str, Record]
    #: The record of a non-transactional step that began and did not end.
    unfinished: Record | None
    #: The last seq, 0 if there is none.
    seq: int
    #: The last chain value, None if there is none.
    chain: str | None


def chain_of(previous: str | None, record: Record) -> str:
    """Return the chain value of a record: SHA-256 over the previous value and the columns up to `down_checksum`.

    Times, names of people and reasons stay outside, so that a printed script can compute it. Versions and names of
    migrations hold no control character, so the separator is one.
    """
    what = (str(record.seq), record.version, record.name, record.action)
    scripts = (record.checksum or "", record.fingerprint or "", record.down_checksum or "")
    return ALGORITHM + sha256("\x1f".join((previous or "", *what, *scripts)).encode()).hexdigest()


def linked(previous: History | Record, record: Record) -> Record:
    """Return the record with the `chain` that it must have behind `previous`."""
    return replace(record, chain=chain_of(previous.chain, record))


def fold(records: Iterable[Record]) -> History:
    """Return what the records add up to, having checked that none was edited, inserted or deleted between others.

    Raises LedgerError naming the first record that does not fit. Deleting the newest records cannot be seen, and
    whoever can write the table can compute the chain anew: it shows accidents, not attacks.
    """
    applied: dict[str, Record] = {}
    unfinished: Record | None = None
    seq, chain = 0, None
    for record in records:
        if record.chain is not None:
            if record.seq != seq + 1 or record.chain != chain_of(chain, record):
                what = "was edited" if record.seq == seq + 1 else f"does not follow record {seq}: a record was deleted"
                raise LedgerError(
                    f"the ledger's record {record.seq} ({record}, {record.action}) {what}, or one before it was. The "
                    "ledger is append-only; restore it from a backup of the table. Nothing was run"
                )
            chain = record.chain
        seq = record.seq
        if record.action in ("up", "baseline", "resolve_applied"):
            if unfinished is None or unfinished.action == "begin_up":
                applied[record.version] = record
            unfinished = None
        elif record.action == "accept":
            if record.version in applied:
                marks = {name: getattr(record, name) for name in ("checksum", "fingerprint", "down_checksum")}
                applied[record.version] = replace(applied[record.version], **marks)
        elif record.action in ("down", "resolve_unapplied"):
            applied.pop(record.version, None)
            unfinished = None
        elif record.action in ("begin_up", "begin_down"):
            unfinished = record
        else:
            raise LedgerError(
                f"the ledger's record {record.seq} ({record}) has the action {record.action!r}, which this version of "
                "dbmigrate does not know. Upgrade dbmigrate; nothing was run"
            )
    return History(applied, unfinished, seq, chain)


def changed(migrations: Iterable[Migration], history: History) -> tuple[Migration, ...]:
    """Return the applied migrations whose up script has another checksum: their fingerprints decide."""
    recorded = {version: record.checksum for version, record in history.applied.items() if record.checksum}
    return tuple(m for m in migrations if m.version in recorded and recorded[m.version] != m.up.checksum)


def compare(
    migrations: Sequence[Migration],
    history: History,
    fingerprints: Mapping[str, str | None],
    journal: Sequence[JournalEntry] | None = (),
) -> tuple[Finding, ...]:
    """Return every disagreement between a source and a ledger, over the whole history.

    `fingerprints` has those of the migrations that `changed` returned; `journal` has the entries of the unfinished
    step, if there is one; None: the ledger keeps no journal.
    """
    applied, findings = history.applied, list[Finding]()
    known = {m.version for m in migrations}
    begun = history.unfinished.version if history.unfinished else None
    pending = [m for m in migrations if m.version not in applied]  # what began is not done
    for m in changed(migrations, history):
        recorded = applied[m.version].fingerprint
        if recorded is None or recorded != fingerprints.get(m.version):
            findings.append(Edited(m.version, m.name))
    unknown = [record for version, record in applied.items() if version not in known]
    if unknown:
        newest = max((r.seq for v, r in applied.items() if v in known), default=None)
        is_ahead = not pending and newest is not None and all(r.seq > newest for r in unknown)
        kind = Ahead if is_ahead else Missing
        findings += [kind(record.version, record.name) for record in unknown]
    if pending:
        last = max((i for i, m in enumerate(migrations) if m.version in applied), default=0)
        findings += [
            OutOfOrder(m.version, m.name, str(migrations[last]))
            for m in migrations[:last]
            if m.version not in applied and m.version != begun
        ]
    if history.unfinished is not None:
        findings.append(unfinished(history.unfinished, journal))
    return tuple(findings)


def unfinished(record: Record, journal: Sequence[JournalEntry] | None) -> Unfinished:
    """Say of a step that began and did not end which statement failed or is in doubt; without a journal, all are.

    At most one can be: each is journalled as started before it is sent, and as done or failed before the next one is.
    """
    found = Unfinished(record.version, record.name, "up" if record.action == "begin_up" else "down")
    if journal is None:
        return replace(found, in_doubt=True)
    if not journal or journal[-1].state == "done":
        return found
    last = journal[-1]
    in_doubt = last.state == "started"
    is_judged = in_doubt and last.catalogue is not None
    return replace(found, statement=last.ordinal, in_doubt=in_doubt, error=last.error, is_judged=is_judged)


def find(version: str, migrations: Sequence[Migration]) -> Migration:
    """Return the migration of a version.

    Raises TargetError listing near misses. Nothing is guessed: `42` does not mean `0042`.
    """
    for migration in migrations:
        if migration.version == version:
            return migration
    from difflib import get_close_matches  # noqa: PLC0415 - only errors need it

    names = {text: str(m) for m in migrations for text in (str(m), m.version, m.name)}
    near = dict.fromkeys(names[text] for text in get_close_matches(version, names, n=3, cutoff=0.5))
    near |= dict.fromkeys(str(m) for m in migrations if version.lstrip("0") == m.version.lstrip("0"))
    near |= dict.fromkeys([str(m) for m in migrations if version and m.version.startswith(version)][:3])
    hint = f"did you mean the version of {' or '.join(near)}?" if near else "status() lists the versions there are."
    raise TargetError(f"there is no migration with version {version!r}: {hint} Nothing was run")


def upgrade_steps(migrations: Sequence[Migration], history: History, to: str | None = None) -> tuple[Step, ...]:
    """Return everything pending, at or before `to` in the source's order.

    What was begun to be taken back is not applied any more: whoever needs it must wait, or hear that it is unfinished.
    """
    last = len(migrations) if to is None else migrations.index(find(to, migrations)) + 1
    begun = history.unfinished.version if history.unfinished else None
    return tuple(Step(m, "up") for m in migrations[:last] if m.version not in history.applied or m.version == begun)


def downgrade_steps(
    migrations: Sequence[Migration], history: History, *, to: str | None = None, steps: int = 1
) -> tuple[Step, ...]:
    """Return what a downgrade takes back, in reverse order of application.

    `to`: everything applied that stands after it in the source ("base": everything above the baseline); without it
    the last `steps`. Raises TargetError when something on the way cannot be taken back, naming all of it.
    """
    newest_first = list(history.applied.values())[::-1]
    if to is None or to == BASE:
        above = [record for record in newest_first if record.action != "baseline"]
        count = len(above) if to == BASE else steps
        if count > len(above):
            floor = " above the baseline" if len(above) < len(newest_first) else ""
            there = f"{counted(len(above), 'migration')} applied{floor}"
            raise TargetError(f"cannot go {counted(count, 'step')} back: {there}. Nothing was run")
        chosen = above[:count]
    else:
        last = migrations.index(find(to, migrations))
        place = {m.version: i for i, m in enumerate(migrations)}
        # what the source does not know counts by when it ran
        since = history.applied[to].seq if to in history.applied else -1
        chosen = [r for r in newest_first if (place[r.version] > last if r.version in place else r.seq > since)]
    known = {m.version: m for m in migrations}
    stuck = [
        f"{r} ({'no down script' if r.version in known else 'not in the source'})"
        for r in chosen
        if r.version not in known or known[r.version].down is None
    ]
    if stuck:
        raise TargetError(f"no way back through {', '.join(stuck)}. Nothing was run")
    return tuple(Step(known[r.version], "down") for r in chosen)


def goto_steps(migrations: Sequence[Migration], history: History, to: str) -> tuple[Step, ...]:
    """Return what leads to exactly `to` and what stands before it: everything after it back, the rest up."""
    back = downgrade_steps(migrations, history, to=to)
    return back if to == BASE else back + upgrade_steps(migrations, history, to)


def redo_steps(migrations: Sequence[Migration], history: History, steps: int) -> tuple[Step, ...]:
    """Return the way back over the last `steps`, and up again."""
    back = downgrade_steps(migrations, history, steps=steps)
    return back + tuple(Step(step.migration, "up") for step in reversed(back))


def tolerate(findings: Iterable[Finding], allow: Collection[type[Finding]]) -> tuple[Finding, ...]:
    """Return the findings that are not allowed; an unfinished step never is."""
    return tuple(f for f in findings if isinstance(f, Unfinished) or not isinstance(f, tuple(allow)))


def make_status(
    migrations: Sequence[Migration], history: History, findings: tuple[Finding, ...], allow: Collection[type[Finding]]
) -> Status:
    """Return every migration that source or ledger knows: the source's order, unknown ones behind what ran before."""
    by_version = {finding.version: finding for finding in findings}
    place = {m.version: i for i, m in enumerate(migrations)}
    rows: list[tuple[int, int, Migration | Record]] = [(i, 0, m) for i, m in enumerate(migrations)]
    begun, behind = history.unfinished, -1
    for version, record in history.applied.items():
        behind = place.get(version, behind)
        if version not in place:
            rows.append((behind, record.seq, record))
    if begun is not None and begun.version not in place and begun.version not in history.applied:
        rows.append((len(migrations), begun.seq, begun))
    entries: list[StatusEntry] = []
    for *_, about in sorted(rows, key=itemgetter(0, 1)):
        since = history.applied.get(about.version)
        state: Literal["applied", "pending", "unfinished"] = "applied" if since else "pending"
        if begun is not None and begun.version == about.version:
            since, state = begun, "unfinished"
        known = migrations[place[about.version]] if about.version in place else None
        entries.append(StatusEntry(about.version, about.name, state, known, since, by_version.get(about.version)))
    return Status(tuple(entries), findings, tolerate(findings, allow))
