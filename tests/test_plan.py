"""The planner as a pure function: every finding, every action, every way there and back, as tables.

A history is written as the actions in their order, `1u 2u 2d`: `u` up, `d` down, `b` baseline, `U` and `D` the begin
of a non-transactional step, `a` and `n` resolved as applied and as not applied. A mark says how the script that ran
differs from the source's: `!` in its statements, `~` in comments only, `*` in its bytes and nobody knows in what; `?`:
its checksum is not known. A source is written as its versions, `1 2- 3`: `-` has no way back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dbmigrate import (
    Ahead,
    Edited,
    Finding,
    LedgerError,
    Migration,
    Missing,
    OutOfOrder,
    Record,
    Status,
    TargetError,
    Unfinished,
)
from dbmigrate.model import JournalEntry, TextBody
from dbmigrate.plan import (
    History,
    chain_of,
    changed,
    compare,
    downgrade_steps,
    find,
    fold,
    linked,
    make_status,
    tolerate,
    unfinished,
    upgrade_steps,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbmigrate import Step

_ACTIONS: Final = {
    "u": "up",
    "d": "down",
    "b": "baseline",
    "U": "begin_up",
    "D": "begin_down",
    "a": "resolve_applied",
    "n": "resolve_unapplied",
}
_TOKEN: Final = re.compile(r"(?P<version>\d+)(?P<action>[udbUDan])(?P<mark>[!~*?]?)")


# -- the notations


def source(notation: str) -> list[Migration]:
    """Return the migrations of a notation, in its order."""
    return [_migration(word.rstrip("-"), is_reversible="-" not in word) for word in notation.split()]


def _migration(version: str, *, is_reversible: bool = True) -> Migration:
    up = TextBody(f"{version}.up.sql", f"sum-{version}", "SELECT 1")
    down = TextBody(f"{version}.down.sql", f"down-{version}", "SELECT 1")
    return Migration(version, f"m{version}", up, down if is_reversible else None)


def records(notation: str) -> list[Record]:
    """Return the records of a notation, linked as a ledger links them."""
    result: list[Record] = []
    for number, word in enumerate(notation.split(), 1):
        token = _TOKEN.fullmatch(word)
        assert token is not None, word
        version, mark = token["version"], token["mark"]
        record = Record(
            number,
            version,
            f"m{version}",
            _ACTIONS[token["action"]],
            None if mark == "?" else f"sum-{version}{'-as-it-was' if mark in {'!', '~', '*'} else ''}",
            None if mark in {"*", "?"} else f"print-{version}{'-as-it-was' if mark == '!' else ''}",
            f"down-{version}",
        )
        result.append(linked(result[-1] if result else fold(()), record))
    return result


def history(notation: str) -> History:
    """Return what a notation adds up to."""
    return fold(records(notation))


def compared(ledger: str, migrations: Sequence[Migration]) -> tuple[Finding, ...]:
    """Return the findings; a changed script has the fingerprint that a script of its version has."""
    past = history(ledger)
    return compare(migrations, past, {m.version: f"print-{m.version}" for m in changed(migrations, past)})


def shown(findings: Sequence[Finding]) -> str:
    """Return findings as a notation: type and version, and what else the type says."""
    words = []
    for finding in findings:
        more = f"<{finding.applied}" if isinstance(finding, OutOfOrder) else ""
        more = f":{finding.direction}" if isinstance(finding, Unfinished) else more
        words.append(f"{type(finding).__name__} {finding.version}{more}")
    return ", ".join(words)


def versions(steps: Sequence[Step]) -> str:
    """Return the versions of steps, in their order."""
    return " ".join(step.migration.version for step in steps)


# -- fold


@pytest.mark.parametrize(
    ("ledger", "applied", "begun"),
    [
        ("", "", None),
        ("1u", "1", None),
        ("1u 2u 3u", "1 2 3", None),
        ("3u 1u 2u", "3 1 2", None),
        ("1b 2b 3u", "1 2 3", None),
        ("1u 2u 2d", "1", None),
        ("1u 1d", "", None),
        ("1u 2u 1d 1u", "2 1", None),
        ("1u 2U", "1", "2"),
        ("1u 2U 2u", "1 2", None),
        ("1u 2U 2a", "1 2", None),
        ("1u 2U 2n", "1", None),
        ("1u 2U 2n 2U", "1", "2"),
        ("1u 2u 2D", "1 2", "2"),
        ("1u 2u 2D 2d", "1", None),
        ("1u 2u 2D 2n", "1", None),
        ("1u 2u 1D 1a", "1 2", None),
        ("1u 2U 2u 2D 2n 2u", "1 2", None),
        ("1a", "1", None),
        ("1u 1n", "", None),
    ],
)
def test_fold_adds_up_every_action(ledger: str, applied: str, begun: str | None) -> None:
    """What is applied now, in order of application, and what did not end."""
    past = history(ledger)

    assert applied.split() == list(past.applied)
    assert begun == (past.unfinished.version if past.unfinished else None)
    assert len(ledger.split()) == past.seq
    assert (records(ledger)[-1].chain if ledger else None) == past.chain


@pytest.mark.parametrize(("ledger", "seq"), [("1u 2U 2a", 3), ("1u 1D 1a", 1), ("1u 1d 1u", 3), ("1b", 1)])
def test_fold_keeps_the_record_that_made_it_applied(ledger: str, seq: int) -> None:
    """A version stands by its last application; a downgrade that is resolved as undone changes nothing."""
    assert [seq] == [record.seq for version, record in history(ledger).applied.items() if version == ledger[-2]]


def test_fold_refuses_an_unknown_action() -> None:
    """An action of a newer dbmigrate is an error that says to upgrade, not something to pass over."""
    accepted = linked(records("1u")[0], Record(2, "1", "m1", "stamp"))

    with pytest.raises(LedgerError, match=r"record 2 \(1_m1\) has the action 'stamp'.*Upgrade dbmigrate"):
        fold([*records("1u"), accepted])


_EDITS: Final = {
    "version": "7",
    "name": "other",
    "action": "baseline",
    "checksum": "sum-7",
    "fingerprint": "print-7",
    "down_checksum": "down-7",
    "chain": "sha256:" + "0" * 64,
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("column", _EDITS)
def test_an_edited_column_is_noticed(place: int, column: str) -> None:
    """Every column under the chain counts, in the first record, in between and in the last."""
    rows = records("1u 2u 3u")
    rows[place] = replace(rows[place], **{column: _EDITS[column]})  # type: ignore[arg-type]

    with pytest.raises(LedgerError, match=rf"record {place + 1} .*was edited"):
        fold(rows)


def test_what_stays_outside_the_chain_may_change() -> None:
    """Times, people, sessions, versions of the tool and reasons are no part of the chain."""
    plain = records("1u 2u")
    told = [replace(r, applied_by="me", session="1@2", tool="9", reason="so", down_sql="x") for r in plain]

    assert list(fold(plain).applied) == list(fold(told).applied)


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ([2, 3, 4], "record 2 .*does not follow record 0: a record was deleted"),
        ([1, 3, 4], "record 3 .*does not follow record 1: a record was deleted"),
        ([1, 2, 4], "record 4 .*does not follow record 2"),
        ([2, 1, 3, 4], "record 2 "),
        ([1, 3, 2, 4], "record 3 "),
        ([1, 2, 2, 3, 4], "record 2 "),
    ],
)
def test_deleted_reordered_and_doubled_rows_are_noticed(order: list[int], first: str) -> None:
    """Every row stands behind the one it was written behind, and the error names the first that does not."""
    rows = records("1u 2u 3u 4u")

    with pytest.raises(LedgerError, match=first):
        fold([rows[seq - 1] for seq in order])


def test_exchanged_and_renumbered_rows_are_noticed() -> None:
    """Numbers that were made to fit again do not help, for they are under the chain."""
    one, two, three = records("1u 2u 3u")
    forged = Record(2, "9", "m9", "up", "sum-9", "print-9", chain=two.chain)

    for rows in (
        [replace(two, seq=1), replace(one, seq=2), three],
        [one, replace(three, seq=2)],
        [one, forged, replace(two, seq=3), replace(three, seq=4)],
        [one, forged, three],
    ):
        with pytest.raises(LedgerError, match="append-only"):
            fold(rows)


def test_the_newest_records_can_be_cut_off() -> None:
    """That records are gone from the end cannot be seen; fold says so, and callers must not count on it."""
    assert list(fold(records("1u 2u 3u")[:2]).applied) == ["1", "2"]


def test_ledgers_without_a_chain_are_read_as_they_are() -> None:
    """A ledger that keeps no chain (another tool's table) may have any numbers."""
    rows = [replace(r, chain=None, seq=r.seq * 10) for r in records("1u 2u 2d 3u")]

    assert (list(fold(rows).applied), fold(rows).seq, fold(rows).chain) == (["1", "3"], 40, None)


def test_a_chain_may_begin_behind_records_without_one() -> None:
    """A ledger that was taken over goes on with a chain, and from there every row is checked."""
    rows = [replace(r, chain=None) for r in records("1u 2u")]
    rows.append(linked(fold(rows), Record(3, "3", "m3", "up")))

    assert list(fold(rows).applied) == ["1", "2", "3"]
    with pytest.raises(LedgerError, match="record 3"):
        fold([*rows[:2], replace(rows[2], name="other")])
    with pytest.raises(LedgerError, match="record 4"):
        fold([*rows[:2], linked(fold(rows[:2]), Record(4, "3", "m3", "up"))])


# -- chain


def test_the_chain_is_what_a_printed_script_would_compute() -> None:
    """The format is pinned: SHA-256 over the previous value and seven columns, joined by U+001F, in UTF-8."""
    previous = "sha256:" + "ab" * 32
    record = Record(3, "0042", "añadir", "up", "sha256:c1", None, "sha256:d1", reason="outside", down_sql="outside")
    text = b"sha256:" + b"ab" * 32 + b"\x1f3\x1f0042\x1fa\xc3\xb1adir\x1fup\x1fsha256:c1\x1f\x1fsha256:d1"

    assert "sha256:" + sha256(text).hexdigest() == chain_of(previous, record)
    assert chain_of(previous, record) == "sha256:521c72788c01af79535b0ead72700891be33c6acc9f517a53bd1c3ee8bf23a5e"


def test_the_first_chain_value_stands_behind_an_empty_one() -> None:
    """The first record has the empty text for its previous value."""
    record = Record(1, "1", "users", "baseline")

    assert "sha256:" + sha256(b"\x1f1\x1f1\x1fusers\x1fbaseline\x1f\x1f\x1f").hexdigest() == chain_of(None, record)
    assert chain_of(None, record) == "sha256:ca84554ce73c38445dcd02122017e5c477fe28754aa6e67c910f677f9e9f8267"


_printable = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=4)


@settings(deadline=None)
@given(*(st.tuples(*[_printable] * 6) for _ in "ab"))
def test_separators_cannot_be_forged(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """Text that a source lets through cannot move from one column into the next: other columns, other chain."""
    assume(one != other)

    assert chain_of(None, Record(1, *one)) != chain_of(None, Record(1, *other))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other"),
    [(("12", "3"), ("1", "23")), (("1", "x up"), ("1 x", "up")), (("1", ""), ("", "1")), (("1\x1fa", "b"), ("1", "a"))],
)
def test_columns_do_not_run_together(one: tuple[str, str], other: tuple[str, str]) -> None:
    """What is version and what is name is under the chain too."""
    assert chain_of(None, Record(1, *one, "up")) != chain_of(None, Record(1, *other, "up"))


# -- compare


@pytest.mark.parametrize(
    ("ledger", "migrations", "findings"),
    [
        # In agreement: nothing applied, some, all; up and down; a baseline; no order but the source's.
        ("", "", ""),
        ("", "1 2", ""),
        ("1u", "1 2", ""),
        ("1u 2u", "1 2", ""),
        ("1u 2u 2d", "1 2", ""),
        ("1u 2u 2d 2u", "1 2", ""),
        ("1b 2b", "1 2 3", ""),
        ("3u 1u", "3 1 2", ""),
        ("2u 1u", "1 2", ""),
        # Edited: by the fingerprint, and only of what is applied.
        ("1u! 2u", "1 2", "Edited 1"),
        ("1u 2u!", "1 2", "Edited 2"),
        ("1u! 2u!", "1 2 3", "Edited 1, Edited 2"),
        ("2u! 1u!", "1 2", "Edited 1, Edited 2"),
        ("1u~ 2u", "1 2", ""),
        ("1u* 2u", "1 2", "Edited 1"),
        ("1u? 2u", "1 2", ""),
        ("1b!", "1", "Edited 1"),
        ("1U 1a!", "1", "Edited 1"),
        ("1u! 1d", "1", ""),
        ("1u! 1d 1u", "1", ""),
        ("1u 1d!", "1", ""),
        # Missing: in the middle, at the end with something pending, without anything known.
        ("1u 2u 3u", "1 3", "Missing 2"),
        ("1u 2u 3u", "2 3", "Missing 1"),
        ("1u 2u", "", "Missing 1, Missing 2"),
        ("1u 2u", "1 3", "Missing 2"),
        ("1u 3u 4u", "1 2", "Missing 3, Missing 4"),
        ("1u 2u 3u 4u", "1 3", "Missing 2, Missing 4"),
        ("1u 2u 2d", "1", ""),
        ("1b 2b 3b", "2 3", "Missing 1"),
        ("1u", "2", "Missing 1"),
        # Ahead: behind all that is known, by order of application, and nothing pending.
        ("1u 2u", "1", "Ahead 2"),
        ("1u 2u 3u", "1", "Ahead 2, Ahead 3"),
        ("1b 2b 3u", "1 2", "Ahead 3"),
        ("2u 1u", "2", "Ahead 1"),
        ("2u 1u", "1", "Missing 2"),
        ("1u 2u 1d 1u", "1", "Missing 2"),
        ("1u 2u 1d", "1", "Missing 2"),
        # OutOfOrder: pending before the last applied one of the source's order.
        ("2u", "1 2", "OutOfOrder 1<2_m2"),
        ("1u 3u", "1 2 3 4", "OutOfOrder 2<3_m3"),
        ("1u 4u", "1 2 3 4 5", "OutOfOrder 2<4_m4, OutOfOrder 3<4_m4"),
        ("3u 2u", "1 2 3", "OutOfOrder 1<3_m3"),
        ("1u 2u 3u 2d", "1 2 3", "OutOfOrder 2<3_m3"),
        ("1u 2u", "2 3 1", "OutOfOrder 3<1_m1"),
        ("2b", "1 2", "OutOfOrder 1<2_m2"),
        # Unfinished: neither pending nor, of itself, out of order.
        ("1u 2U", "1 2", "Unfinished 2:up"),
        ("1u 2u 2D", "1 2", "Unfinished 2:down"),
        ("1u 3u 2U", "1 2 3", "Unfinished 2:up"),
        ("1u 3u 2U", "1 2 3 4", "Unfinished 2:up"),
        ("1u 2U 2u", "1 2", ""),
        ("1u 2U 2n", "1 2", ""),
        ("2U", "1 2", "Unfinished 2:up"),
        # Together: in this order, whatever happened first.
        ("1u! 2u 3u", "1 3", "Edited 1, Missing 2"),
        ("1u! 2u", "1", "Edited 1, Ahead 2"),
        ("2u!", "1 2", "Edited 2, OutOfOrder 1<2_m2"),
        ("1u! 2u 4u 5U", "1 3 4 5", "Edited 1, Missing 2, OutOfOrder 3<4_m4, Unfinished 5:up"),
        ("1u! 1D", "1", "Edited 1, Unfinished 1:down"),
        ("1u 2u 2D", "1", "Ahead 2, Unfinished 2:down"),
        ("1u 2U", "1", "Unfinished 2:up"),
        ("1u 2u 3U", "1 3", "Missing 2, Unfinished 3:up"),
    ],
)
def test_compare_finds_every_disagreement(ledger: str, migrations: str, findings: str) -> None:
    """The table of findings."""
    assert findings == shown(compared(ledger, source(migrations)))


def test_findings_are_whole_values() -> None:
    """A finding names the migration; of a stranger it has the name that the ledger knows."""
    assert (Edited("1", "m1"), Missing("2", "m2"), OutOfOrder("3", "m3", "4_m4")) == compared(
        "1u! 2u 4u", source("1 3 4")
    )
    assert (Ahead("2", "m2"),) == compared("1u 2u", source("1"))


@pytest.mark.parametrize(
    ("ledger", "expected"),
    [("1u 2u 3u", ""), ("1u! 2u~ 3u*", "1 2 3"), ("1u? 2u", ""), ("1u! 1d 2u", ""), ("2u! 9u!", "2"), ("1U!", "")],
)
def test_changed_asks_for_as_few_fingerprints_as_possible(ledger: str, expected: str) -> None:
    """Only applied migrations whose checksum was recorded and is another one now, in the source's order."""
    assert expected == " ".join(m.version for m in changed(source("1 2 3"), history(ledger)))


def test_a_script_that_cannot_be_cut_is_edited() -> None:
    """No fingerprint, or the empty one of a script that cannot be cut, is not the one that was recorded, if any was."""
    for ledger in ("1u~", "1u*"):
        for fingerprints in ({}, {"1": ""}):
            assert (Edited("1", "m1"),) == compare(source("1"), history(ledger), fingerprints)


# -- unfinished


def _entry(number: int, ordinal: int, state: str, error: str | None = None) -> JournalEntry:
    return JournalEntry(2, number, ordinal, "sha256:x", state, error)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("journal", "expected"),
    [
        ([], (None, False, None)),
        ([_entry(1, 1, "started")], (1, True, None)),
        ([_entry(1, 1, "done")], (None, False, None)),
        ([_entry(1, 1, "done"), _entry(2, 2, "done")], (None, False, None)),
        ([_entry(1, 1, "started"), _entry(2, 1, "done")], (None, False, None)),
        ([_entry(1, 1, "started"), _entry(2, 1, "done"), _entry(3, 2, "started")], (2, True, None)),
        ([_entry(1, 1, "started"), _entry(2, 1, "failed", "no such table")], (1, False, "no such table")),
        ([_entry(1, 2, "started", "lost")], (2, True, "lost")),
        ([_entry(1, 1, "started"), _entry(2, 1, "failed", "by hand"), _entry(3, 1, "started")], (1, True, None)),
    ],
)
@pytest.mark.parametrize("direction", ["up", "down"])
def test_unfinished_says_which_statement(
    journal: list[JournalEntry], expected: tuple[int | None, bool, str | None], direction: str
) -> None:
    """The last entry of the journal tells what failed or is in doubt, and that nothing is."""
    begun = records("1u 1D" if direction == "down" else "2u 1U")[-1]

    assert Unfinished("1", "m1", direction, *expected) == unfinished(begun, journal)  # type: ignore[arg-type]


def test_compare_reads_the_journal_of_the_unfinished_step() -> None:
    """The finding of `compare` says the same as `unfinished`."""
    journal = [_entry(1, 1, "done"), _entry(2, 2, "started")]

    assert (Unfinished("2", "m2", "up", 2, in_doubt=True),) == compare(source("1 2"), history("1u 2U"), {}, journal)


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        (Unfinished("1", "m", "up"), ["No statement is in doubt", "resume()"]),
        (Unfinished("1", "m", "up", 2, in_doubt=True), ["statement 2", 'resolve("1", statement=2', "resume()"]),
        (Unfinished("1", "m", "down", 2, in_doubt=True, error="gone"), ["its down script", "(gone)", "resolve("]),
        (Unfinished("1", "m", "up", 2, error="no table"), ["failed with: no table", "resume()"]),
        (Edited("1", "m"), ["Restore the file"]),
        (Missing("1", "m"), ["Restore its file"]),
        (Ahead("1", "m"), ["Deploy a release"]),
        (OutOfOrder("1", "m", "2_n"), ["before 2_n", "newer version"]),
    ],
)
def test_findings_say_what_to_do(finding: Finding, words: list[str]) -> None:
    """The text of a finding names the migration, says what is wrong, and says what to do next."""
    assert str(finding).startswith("1_m: ")
    assert [word for word in words if word not in str(finding)] == []


# -- upgrade


@pytest.mark.parametrize(
    ("ledger", "migrations", "to", "expected"),
    [
        ("", "", None, ""),
        ("", "1 2 3", None, "1 2 3"),
        ("1u", "1 2 3", None, "2 3"),
        ("1u 2u 3u", "1 2 3", None, ""),
        ("", "1 2 3", "2", "1 2"),
        ("1u", "1 2 3", "1", ""),
        ("1u 2u 3u", "1 2 3", "1", ""),
        ("", "3 1 2", "1", "3 1"),
        ("2u", "1 2 3", None, "1 3"),
        ("2u", "1 2 3", "2", "1"),
        ("1u 2u 1d", "1 2", None, "1"),
        ("1b 2b", "1 2 3", None, "3"),
        ("9u", "1", None, "1"),
        ("1U 1n", "1", None, "1"),
        ("1U 1a", "1 2", None, "2"),
    ],
)
def test_upgrade_takes_what_is_pending(ledger: str, migrations: str, to: str | None, expected: str) -> None:
    """Everything pending, or what is pending at or before the target in the source's order."""
    steps = upgrade_steps(source(migrations), history(ledger), to)

    assert expected == versions(steps)
    assert {"up"} >= {step.direction for step in steps}


# -- downgrade


@pytest.mark.parametrize(
    ("ledger", "migrations", "to", "steps", "expected"),
    [
        # A number of steps: the newest applications first, whatever the source's order.
        ("1u 2u 3u", "1 2 3", None, 1, "3"),
        ("1u 2u 3u", "1 2 3", None, 3, "3 2 1"),
        ("1u 3u 2u", "1 2 3", None, 1, "2"),
        ("1u 3u 2u", "1 2 3", None, 2, "2 3"),
        ("1u 2u 1d 1u", "1 2", None, 1, "1"),
        ("1b 2b 3u 4u", "1 2 3 4", None, 2, "4 3"),
        ("1U 1a", "1", None, 1, "1"),
        ("1u 9u 2u", "1 2", None, 1, "2"),
        # Everything, down to the baseline.
        ("1u 2u 3u", "1 2 3", "base", 1, "3 2 1"),
        ("1u 2u 2d", "1 2", "base", 1, "1"),
        ("1b 2b 3u", "1 2 3", "base", 1, "3"),
        ("1b 2b", "1 2", "base", 1, ""),
        ("", "1 2", "base", 1, ""),
        # To a version: chosen by the source's order, run against the order of application.
        ("1u 2u 3u", "1 2 3", "1", 1, "3 2"),
        ("1u 2u 3u", "1 2 3", "3", 1, ""),
        ("1u 3u 2u", "1 2 3", "1", 1, "2 3"),
        ("3u 2u 1u", "1 2 3", "1", 1, "2 3"),
        ("3u 1u 2u", "1 2 3", "2", 1, "3"),
        ("3u 1u 2u", "3 1 2", "1", 1, "2"),
        ("1u 3u", "1 2 3", "2", 1, "3"),
        ("", "1 2 3", "2", 1, ""),
        # A version may be asked for below the baseline.
        ("1b 2b 3u", "1 2 3", "1", 1, "3 2"),
        ("1b 2b 3u", "1 2 3", "2", 1, "3"),
        # What the source does not know counts by when it ran: before the target it stays.
        ("9u 1u 2u", "1 2", "1", 1, "2"),
        ("1u 9u 2u 3u", "1 2 3", "2", 1, "3"),
        # What has no way back is no hindrance where it stays.
        ("1u 2u 3u", "1- 2 3", "1", 1, "3 2"),
        ("1u 2u 3u", "1- 2- 3", None, 1, "3"),
    ],
)
def test_downgrade_takes_back(ledger: str, migrations: str, to: str | None, steps: int, expected: str) -> None:
    """Which steps go back, and in which order."""
    chosen = downgrade_steps(source(migrations), history(ledger), to=to, steps=steps)

    assert expected == versions(chosen)
    assert {"down"} >= {step.direction for step in chosen}


@pytest.mark.parametrize(
    ("ledger", "migrations", "to", "steps", "message"),
    [
        ("", "1 2", None, 1, r"cannot go 1 step back: no migrations applied\. Nothing"),
        ("1u 2u", "1 2", None, 3, r"cannot go 3 steps back: 2 migrations applied\. Nothing"),
        ("1b 2b 3u", "1 2 3", None, 2, "cannot go 2 steps back: 1 migration applied above the baseline"),
        ("1b", "1", None, 1, "no migrations applied above the baseline"),
        ("1u 2u 3u", "1 2- 3-", "1", 1, r"no way back through 3_m3 \(no down script\), 2_m2 \(no down script\)\. N"),
        ("1u 2u", "1- 2", "base", 1, r"no way back through 1_m1 \(no down script\)"),
        ("1u 9u", "1", None, 1, r"no way back through 9_m9 \(not in the source\)"),
        ("1u 9u 2u-", "1 2", "1", 1, r"9_m9 \(not in the source\)"),
        # Without the target in the ledger nobody can say where a stranger stands.
        ("1u 9u 3u", "1 2 3", "2", 1, r"9_m9 \(not in the source\)"),
        ("9u 1u 2u", "1 2-", "base", 1, r"2_m2 \(no down script\), 9_m9 \(not in the source\)"),
        ("1u 2u", "1 2", "3", 1, "no migration with version '3'"),
    ],
)
def test_downgrade_refuses(ledger: str, migrations: str, to: str | None, steps: int, message: str) -> None:
    """What cannot be taken back is refused before anything runs, all of it at once."""
    with pytest.raises(TargetError, match=message):
        downgrade_steps(source(migrations), history(ledger.replace("-", "")), to=to, steps=steps)


# -- find


def test_find_returns_the_migration_of_that_very_version() -> None:
    """Versions are opaque: they are compared as they are."""
    migrations = source("1 01 10")

    assert migrations[1] is find("01", migrations)


@pytest.mark.parametrize(
    ("version", "hint"),
    [
        ("42", r"did you mean the version of 0042_users\?"),
        ("0042_users", r"did you mean the version of 0042_users\?"),
        ("users", r"did you mean the version of 0042_users\?"),
        ("usres", r"did you mean the version of 0042_users\?"),
        ("7", r"did you mean the version of 00000000000007_rows\?"),
        ("0043", r"did you mean the version of 0042_users"),
        ("zzzz", r"status\(\) lists the versions there are"),
        ("", r"status\(\) lists the versions there are"),
    ],
)
def test_find_lists_near_misses(version: str, hint: str) -> None:
    """Nothing is guessed; the error names what may have been meant, in whole sentences."""
    named = {"0042": "users", "0100": "note", "00000000000007": "rows"}
    migrations = [replace(_migration(number), name=name) for number, name in named.items()]

    with pytest.raises(TargetError, match=rf"there is no migration with version '{version}': {hint}") as caught:
        find(version, migrations)
    assert re.search(r"[.?] Nothing was run$", str(caught.value))


# -- tolerate, make_status


def test_tolerate_never_lets_an_unfinished_step_pass() -> None:
    """What is allowed is left out, what is not stays in its order, and Unfinished stays whatever is allowed."""
    findings = compared("1u! 2u 4u 5U", source("1 3 4 5"))

    assert findings == tolerate(findings, ())
    assert shown(tolerate(findings, {Edited, Missing})) == "OutOfOrder 3<4_m4, Unfinished 5:up"
    assert shown(tolerate(findings, {Edited, Missing, Ahead, OutOfOrder, Unfinished})) == "Unfinished 5:up"
    assert shown(tolerate(findings, [Finding])) == "Unfinished 5:up"


def status(ledger: str, migrations: str, allow: Sequence[type[Finding]] = ()) -> Status:
    """Return the status of a notation."""
    known = source(migrations)
    return make_status(known, history(ledger), compared(ledger, known), allow)


@pytest.mark.parametrize(
    ("ledger", "migrations", "expected"),
    [
        ("", "", ""),
        ("1u", "1 2", "1 applied, 2 pending"),
        ("2u 1u", "1 2", "1 applied, 2 applied"),
        ("2u!", "1 2", "1 pending OutOfOrder, 2 applied Edited"),
        ("1u 2U", "1 2 3", "1 applied, 2 unfinished Unfinished, 3 pending"),
        ("1u 2u 1D", "1 2", "1 unfinished Unfinished, 2 applied"),
        # Strangers stand behind what ran before them.
        ("8u 1u 9u 2u", "1 2", "8 applied Missing, 1 applied, 9 applied Missing, 2 applied"),
        ("8u 9u", "1", "8 applied Missing, 9 applied Missing, 1 pending"),
        ("1u 8u 9u", "1", "1 applied, 8 applied Ahead, 9 applied Ahead"),
        ("2u 9u 1u", "1 2", "1 applied, 2 applied, 9 applied Missing"),
        ("1u 9u 1d", "1 2", "9 applied Missing, 1 pending, 2 pending"),
        ("1u 9U", "1 2", "1 applied, 2 pending, 9 unfinished Unfinished"),
        ("1u 9u 9D", "1 2", "1 applied, 9 unfinished Unfinished, 2 pending"),
    ],
)
def test_status_lists_everything_once(ledger: str, migrations: str, expected: str) -> None:
    """Every migration that source or ledger knows, once, in the order of history."""
    entries = status(ledger, migrations).entries
    texts = [f"{e.version} {e.state}" + (f" {type(e.finding).__name__}" if e.finding else "") for e in entries]

    assert expected == ", ".join(texts)


def test_status_entries_have_their_sources_and_records() -> None:
    """An entry has the migration if the source knows it, and the record that made it so."""
    rows = records("1u 9u 2U")
    entries = status("1u 9u 2U", "1 2 3").entries

    assert [("1", rows[0]), (None, rows[1]), ("2", rows[2]), ("3", None)] == [
        (entry.migration and entry.migration.version, entry.record) for entry in entries
    ]


@pytest.mark.parametrize(
    ("ledger", "migrations", "allow", "is_current"),
    [
        ("", "", (), True),
        ("1u", "1", (), True),
        ("1u", "1 2", (), False),
        ("1u 2u", "1", (), False),
        ("1u 2u", "1", (Ahead,), True),
        ("1u!", "1", (), False),
        ("1u!", "1", (Edited,), True),
        ("2u", "1 2", (OutOfOrder,), False),
        ("1u 2U", "1 2", (Ahead, Edited, Missing, OutOfOrder), False),
        ("1u 1D", "1", (Ahead, Edited, Missing, OutOfOrder), False),
    ],
)
def test_current_means_nothing_pending_and_nothing_wrong(
    ledger: str, migrations: str, allow: Sequence[type[Finding]], is_current: bool
) -> None:
    """A tolerated finding leaves a database current; something pending or unfinished does not."""
    found = status(ledger, migrations, allow)

    assert is_current == found.is_current
    assert found.errors == tolerate(found.findings, allow)
    assert len(found.entries) == len(found.applied) + len(found.pending) + ("U" in ledger or "D" in ledger)


# -- properties, against a model

#: The machine may be busy with other tests.
_PATIENT: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@dataclass
class Model:
    """A ledger as a person would keep it: a list of what stands, in order of application, and what is open."""

    standing: list[str]
    open: str | None = None

    def possible(self, order: Sequence[str], *, at_start: bool) -> list[str]:
        """Return the actions that may come next."""
        if self.open is not None:
            version, direction = self.open[:-1], self.open[-1]
            return [version + action for action in (direction.lower(), "a", "n")]
        found = [v + a for v in order for a in ("dD" if v in self.standing else "uU")]
        return found + [v + "b" for v in order if at_start and v not in self.standing]

    def take(self, word: str) -> None:
        """Do one action."""
        version, action = word[:-1], word[-1]
        was_down, self.open = self.open is not None and self.open.endswith("D"), word if action in "UD" else None
        if action in "ub" or (action == "a" and not was_down):
            self.standing.append(version)
        if action in "dn" and version in self.standing:
            self.standing.remove(version)


_orders = st.permutations("123456").flatmap(lambda order: st.integers(0, 6).map(lambda n: tuple(order[:n])))


@st.composite
def _pasts(draw: st.DrawFn) -> tuple[tuple[str, ...], str, Model]:
    """Draw a source order, a history that it may have had, and the model's opinion of it."""
    order, model, words = draw(_orders), Model([]), list[str]()
    for _ in range(draw(st.integers(0, 12)) if order else 0):
        choices = model.possible(order, at_start=all(word.endswith("b") for word in words))
        words.append(draw(st.sampled_from(choices)))
        model.take(words[-1])
    return order, " ".join(words), model


def _after(ledger: str, steps: Sequence[Step]) -> str:
    """Return the history after steps were carried out."""
    return " ".join([ledger, *(step.migration.version + step.direction[0] for step in steps)])


@_PATIENT
@given(_pasts())
def test_fold_equals_the_model(past: tuple[tuple[str, ...], str, Model]) -> None:
    """Whatever happened, fold knows what stands, in order of application, and what is open."""
    _, ledger, model = past
    found, begun = history(ledger), records(ledger)[-1] if model.open else None

    assert (model.standing, begun) == (list(found.applied), found.unfinished)


@_PATIENT
@given(_pasts())
def test_an_upgrade_completes_what_is_applied(past: tuple[tuple[str, ...], str, Model]) -> None:
    """What is applied and what an upgrade would run are, together, everything; twice only what is half taken back."""
    order, ledger, model = past
    steps = upgrade_steps(source(" ".join(order)), history(ledger))

    half = (model.open or "")[:-1]
    assert [v for v in order if v not in model.standing or v == half] == versions(steps).split()


@_PATIENT
@given(_pasts(), st.data())
def test_a_downgrade_leaves_what_stands_at_or_before(
    past: tuple[tuple[str, ...], str, Model], data: st.DataObject
) -> None:
    """downgrade(to=X) leaves exactly what stands at or before X in the source; the newest application goes first."""
    order, ledger, model = past
    assume(order)
    to = data.draw(st.sampled_from(order))
    gone = versions(downgrade_steps(source(" ".join(order)), history(ledger), to=to)).split()
    kept = order[: order.index(to) + 1]

    assert [v for v in reversed(model.standing) if v not in kept] == gone


@_PATIENT
@given(_pasts(), st.data())
def test_a_number_of_steps_takes_back_the_newest(past: tuple[tuple[str, ...], str, Model], data: st.DataObject) -> None:
    """downgrade(steps=n) takes back the last n applications above the baseline; "base" takes all of them."""
    order, ledger, model = past
    assume(not model.open)
    migrations, found = source(" ".join(order)), history(ledger)
    above = [v for v in reversed(model.standing) if found.applied[v].action != "baseline"]
    steps = data.draw(st.integers(1, 7))

    assert above == versions(downgrade_steps(migrations, found, to="base")).split()
    if steps <= len(above):
        assert above[:steps] == versions(downgrade_steps(migrations, found, steps=steps)).split()
    else:
        with pytest.raises(TargetError, match=f"back: {len(above) or 'no'} migrations? applied"):
            downgrade_steps(migrations, found, steps=steps)


@_PATIENT
@given(_pasts(), st.data())
def test_planning_is_idempotent(past: tuple[tuple[str, ...], str, Model], data: st.DataObject) -> None:
    """Once a plan was carried out there is nothing left of it to do, upwards or downwards."""
    order, ledger, model = past
    assume(order and not model.open)
    migrations, to = source(" ".join(order)), data.draw(st.sampled_from(order))

    up = _after(ledger, upgrade_steps(migrations, history(ledger), to))
    assert upgrade_steps(migrations, history(up), to) == ()
    down = _after(ledger, downgrade_steps(migrations, history(ledger), to=to))
    assert downgrade_steps(migrations, history(down), to=to) == ()
    base = _after(ledger, downgrade_steps(migrations, history(ledger), to="base"))
    assert downgrade_steps(migrations, history(base), to="base") == ()


@_PATIENT
@given(_orders, st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=6))
def test_a_history_that_was_planned_has_no_findings(order: tuple[str, ...], moves: list[tuple[bool, int]]) -> None:
    """Upgrades and downgrades to any targets never lead to a disagreement with the source they came from."""
    assume(order)
    ledger, migrations = "", source(" ".join(order))
    for is_up, number in moves:
        to = order[number % len(order)]
        found = history(ledger)
        ledger = _after(
            ledger,
            upgrade_steps(migrations, found, to) if is_up else downgrade_steps(migrations, found, to=to),
        )

        assert compared(ledger, migrations) == ()


@_PATIENT
@given(_pasts())
def test_findings_are_what_the_words_say(past: tuple[tuple[str, ...], str, Model]) -> None:
    """Whatever happened to known migrations: pending before applied is out of order, and nothing else is found."""
    order, ledger, model = past
    begun = model.open[:-1] if model.open else None
    last = max((order.index(v) for v in model.standing), default=-1)
    expected = [
        f"OutOfOrder {v}<{order[last]}_m{order[last]}" for v in order[: last + 1] if v not in [*model.standing, begun]
    ]
    expected += [f"Unfinished {begun}:{'up' if model.open.endswith('U') else 'down'}"] if model.open else []

    assert ", ".join(expected) == shown(compared(ledger, source(" ".join(order))))


@_PATIENT
@given(_pasts(), st.data())
def test_no_record_can_be_touched_unseen(past: tuple[tuple[str, ...], str, Model], data: st.DataObject) -> None:
    """An edit of one column, the deletion of any but the newest records, and an exchange of two are all noticed."""
    rows = records(past[1])
    assume(rows)
    place = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from(["seq", *_EDITS]))
    value = data.draw(st.integers(-1, 20) if column == "seq" else st.text(max_size=9))
    assume(value != getattr(rows[place], column) and (value or getattr(rows[place], column)))
    edited = [*rows[:place], replace(rows[place], **{column: value}), *rows[place + 1 :]]  # type: ignore[arg-type]
    damaged = [sorted(edited, key=lambda record: record.seq)]
    damaged += [rows[:i] + rows[j:] for i in range(len(rows)) for j in range(i + 1, len(rows))]
    for i, j in pairwise(range(len(rows))):
        swapped = rows.copy()
        swapped[i], swapped[j] = replace(rows[j], seq=i + 1), replace(rows[i], seq=j + 1)
        damaged += [swapped, [*rows[:i], rows[j], rows[i], *rows[j + 1 :]]]

    for one in damaged:
        with pytest.raises(LedgerError):
            fold(one)
