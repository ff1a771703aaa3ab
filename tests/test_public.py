"""What users see: the names, their documentation, the errors, the length of a traceback, the package's metadata."""

from __future__ import annotations

import ast
import inspect
import pickle
import re
import tomllib
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import event
from sqlalchemy.pool import NullPool

import dbmigrate
from dbmigrate import (
    Ahead,
    ConfigurationError,
    FilesystemSource,
    HistoryError,
    LedgerConflict,
    LedgerError,
    MemorySource,
    MigrationError,
    MigrationFailed,
    MigrationInProgress,
    Migrator,
    NotCurrent,
    Report,
    SourceError,
    StalePlan,
    TargetError,
    errors,
    sql_migration,
)
from dbmigrate.script import Problem

if TYPE_CHECKING:
    from tests.conftest import Database

_ROOT: Final = Path(__file__).parent.parent
_PYPROJECT: Final[dict[str, Any]] = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
_NAMES: Final = """
    Ahead Body ConfigurationError Edited Event FilesystemSource Finding HistoryError Ledger LedgerConflict LedgerError
    MemorySource Migration MigrationError MigrationFailed MigrationInProgress Migrator Missing NotCurrent OutOfOrder
    Outcome PackageSource Plan Problem Record Report Retrying Source SourceError StalePlan StatementFinished Status
    StatusEntry Step
    StepFinished StepStarted TableLedger TargetError Unfinished Waiting python_migration sql_migration
"""
#: Everything public that can have a docstring; a union of types cannot.
_DOCUMENTED: Final = {
    name: value
    for name, value in vars(dbmigrate).items()
    if not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value))
}


# -- names


def test_the_public_names_are_these() -> None:
    """A name is public by being in the package, and nothing comes in or goes out by accident."""
    public = {
        name
        for name, value in vars(dbmigrate).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }

    assert sorted(public) == sorted(_NAMES.split())


def test_the_public_names_are_re_exported_explicitly() -> None:
    """`from x import A as A` tells every type checker that it is meant; `__version__` is the one thing besides."""
    docstring, *lines = ast.parse((_ROOT / "dbmigrate" / "__init__.py").read_bytes()).body
    imports = [alias for line in lines if isinstance(line, ast.ImportFrom) for alias in line.names]
    others = [ast.unparse(line) for line in lines if not isinstance(line, ast.ImportFrom)]

    assert isinstance(docstring, ast.Expr)
    assert [a.name for a in imports if a.asname != a.name and not re.match("_[^_]", a.asname or "")] == []
    assert [line for line in others if not line.startswith("__version__")] == []


@pytest.mark.parametrize("name", _DOCUMENTED)
def test_public_names_are_documented(name: str) -> None:
    """A class and each of its public methods and properties have a docstring of their own, as whole sentences."""
    value = _DOCUMENTED[name]
    documents = {name: value.__doc__}
    if inspect.isclass(value):
        for member, definition in vars(value).items():
            if not member.startswith("_") and (inspect.isroutine(definition) or isinstance(definition, property)):
                documents[f"{name}.{member}"] = definition.__doc__

    for where, text in documents.items():
        first = (text or "").strip().partition("\n")[0]
        assert not first.startswith(f"{name}("), f"{where} has only what dataclass wrote"
        assert re.search(r"[.?:;]$", first), f"{where}: {first!r}"


# -- errors


def _drawn() -> dict[str, str]:
    """Return the parent of every error in the drawing of errors.py."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"    ((?:[│ ] {3})*(?:[├└]── )?)([A-Z]\w+)", line):
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else "Exception"
    return parents


def _kinds() -> dict[str, type[MigrationError]]:
    """Return all errors that there are."""
    found = {name: value for name, value in vars(errors).items() if inspect.isclass(value)}
    return {name: value for name, value in found.items() if issubclass(value, MigrationError)}


def test_errors_form_the_tree_that_is_drawn() -> None:
    """The drawing at the top of errors.py is the truth, and every error in it is public."""
    assert _drawn() == {name: kind.__base__ and kind.__base__.__name__ for name, kind in _kinds().items()}
    assert set(_drawn()) <= set(vars(dbmigrate))


def test_errors_carry_the_values_that_are_drawn() -> None:
    """What the drawing lists behind an error is what it documents."""
    lines = re.findall(r"── (\w+) (.*)", errors.__doc__ or "")
    drawn = {name: set(re.findall(r"(?<=\s)\.(\w+)", text)) for name, text in lines}
    stated = {name: set(vars(kind).get("__annotations__", {})) for name, kind in _kinds().items()}

    assert {name: values for name, values in drawn.items() if not values <= stated[name]} == {}


_REPORT: Final = Report((), 1.5)
_PROBLEMS: Final = (Problem("1_a.sql", 3, "no; % {x}"), Problem("2_b.sql", None, "nor this"))
_ERRORS: Final[tuple[tuple[MigrationError, dict[str, object]], ...]] = (
    (MigrationError("m", anything=[1]), {"anything": [1]}),
    (ConfigurationError("m"), {}),
    (SourceError(_PROBLEMS), {"problems": _PROBLEMS, "origin": "1_a.sql", "line": 3, "reason": "no; % {x}"}),
    (TargetError("m"), {}),
    (HistoryError([Ahead("1", "a")]), {"findings": (Ahead("1", "a"),)}),
    (HistoryError([], "m"), {"findings": ()}),
    (NotCurrent([Ahead("1", "a")], ["2_b"]), {"findings": (Ahead("1", "a"),), "pending": ("2_b",)}),
    (StalePlan("m", report=_REPORT), {"report": _REPORT}),
    (MigrationInProgress("m", holder="me"), {"holder": "me"}),
    (LedgerError("m"), {}),
    (LedgerConflict("m"), {}),
    (
        MigrationFailed("m", step="1_a up", statement=2, line=3, column=4, report=_REPORT, rolled_back=True),
        {"step": "1_a up", "statement": 2, "line": 3, "column": 4, "report": _REPORT, "rolled_back": True},
    ),
)


def test_every_error_is_tried() -> None:
    """The table above leaves none out."""
    assert {type(error) for error, _ in _ERRORS} == set(_kinds().values())


@pytest.mark.parametrize(("error", "values"), _ERRORS, ids=[type(error).__name__ for error, _ in _ERRORS])
def test_errors_survive_pickling(error: MigrationError, values: dict[str, object]) -> None:
    """Type, message and values are the same in another process, whatever the protocol."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own

        assert type(error) is type(copy)
        assert (str(error), error.args, repr(error)) == (str(copy), copy.args, repr(copy))
        assert values == {name: getattr(copy, name) for name in values} == vars(copy)


def test_errors_with_a_note_survive_pickling() -> None:
    """A note that a caller added, as an ExceptionGroup or a test tool does, comes along."""
    error = TargetError("m")
    error.add_note("seen in tenant 7")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own

    assert copy.__notes__ == ["seen in tenant 7"]


def test_real_failures_survive_pickling(database: Database, tmp_path: Path) -> None:
    """The error of a migration that failed, with the steps that ran before it, and its driver's text in the message."""
    (tmp_path / "1_a.sql").write_text("CREATE TABLE a (x INTEGER);\n")
    (tmp_path / "2_b.sql").write_text("INSERT INTO a VALUES (1);\nINSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(MigrationFailed) as caught:
        Migrator(database.url, FilesystemSource(tmp_path)).upgrade()
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own

    assert str(caught.value) == str(copy)
    assert "nowhere" in str(copy)
    assert caught.value.__cause__ is not None
    assert (copy.step, copy.statement, copy.line) == ("2_b up", 2, 2)
    assert [str(outcome.step) for outcome in copy.report.outcomes] == ["1_a up"]
    assert caught.value.report == copy.report


# -- tracebacks


def test_a_statement_is_six_frames_away(database: Database) -> None:
    """From Migrator.upgrade to the driver there are at most six frames of ours, in a transaction or journalled."""
    head = "-- dbmigrate: no-transaction\n" if database.kind == "postgresql" else ""
    source = MemorySource(
        [
            sql_migration("1", "transaction", "CREATE TABLE t (x INTEGER)"),
            sql_migration("2", "more", "INSERT INTO t VALUES (1)"),
            sql_migration("3", "outside", f"{head}CREATE TABLE u (x INTEGER)"),
        ]
        if database.kind != "sqlite"
        else [sql_migration("1", "transaction", "CREATE TABLE t (x INTEGER)")]
    )
    sent: dict[str, list[str]] = {}

    def look(_: object, __: object, statement: str, *___: object) -> None:
        frames = traceback.extract_stack()
        ours = [frame.name for frame in frames if Path(frame.filename).is_relative_to(_ROOT / "dbmigrate")]
        sent[statement] = ours

    engine = database.engine(poolclass=NullPool)
    event.listen(engine, "before_cursor_execute", look)
    Migrator(engine, source).upgrade()

    for migration in source.load():
        ours = sent[migration.up.read().removeprefix(head)]
        assert ours[0] == "upgrade"
        assert len(ours) <= 6, ours


# -- metadata


def test_both_versions_are_the_same() -> None:
    """pyproject.toml and the package agree."""
    assert _PYPROJECT["project"]["version"] == vars(dbmigrate)["__version__"]


def test_two_dependencies_and_no_extras() -> None:
    """Drivers are the user's; features cost no packages."""
    project = _PYPROJECT["project"]

    assert project["dependencies"] == ["sqlalchemy>=2.0", "typing-extensions"]
    assert "optional-dependencies" not in project
    assert "dependencies" not in project.get("dynamic", [])
