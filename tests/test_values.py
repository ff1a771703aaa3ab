"""The shape of values as JSON: the keys of each are a promise, kept as long as `format` is 1."""

from __future__ import annotations

import inspect
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from dbmigrate import (
    Ahead,
    ConfigurationError,
    Edited,
    Finding,
    MigrationError,
    MigrationFailed,
    MigrationInProgress,
    Missing,
    NotCurrent,
    Outcome,
    OutOfOrder,
    Plan,
    Problem,
    Record,
    Report,
    Retrying,
    SourceError,
    StatementFinished,
    Status,
    StatusEntry,
    Step,
    StepFinished,
    StepStarted,
    Unfinished,
    Waiting,
    model,
    sql_migration,
)

MOMENT = datetime(2026, 11, 23, 10, 15, 0, 250000, UTC)
MIGRATION = sql_migration("1", "a", "CREATE TABLE secret (x)", "DROP TABLE secret")
STEP = Step(MIGRATION, "up")
RECORD = Record(1, "1", "a", "up", "sha256:1", started_at=MOMENT, down_sql="DROP TABLE secret")
OUTCOME = Outcome(STEP, RECORD, 2, 0.5)
FINDING = Edited("1", "a")
ENTRY = StatusEntry("1", "a", "applied", MIGRATION, RECORD, FINDING)

_MIGRATION = {"type": "Migration", "version": "1", "name": "a"}
_STEP = {"type": "Step", "migration": _MIGRATION, "direction": "up", "transactional": True}
_RECORD = {
    "type": "Record",
    "seq": 1,
    "version": "1",
    "name": "a",
    "action": "up",
    "checksum": "sha256:1",
    "fingerprint": None,
    "down_checksum": None,
    "chain": None,
    "started_at": "2026-11-23T10:15:00.250000+00:00",
    "finished_at": None,
    "applied_by": None,
    "session": None,
    "tool": None,
    "reason": None,
}
_OUTCOME = {"type": "Outcome", "step": _STEP, "record": _RECORD, "statements": 2, "seconds": 0.5}


def found(kind: str, **more: object) -> dict[str, object]:
    """Return what a finding looks like."""
    return {"type": kind, "version": "1", "name": "a", **more}


_EDITED = found("Edited", message=str(FINDING))
_ENTRY = found("StatusEntry", state="applied", migration=_MIGRATION, record=_RECORD, finding=_EDITED)
SHAPES: list[tuple[Any, dict[str, Any]]] = [
    (MIGRATION, _MIGRATION),
    (STEP, _STEP),
    (RECORD, _RECORD),
    (OUTCOME, _OUTCOME),
    (Finding("1", "a"), found("Finding", message="1_a: ")),
    (FINDING, _EDITED),
    (Missing("1", "a"), found("Missing", message=str(Missing("1", "a")))),
    (Ahead("1", "a"), found("Ahead", message=str(Ahead("1", "a")))),
    (
        OutOfOrder("1", "a", "2_b"),
        found("OutOfOrder", applied="2_b", message=str(OutOfOrder("1", "a", "2_b"))),
    ),
    (
        Unfinished("1", "a", "up", 2, in_doubt=True, error="lost", where="1_a.sql:3: INSERT"),
        found("Unfinished", direction="up", statement=2, in_doubt=True, error="lost", where="1_a.sql:3: INSERT")
        | {"is_judged": False, "seen": []},
    ),
    (
        Plan((STEP,), 3, "sha256:2", (FINDING,)),
        {"type": "Plan", "steps": [_STEP], "head": 3, "chain": "sha256:2", "findings": [_EDITED]},
    ),
    (Report((OUTCOME,), 1.5), {"type": "Report", "outcomes": [_OUTCOME], "seconds": 1.5}),
    (ENTRY, _ENTRY),
    (
        Status((ENTRY,), (FINDING,), (FINDING,)),
        {"type": "Status", "entries": [_ENTRY], "findings": [_EDITED], "errors": [_EDITED], "is_current": False},
    ),
    (Waiting(10.5, "process 7"), {"type": "Waiting", "seconds": 10.5, "holder": "process 7"}),
    (
        Retrying(STEP, "lock timeout", 1, 11, 0.5, ("process 7",)),
        {
            "type": "Retrying",
            "step": _STEP,
            "error": "lock timeout",
            "tries": 1,
            "most": 11,
            "pause": 0.5,
            "blockers": ["process 7"],
        },
    ),
    (StepStarted(STEP), {"type": "StepStarted", "step": _STEP}),
    (
        StatementFinished(STEP, 1, 2, 0.25),
        {"type": "StatementFinished", "step": _STEP, "ordinal": 1, "count": 2, "seconds": 0.25},
    ),
    (StepFinished(OUTCOME), {"type": "StepFinished", "outcome": _OUTCOME}),
]


@pytest.mark.parametrize(("value", "shape"), SHAPES, ids=[type(value).__name__ for value, _ in SHAPES])
def test_the_shape_of(value: Any, shape: dict[str, Any]) -> None:
    """These keys and no others, at every depth; JSON takes them as they are, and no script is in it."""
    plain = value.to_dict()

    if isinstance(value, Unfinished):
        assert plain.pop("message") == str(value)
    assert plain == {"format": 1, **shape}
    assert json.loads(json.dumps(plain)) == plain
    assert "secret" not in json.dumps(plain)


def test_every_value_has_its_shape() -> None:
    """The table above leaves none out."""
    values = {
        value
        for name, value in vars(model).items()
        if inspect.isclass(value) and hasattr(value, "to_dict") and not name.startswith("_")
    }

    assert {type(value) for value, _ in SHAPES} == values


def test_status_knows_whether_it_is_current() -> None:
    """Also as a dictionary."""
    assert Status((), (), ()).to_dict() == {
        "format": 1,
        "type": "Status",
        "entries": [],
        "findings": [],
        "errors": [],
        "is_current": True,
    }


def test_errors_have_a_shape_too() -> None:
    """The values of each beside type and message; no script, and no error of a driver."""
    assert ConfigurationError("wrong").to_dict() == {"format": 1, "type": "ConfigurationError", "message": "wrong"}
    problem = Problem("1_a.sql", 3, "not UTF-8")
    _same(
        SourceError([problem]),
        origin="1_a.sql",
        line=3,
        reason="not UTF-8",
        problems=[{"type": "Problem", "origin": "1_a.sql", "line": 3, "reason": "not UTF-8"}],
    )
    _same(NotCurrent([FINDING], ["2_b"]), findings=[_EDITED], pending=["2_b"])
    _same(MigrationInProgress("busy", holder="ana", report=Report()), holder="ana", report=_report())
    values = {"step": "1_a up", "statement": 2, "line": 1, "column": 4, "rolled_back": True}
    failed = MigrationFailed("failed", **values, report=Report((OUTCOME,), 0.5))
    failed.add_note("a note is not a value")
    _same(failed, **values, report=_report(_OUTCOME, seconds=0.5))


def _report(*outcomes: object, seconds: float = 0.0) -> dict[str, object]:
    return {"type": "Report", "outcomes": list(outcomes), "seconds": seconds}


def _same(error: MigrationError, **values: object) -> None:
    found = error.to_dict()
    assert found == {"format": 1, "type": type(error).__name__, "message": str(error), **values}
    assert json.loads(json.dumps(found)) == found
