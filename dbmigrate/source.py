"""Where migrations come from."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from importlib.machinery import NamespaceLoader
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import ModuleType
from typing import Any, Protocol
from zipimport import zipimporter

from dbmigrate.errors import ConfigurationError, SourceError
from dbmigrate.layouts.archive import open_archive
from dbmigrate.layouts.folder import UNFIT, Entry, Folder, entries_of, fits, open_folder
from dbmigrate.model import Body, Migration, TextBody
from dbmigrate.plan import BASE
from dbmigrate.python import Function
from dbmigrate.script import Problem, checksum_of, decode, is_blank

LAYOUTS = ("native",)


class Source(Protocol):
    """The port through which migrations come in.

    To write one:

    1. Return all of them, as a list or tuple, in the order of history. Versions are opaque strings, unique, and with
       the names 1 to 255 printable characters.
    2. Give each scripts: `sql_migration` and `python_migration` make them in memory. Scripts that are elsewhere are
       a `Body` of your own, which reads its text when it is asked, and keeps none.
    3. Raise SourceError for what is wrong, with a Problem for each thing: where it is, and what to do about it.
       `MemorySource(migrations).load()` finds what is wrong with versions, names and texts.
    4. Be a value, as a frozen dataclass is: it is loaded anew in each call, from any thread. One that can be pickled
       lets a Migrator be pickled.
    5. Run `dbmigrate.testing.SourceContract` over it. `examples/archive_source` is a whole one.
    """

    def load(self) -> Sequence[Migration]:
        """Return every migration, in history order. Nothing else ever compares versions.

        Read every up script once, to hash it, and keep none: `Body.read` reads it again when it runs; a down script
        need not be read before that. Raise SourceError with everything that is wrong at once; touch no database.
        """
        ...


@dataclass(frozen=True, slots=True)
class FilesystemSource:
    """A folder of migrations.

    A relative path counts from the working directory at the time of the call. Links must stay inside the folder. No
    file is kept open, and no text is kept: memory holds one script at a time.
    """

    path: str | os.PathLike[str] = "migrations"
    #: The grammar of the folder, by name.
    layout: str = "native"

    def load(self) -> Sequence[Migration]:
        """Return the folder's migrations in the layout's order.

        Raises SourceError with everything that is wrong with the folder at once: names, versions, encodings.
        """
        return read_folder(Path(self.path), str(Path(self.path)), self.layout)


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A folder of migrations inside a package: installed, editable, in a zip archive on `sys.path`, or in a zipapp.

    The package is imported, as `importlib.resources` wants it, and its files are read by name; none is extracted or
    kept open. Wherever it is, its migrations have the same names and checksums, and the same origin in messages:
    `shop/migrations/1_a.sql`. All portions of a namespace package count; no two of them may have the same migration.
    Links must stay inside the folder, so an install that is made of links to files is refused. In a zip archive all
    links are, names with `..`, backslashes, a drive or a leading `/`, duplicates, encrypted entries, and such as have
    more than 64 MiB, 512 MiB in all, or 100 times their packed size (if that is more than 1 MiB).

    A package without any migration is an error. That some of its files are missing is not noticed.
    """

    #: Its name, or the package itself, of which the name is kept.
    package: str | ModuleType
    #: The folder in it, with `/` on every system; `.` is the package's own.
    path: str = "migrations"
    #: The grammar of the folder, by name.
    layout: str = field(default="native", kw_only=True)

    def __post_init__(self) -> None:
        """Keep the name of a package. Raises ConfigurationError for a path that is not inside of it."""
        if not isinstance(self.package, str):
            object.__setattr__(self, "package", self.package.__name__)
        path = PureWindowsPath(self.path)
        if path.anchor or ".." in path.parts or "\\" in self.path:
            raise ConfigurationError(f"{self.path!r} is no path inside a package: give its parts, with / between them")

    def load(self) -> Sequence[Migration]:
        """Return the migrations in the layout's order.

        Raises SourceError with everything that is wrong with them at once, or that the package cannot be imported.
        """
        name, parts = str(self.package), PurePosixPath(self.path).parts
        origin = "/".join((*name.split("."), *parts))
        try:
            nodes = _places(import_module(name), parts)
            folders = {str(node): folder for node in nodes if (folder := _open(node, origin)).is_there()}
        except SourceError:
            raise
        except Exception as error:
            raise SourceError([Problem(origin, None, _not_there(name, error) + _broken())]) from error
        migrations = _read(folders, self.layout)
        if not migrations:
            raise SourceError([Problem(origin, None, _how_to_include(name, "/".join(parts), origin) + _broken())])
        return migrations


def _places(package: ModuleType, parts: Sequence[str]) -> list[Traversable]:
    """Return a folder of a package; of a namespace package that in each portion.

    Of these `importlib.resources` before Python 3.13 reads none in an archive, and no version tells of what two of them
    have under one name.
    """
    if not hasattr(package, "__path__"):
        raise ImportError("it is a module, not a package")
    nodes: list[Traversable] = []
    if package.__spec__ is None or not isinstance(package.__spec__.loader, NamespaceLoader):
        nodes.append(files(package))
    else:
        for path in map(Path, dict.fromkeys(map(os.path.realpath, package.__path__))):
            archive = next((parent for parent in path.parents if parent.is_file()), None)
            if archive is not None:
                nodes.append(zipfile.Path(archive, f"{path.relative_to(archive).as_posix()}/"))
            elif path.is_dir():  # an editable install adds what is no place
                nodes.append(path)
    return [_inside(node, parts) for node in nodes]


def _inside(node: Traversable, parts: Sequence[str]) -> Traversable:
    if isinstance(node, zipfile.Path):  # whose joinpath() is slow, and never returns for some names (CVE-2024-8088)
        return zipfile.Path(node.root, f"{'/'.join((node.at.rstrip('/'), *parts))}/")
    for part in parts:
        node = node / part
    return node


def _not_there(name: str, error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
        return f"there is no package {name!r}: install it, or name the right one"
    return f"the package {name!r} cannot be used ({type(error).__name__}: {error}): correct that, and call again"


def _broken() -> str:
    """Name the archives on `sys.path` that cannot be read, or no more: Python says that there is no such module."""
    finders = map(sys.path_importer_cache.get, sys.path)
    archives = {finder.archive for finder in finders if isinstance(finder, zipimporter)}
    archives |= {place for place in sys.path if os.path.isfile(place)}  # noqa: PTH113 - these are strings
    broken = sorted(path for path in archives if not zipfile.is_zipfile(path))
    return "".join(f"\n{path} is no zip archive that can be read: restore it" for path in broken)


def _how_to_include(name: str, path: str, origin: str) -> str:
    return f"""there is no migration in {path or "."} of the package {name!r} as it is installed. Build it with them:
- hatchling leaves out what .gitignore names, unless it is told in pyproject.toml
    [tool.hatch.build.targets.wheel]
    artifacts = ["**/{origin}/"]
  and what is not in the package's folder, unless it is told where it is
    [tool.hatch.build.targets.wheel.force-include]
    "migrations" = "{origin}"
- setuptools leaves out what is not Python, unless it is told
    [tool.setuptools.package-data]
    "{name}" = ["{path and path + "/"}**"]"""


def _open(node: Traversable, origin: str) -> Folder:
    return open_archive(node, origin) if isinstance(node, zipfile.Path) else open_folder(node, origin)


def read_folder(node: Traversable, origin: str, layout: str) -> Sequence[Migration]:
    """Return the migrations of a folder, called `origin` in messages. Raises SourceError with all that is wrong.

    The folder may be a path, or in a package or an archive: for a `zipfile.Path`, see `layouts/archive.py`.
    """
    return _read({origin: _open(node, origin)}, layout)


def _read(folders: Mapping[str, Folder], layout: str) -> Sequence[Migration]:
    """Return the migrations of folders that count as one."""
    if layout not in LAYOUTS:
        raise ConfigurationError(f"there is no layout {layout!r}; there is: {', '.join(LAYOUTS)}")
    read = import_module(f"dbmigrate.layouts.{layout}").read
    migrations: list[Migration]
    problems: list[Problem]
    entries = entries_of(folders)
    migrations, problems = read(entries)
    if not (migrations or problems):
        problems += _next_door(entries, read)
    if problems:
        raise SourceError(problems)
    return migrations


def _next_door(entries: Iterable[Entry], read: Callable[[Iterable[Entry]], Any]) -> Iterable[Problem]:
    """Say of folders in one without any migration that they have some: it is the wrong one, and seemed to be new."""
    for entry in entries:
        if entry.is_folder and entry.defect is None and not entry.name.startswith("."):
            with suppress(SourceError):
                if read(entry.parent.folder(entry.name).entries())[0]:
                    yield entry.problem("here are migrations, and none in the folder that was named: name this one")


@dataclass(frozen=True, slots=True)
class MemorySource:
    """Migrations built in code, in the order given. `sql_migration` and `python_migration` build one."""

    migrations: Iterable[Migration]

    def __post_init__(self) -> None:
        """Keep the migrations: an iterator could be loaded only once."""
        object.__setattr__(self, "migrations", tuple(self.migrations))

    def load(self) -> Sequence[Migration]:
        """Return the migrations.

        Raises SourceError with everything that is wrong at once: duplicate versions, text that cannot be sent.
        """
        problems: list[Problem] = []
        for m in self.migrations:
            problems += _wrong_text(m.up)
            problems += _wrong_text(m.down, may_be_blank=True) if m.down else ()
        return sound(tuple(self.migrations), problems)


def _wrong_text(body: Body, *, may_be_blank: bool = False) -> Iterable[Problem]:
    if isinstance(body, Function):
        return ()
    try:
        data = body.read().encode(errors="surrogatepass")
    except SourceError as error:  # a body of another source
        return error.problems
    defect = decode(data)[1]
    if defect is None and not may_be_blank and is_blank(data):
        defect = "there is no statement in it"
    return [Problem(body.origin, None, defect)] if defect else ()


def sound(migrations: Sequence[Migration], problems: Iterable[Problem] = ()) -> Sequence[Migration]:
    """Return the migrations, whoever made them, if a ledger can hold them and a version means one of them.

    Raises SourceError with what is wrong, behind the problems that are known already.
    """
    found, seen = list(problems), dict[str, Migration]()
    for m in migrations:
        reason = None
        if not fits(m.version) or not fits(m.name):
            wrong = [what for what in ("version", "name") if not fits(getattr(m, what))]
            reason = f"the {' and the '.join(wrong)} {UNFIT}"
        elif m.version == BASE:
            reason = f"version {BASE} is the word for none of them. Change it"
        elif m.version in seen:
            reason = f"version {m.version} is there twice: {seen[m.version]} and {m}. Change it"
        if reason is not None:
            found.append(Problem(m.up.origin, None, reason))
        seen[m.version] = m
    if found:
        raise SourceError(found)
    return migrations


def sql_migration(version: str, name: str, up: str, down: str | None = None) -> Migration:
    """Return a migration built from SQL text, for a MemorySource.

    `version` is an opaque string; the source's order is the order of history. Nothing is checked here: the source does
    so when it is loaded.
    """
    label = f"{version}_{name}"
    back = None if down is None else _text_body(f"{label}.down", down)
    return Migration(version, name, _text_body(f"{label}.up", up), back)


def _text_body(origin: str, text: str) -> TextBody:
    text = text.removeprefix("\ufeff")  # as from a file
    return TextBody(origin, checksum_of(text), text)
