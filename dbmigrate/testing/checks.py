"""What contract suites, checks and the kit have in common: to run them, to say what is wrong, to stay inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from unittest import SkipTest

from sqlalchemy.engine import Connection

from dbmigrate.dialects import Dialect
from dbmigrate.errors import ConfigurationError
from dbmigrate.migrator import Migrator
from dbmigrate.python import PythonBody
from dbmigrate.scanner import ScriptError


@dataclass(frozen=True, slots=True)
class Checked:
    """What `check` found: the tests that passed, and those that had nothing to test, each with the reason."""

    passed: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def check(contract: Callable[[], object]) -> Checked:
    """Run every test of a contract, each on one of its own, and return which passed; for use without a framework.

    `contract` is the class, or a function that makes one. Raises an ExceptionGroup of all that failed, each with a
    note that names its test.
    """
    passed, skipped, failed = list[str](), list[tuple[str, str]](), list[Exception]()
    for name in (name for name in dir(contract()) if name.startswith("test_")):
        try:
            getattr(contract(), name)()
        except SkipTest as reason:
            skipped.append((name, str(reason)))
        except Exception as error:  # noqa: BLE001 - it is raised below, with all the others
            error.add_note(f"in {name}")
            failed.append(error)
        else:
            passed.append(name)
    if failed:
        raise ExceptionGroup(f"{len(failed)} of {len(failed) + len(passed)} tests of a contract failed", failed)
    return Checked(tuple(passed), tuple(skipped))


def require(condition: object, message: str) -> None:
    """Not `assert`, which can be switched off."""
    if not condition:
        raise AssertionError(message)


def is_a(value: object, *kinds: type) -> bool:
    """Tell whether a value is what its type says: a type is a promise, too."""
    return isinstance(value, kinds)


def named(error: BaseException) -> str:
    """Return an error with its type."""
    return f"{type(error).__name__}: {error}"


def keep_inside(migrator: Migrator, dialect: Dialect, connection: Connection, is_ours: Callable[[str], object]) -> None:
    """Refuse migrations that would write to another database of the server, as far as their text tells.

    Raises ConfigurationError, and SourceError if they cannot be read.
    """
    others = {name.casefold() for name in dialect.list_databases(connection, "") if not is_ours(name)}
    for migration in migrator.source.load():
        for body in (migration.up, migration.down):
            if body is None or isinstance(body, PythonBody):
                continue
            try:
                where = dialect.elsewhere(body.read(), others)
            except ScriptError:
                continue  # what is wrong with it is said when it is to run
            if where:
                raise ConfigurationError(
                    f"{body.origin} names another database than the one that is made for tests, and would write there: "
                    f"{where}. Nothing was run: let it name none"
                )
