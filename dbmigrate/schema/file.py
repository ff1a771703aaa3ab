"""The schema as a file that is kept beside the migrations: how it is written, and how it differs.

Laws of this file: a file is replaced as a whole, or not touched; what it says was read under the lock that keeps other
migrators out.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from difflib import unified_diff
from pathlib import Path

from dbmigrate.connect import connect, engine_of
from dbmigrate.errors import ConfigurationError, MigrationError, counted
from dbmigrate.model import Outcome, Report
from dbmigrate.run import Run, Settings, writing
from dbmigrate.schema import script, snapshot
from dbmigrate.schema.python import module, wanted


def described(run: Run, *, sql: bool, include: Collection[str] = (), exclude: Collection[str] = ()) -> str:
    """Return the schema as a script, or as Python; `include` and `exclude` are those of `code`.

    What they leave of a script has what it needs with it, as `selected` of its dialect has it.

    Raises ConfigurationError where there is no text for what is there, or nothing that is included.
    """
    taken = snapshot(run.connection, ledger=run.ledger.table, dialect=run.dialect)
    is_wanted = wanted(str(run.connection.dialect.default_schema_name or ""), include, exclude)
    if include and not any(map(is_wanted, taken)):
        said = [f"--include {pattern}" for pattern in include] + [f"--exclude {pattern}" for pattern in exclude]
        raise ConfigurationError(f"nothing in the database has such a place: {' '.join(said)}")
    if not sql:
        return module(taken, run.connection, include=include, exclude=exclude)
    try:
        return script(run.dialect.selected(taken, is_wanted) if include or exclude else taken)
    except ValueError as error:  # something in it is hidden from this user
        raise ConfigurationError(f"there is no SQL for this schema: {error}") from error


def described_now(
    settings: Settings, *, sql: bool, include: Collection[str] = (), exclude: Collection[str] = ()
) -> str:
    """Return the schema of a Migrator's database, over a connection of its own. Reads only, without the lock.

    Raises ConfigurationError as `described` does, or if there is no such database; and MigrationError.
    """
    if not settings.dialect.exists(settings.url):
        raise ConfigurationError("there is no database yet, so there is no schema")
    run = Run(settings)
    with engine_of(settings.database) as engine, connect(engine, run):
        return described(run, sql=sql, include=include, exclude=exclude)


def is_sql(path: str | os.PathLike[str]) -> bool:
    """Tell which form a file of this name has: a script, or Python."""
    return Path(path).suffix == ".sql"


def difference(path: str | os.PathLike[str], text: str) -> str:
    """Return how a file differs from what it should be, as `diff -u` has it; "" if it does not.

    A file that is missing is an empty one. Raises ConfigurationError if it cannot be read.
    """
    name = os.fspath(path)
    before = _read(path) or ""
    lines = unified_diff(before.splitlines(keepends=True), text.splitlines(keepends=True), name, f"{name} (database)")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


@contextmanager
def kept(path: str | os.PathLike[str], session: Callable[[], AbstractContextManager[Run]]) -> Generator[list[Outcome]]:
    """Give a list for the steps that end in what is inside; if there are any, or no file yet, write the file behind it.

    Where there is no folder for it nothing begins. It is also written behind an error that came after a step, and that
    gets a note if it fails, but not where the call was stopped (Ctrl-C): that is not to wait. Otherwise MigrationError
    says so. `session` gives a locked one.
    """
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder} for the schema file {os.fspath(path)}. Nothing was run")
    ended = list[Outcome]()
    try:
        yield ended
    except Exception as error:
        try:
            if ended:
                _keep(path, session, ended)
        except MigrationError as trouble:
            error.add_note(str(trouble))
        raise
    if ended or not Path(path).exists():
        _keep(path, session, ended)


def _keep(
    path: str | os.PathLike[str], session: Callable[[], AbstractContextManager[Run]], ended: list[Outcome]
) -> None:
    try:
        with session() as run, writing(run) if run.dialect.begin_is_the_lock else nullcontext():
            _write(path, described(run, sql=is_sql(path)))
    except Exception as error:  # whatever it is, it must be said that they are committed
        reason = f"{type(error).__name__}: {error}".rstrip(".")
        steps = f"{counted(len(ended), 'step')} of this call {'is' if len(ended) == 1 else 'are'} committed"
        steps = steps if ended else "nothing was to run"
        raise MigrationError(
            f"{steps}; then the schema file {os.fspath(path)} could not be written, and is as it was: {reason}. When "
            "the cause is corrected, the command `schema print` gives its text",
            report=Report(tuple(ended)),
        ) from error


def _write(path: str | os.PathLike[str], text: str) -> None:
    """Replace a file, unless it is so already; whoever reads it sees the one or the other."""
    if _read(path) == text:
        return
    target = Path(os.path.realpath(path))  # a link stays one
    number, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(number, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        with suppress(FileNotFoundError):
            Path(name).chmod(target.stat().st_mode & 0o7777)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _read(path: str | os.PathLike[str]) -> str | None:
    """Return what is in a file. None: there is none, or it is no text."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
