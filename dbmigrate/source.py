"""Where migrations come from."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dbmigrate.errors import ConfigurationError, SourceError
from dbmigrate.layouts.folder import UNFIT, fits, open_folder
from dbmigrate.model import Migration, TextBody
from dbmigrate.plan import BASE
from dbmigrate.python import Function
from dbmigrate.script import Problem, checksum, decode, is_blank

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence
    from importlib.resources.abc import Traversable

    from dbmigrate.model import Body

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


def read_folder(node: Traversable, origin: str, layout: str) -> Sequence[Migration]:
    """Return the migrations of a folder, called `origin` in messages. Raises SourceError with all that is wrong."""
    if layout not in LAYOUTS:
        raise ConfigurationError(f"there is no layout {layout!r}; there is: {', '.join(LAYOUTS)}")
    read = import_module(f"dbmigrate.layouts.{layout}").read
    found: tuple[list[Migration], list[Problem]] = read(open_folder(node, origin))
    migrations, problems = found
    if problems:
        raise SourceError(problems)
    return migrations


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
    return TextBody(origin, checksum(text.encode(errors="surrogatepass")), text)
